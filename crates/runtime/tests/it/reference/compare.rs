//! What differs between what was promised and what the engine did, in words.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use streamnest_core::{Class, Event};

use super::{
    engine::Found,
    expected::{Expected, Line, Mark},
    spec::Place,
};

/// What a line said, and where in the log.
type Said = Vec<(usize, String)>;

/// All that differs; empty if the engine did what was promised.
pub(super) fn differences(expected: &Expected, found: &Found) -> Vec<String> {
    let mut differences = Vec::new();
    let lines = lines(found);
    compare_end(expected, found, &mut differences);
    compare_lines(expected, &lines, &mut differences);
    compare_bodies(expected, found, &mut differences);
    if differences.is_empty() {
        compare_order(expected, &lines, &mut differences);
    }
    differences
}

fn compare_end(expected: &Expected, found: &Found, differences: &mut Vec<String>) {
    let told = &found.told;
    let mut differ = |what: &str, promised: String, is: String| {
        if promised != is {
            differences.push(format!("{what}:\n    promised {promised}\n    found    {is}"));
        }
    };
    differ("end", expected.end.how.clone(), told.ended());
    let end = told.end();
    differ("result", json(expected.end.result.as_ref()), json(end.result.as_ref()));
    if let Some(error) = end.error {
        if expected.end.node.is_some() {
            differ("failed node", format!("{:?}", expected.end.node), format!("{:?}", error.node_id));
        }
        if !expected.end.says.is_empty() && !expected.end.says.iter().any(|says| error.message.contains(says))
        {
            differ("message", expected.end.says.join("\n          or "), error.message);
        }
    }
    let words = told.words();
    let middle = if expected.end.how == "cancelled" {
        "cancelled"
    } else if expected.end.how == "completed" {
        "workflow_end"
    } else {
        "workflow_error"
    };
    differ("first entries", "running workflow_start".into(), words[..2].join(" "));
    let last = words.len() - if middle == "cancelled" { 1 } else { 2 };
    differ("last entries", middle.into(), words[last].clone());
}

fn json(value: Option<&Value>) -> String {
    value.map_or_else(|| "none".into(), ToString::to_string)
}

/// What each visit and each item said.
fn lines(found: &Found) -> BTreeMap<Place, Said> {
    let mut lines: BTreeMap<Place, Said> = BTreeMap::new();
    // Updates do not say their visit; they stand before the last word of the visit to which they belong.
    let mut updates: BTreeMap<String, Vec<(usize, String)>> = BTreeMap::new();
    // The end of a question does not say whose it was.
    let mut asked: BTreeMap<String, Place> = BTreeMap::new();
    for (at, event) in found.told.events().enumerate() {
        let Some((path, what, data)) = lifecycle(event) else { continue };
        if what == "updates" {
            updates.entry(path).or_default().push((at, format!("updates {data}")));
            continue;
        }
        let ask = data["ask"].as_str().unwrap_or_default();
        if what == "ends" {
            let outcome = data["outcome"].as_str().unwrap();
            lines.get_mut(&asked[ask]).unwrap().push((at, format!("ends {outcome}")));
            continue;
        }
        let number = |name: &str| data[name].as_u64().map(|number| u32::try_from(number).unwrap());
        let place =
            Place { path: path.clone(), visit: number("visit").unwrap(), item: number("item"), attempt: 0 };
        let code = data["code"].as_str().map(|code| format!(" {code}")).unwrap_or_default();
        if what == "asks" {
            asked.insert(ask.to_owned(), place.clone());
        }
        let line = lines.entry(place.clone()).or_default();
        if place.item.is_none() {
            line.extend(updates.remove(&path).unwrap_or_default());
        }
        line.push((at, format!("{what} {}{code}", data["attempt"])));
    }
    assert!(updates.is_empty(), "updates of no visit: {updates:?}");
    lines
}

/// The node, the kind in a word, and the data of an entry of a node's lifecycle.
fn lifecycle(event: &Event) -> Option<(String, &'static str, Value)> {
    if event.class() != Class::Event {
        return None;
    }
    let node = event.node()?.to_string();
    let what = match event.event_type().as_str() {
        "node_start" | "item_start" => "start",
        "node_complete" | "item_complete" => "complete",
        "node_retry" => "retry",
        "node_error" => "error",
        "node_cancelled" => "cancelled",
        "updates" => "updates",
        "approval" => "asks",
        "approval_answer" => "ends",
        other => panic!("nobody says `{other}`"),
    };
    Some((node, what, event.as_data().unwrap().unwrap()))
}

fn compare_lines(expected: &Expected, lines: &BTreeMap<Place, Said>, differences: &mut Vec<String>) {
    for (place, said) in lines {
        if !expected.lines.contains_key(place) {
            differences.push(format!("{} says {:?}, but was not to run", spell(place), words(said)));
        }
    }
    for (place, line) in &expected.lines {
        let said = lines.get(place).map(|said| words(said)).unwrap_or_default();
        let fits = if line.loose { is_whole(line, &said) } else { line.entries == said };
        if !fits {
            let promised = &line.entries;
            differences.push(format!("{}:\n    promised {promised:?}\n    found    {said:?}", spell(place)));
        }
    }
}

fn words(said: &Said) -> Vec<&str> {
    said.iter().map(|(_, word)| word.as_str()).collect()
}

/// Whether a visit that began in its last moment said nothing of its last attempt, or all.
fn is_whole(line: &Line, said: &[&str]) -> bool {
    let begun = line.entries.iter().rposition(|entry| entry.starts_with("start")).unwrap();
    let before = line.entries[..begun].iter().map(String::as_str).eq(said.iter().take(begun).copied());
    let last = said.get(begun..).unwrap_or_default();
    let ends = last.last().is_none_or(|word| word.starts_with("cancelled") || word.starts_with("complete"));
    before && ends && last.first().is_none_or(|word| *word == line.entries[begun])
}

fn is_end(word: &str) -> bool {
    ["complete", "retry", "error", "cancelled"].iter().any(|end| word.starts_with(end))
}

/// "Every node runs once per visit and attempt", and sees what it is to see.
fn compare_bodies(expected: &Expected, found: &Found, differences: &mut Vec<String>) {
    let mut seen: BTreeMap<&Place, Vec<&Map<String, Value>>> = BTreeMap::new();
    for (place, state) in &found.bodies {
        seen.entry(place).or_default().push(state);
    }
    for (place, states) in &seen {
        if states.len() > 1 {
            differences.push(format!("the body of {} ran {} times", spell(place), states.len()));
        }
        match expected.bodies.get(place) {
            None => differences.push(format!("the body of {} ran, and was not to", spell(place))),
            Some(promised) if promised != states[0] => {
                let (promised, saw) = (Value::Object(promised.clone()), Value::Object(states[0].clone()));
                let place = spell(place);
                differences.push(format!(
                    "{place} sees another state:\n    promised {promised}\n    found    {saw}"
                ));
            }
            Some(_) => {}
        }
    }
    for place in expected.bodies.keys().filter(|place| !seen.contains_key(place)) {
        let line = &expected.lines[&Place { attempt: 0, ..place.clone() }];
        if !line.loose {
            differences.push(format!("the body of {} never ran", spell(place)));
        }
    }
}

/// Where the order of entries is promised across visits.
fn compare_order(expected: &Expected, lines: &BTreeMap<Place, Said>, differences: &mut Vec<String>) {
    let at = |mark: &Mark| lines.get(&mark.0).and_then(|said| said.get(mark.1));
    for (first, second) in &expected.before {
        if let (Some((before, _)), Some((after, _))) = (at(first), at(second))
            && before >= after
        {
            let (first, second) = (spell_mark(expected, first), spell_mark(expected, second));
            differences.push(format!("{first} stands after {second}"));
        }
    }
    for (place, line) in &expected.lines {
        let (Some(around), Some(said)) = (&line.around, lines.get(place)) else { continue };
        let Some(around_said) = lines.get(&around.0) else {
            differences.push(format!("{} runs within what never ran", spell(place)));
            continue;
        };
        let from = around_said[around.1].0;
        // What items said stands before the updates of them all; what a workflow within said, before the last word.
        let ends = |word: &str| is_end(word) || word.starts_with("updates");
        let to = around_said[around.1 + 1..].iter().find(|(_, word)| ends(word)).map(|(at, _)| *at);
        let inside = said.iter().all(|(at, _)| from < *at && to.is_some_and(|to| *at < to));
        if !inside {
            let (place, around) = (spell(place), spell_mark(expected, around));
            differences.push(format!("{place} speaks at {said:?}, outside of {around} at {from} to {to:?}"));
        }
    }
}

fn spell(place: &Place) -> String {
    let item = place.item.map(|item| format!(" item {item}")).unwrap_or_default();
    let attempt = if place.attempt > 0 { format!(" attempt {}", place.attempt) } else { String::new() };
    format!("`{}` visit {}{item}{attempt}", place.path, place.visit)
}

fn spell_mark(expected: &Expected, (place, entry): &Mark) -> String {
    format!("\"{}\" of {}", expected.lines[place].entries[*entry], spell(place))
}
