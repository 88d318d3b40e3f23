//! A workflow as plain data: its graph, and what each visit does and returns.

use std::{fmt, str::FromStr};

use serde_json::{Map, Value, json};

use crate::support::Random;

/// A workflow, with what happens to its run from outside.
#[derive(Clone, Default, Debug)]
pub(super) struct Spec {
    pub(super) nodes: Vec<NodeSpec>,
    pub(super) max_steps: u32,
    /// In milliseconds, as all times here.
    pub(super) timeout: Option<u64>,
    pub(super) cancel_at: Option<u64>,
}

/// A node.
#[derive(Clone, Default, Debug)]
pub(super) struct NodeSpec {
    pub(super) name: String,
    pub(super) start: bool,
    pub(super) after: Vec<String>,
    /// Whether the first of `after` is enough.
    pub(super) any: bool,
    /// With `end` for the end.
    pub(super) routes: Vec<String>,
    /// Where visit after visit goes, the last one for all that follow. Drawn if it is empty.
    pub(super) goes: Vec<Vec<String>>,
    /// How attempt after attempt of a visit fails.
    pub(super) faults: Vec<Fault>,
    /// Whether only some visits and items fail.
    pub(super) flaky: bool,
    pub(super) attempts: Option<u32>,
    /// The code of the one failure that is tried again; empty for all but panics.
    pub(super) retry_on: Option<&'static str>,
    pub(super) timeout: Option<u64>,
    /// How long an attempt takes; drawn if it is not said.
    pub(super) takes: Option<u64>,
    /// How many items, and how many of them at once.
    pub(super) items: Option<(u32, usize)>,
    /// Whether the values of the items are gathered into one update.
    pub(super) gathers: bool,
    pub(super) writes: Vec<Field>,
    /// What each attempt asks before it runs the workflow within it and returns.
    pub(super) asks: Option<Ask>,
    pub(super) runs: Option<Box<Spec>>,
}

/// A question. Its times are drawn.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Ask {
    /// Whether somebody answers, sooner or later.
    pub(super) answered: bool,
    /// Whether it has a deadline.
    pub(super) timeout: bool,
    /// Whether it has an answer for the deadline.
    pub(super) default: bool,
    pub(super) on_the_clock: bool,
}

/// The answer that counts when a deadline passes.
pub(super) const DEFAULT: u64 = 1_000;

impl Ask {
    /// After how long it is answered, and by what.
    pub(super) fn answer(self, seed: u64, place: &Place) -> Option<(u64, u64)> {
        let drawn = place.draw(seed, 5);
        self.answered.then_some((2 + drawn % LONGEST, drawn >> 40 & 0xff))
    }

    /// How long it waits.
    pub(super) fn deadline(self, seed: u64, place: &Place) -> Option<u64> {
        self.timeout.then(|| 2 + place.draw(seed, 6) % LONGEST)
    }

    fn read(words: &str) -> Self {
        let has = |word: &str| words.split('+').any(|found| found == word);
        let asks = Self {
            answered: has("answered"),
            timeout: has("timeout"),
            default: has("default"),
            on_the_clock: has("clock"),
        };
        assert_eq!(asks.to_string(), words);
        asks
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answered, timeout, default, on_the_clock } = *self;
        let words =
            [(answered, "answered"), (timeout, "timeout"), (default, "default"), (on_the_clock, "clock")];
        let words: Vec<_> = words.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect();
        f.write_str(&words.join("+"))
    }
}

/// How an attempt fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    Error,
    Panic,
    /// It never ends by itself.
    Hang,
}

/// A field of the state, one for each reducer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Field {
    Text,
    List,
    Last,
    Sum,
    Most,
    Least,
    /// A map to which each visit of each node adds a key of its own.
    Own,
    /// The same map; all set one key.
    Shared,
    Set,
    Folded,
    Mixed,
}

/// What speaks: an attempt of a visit or of an item.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place {
    pub(super) path: String,
    pub(super) visit: u32,
    pub(super) item: Option<u32>,
    pub(super) attempt: u32,
}

/// The longest time that is drawn. So long that two branches seldom do something in the same moment.
const LONGEST: u64 = 10_000_000;

impl Place {
    /// A number that only this place, the seed and the question decide.
    fn draw(&self, seed: u64, question: u64) -> u64 {
        let mut random = Random::from_seed(seed ^ question.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let numbers = [self.visit, self.attempt, self.item.map_or(0, |item| item + 1)];
        let bytes = self.path.bytes().map(u64::from).chain(numbers.map(u64::from));
        bytes.for_each(|part| random = Random::from_seed(random.next() ^ part));
        random.next()
    }

    /// The place of the visit around it, whatever the attempt and the item.
    fn visit_only(&self) -> Self {
        Self { attempt: 1, item: None, ..self.clone() }
    }
}

/// What a visit, or an item, returns and how. Engine and reference ask the same questions here.
impl NodeSpec {
    pub(super) fn is_join(&self) -> bool {
        self.any || self.after.len() > 1
    }

    pub(super) fn takes(&self, seed: u64, place: &Place) -> u64 {
        self.takes.unwrap_or_else(|| 2 + place.draw(seed, 1) % LONGEST)
    }

    pub(super) fn fault(&self, seed: u64, place: &Place) -> Option<Fault> {
        let whose = Place { attempt: 1, ..place.clone() };
        let spared = self.flaky && !whose.draw(seed, 2).is_multiple_of(3);
        self.faults.get(place.attempt as usize - 1).copied().filter(|_| !spared)
    }

    /// Where it goes: nodes, of which none is the end. `None` without routes.
    pub(super) fn goes(&self, seed: u64, place: &Place) -> Option<Vec<String>> {
        if self.routes.is_empty() {
            return None;
        }
        if let Some(last) = self.goes.last() {
            return Some(self.goes.get(place.visit as usize - 1).unwrap_or(last).clone());
        }
        let drawn = place.visit_only().draw(seed, 3);
        let pick = |by: u64| self.routes[(by % self.routes.len() as u64) as usize].clone();
        let mut names = vec![pick(drawn)];
        if drawn >> 32 & 1 == 1 {
            names.push(pick(drawn >> 16));
        }
        let ends = names.iter().any(|name| name == "end");
        Some(if ends { vec!["end".into()] } else { names })
    }

    /// What it changes, given the state that it sees, what it was answered, and the result of the workflow that it runs.
    pub(super) fn update(
        &self,
        seed: u64,
        place: &Place,
        state: &Map<String, Value>,
        answer: Option<u64>,
        inner: Option<&Map<String, Value>>,
    ) -> Map<String, Value> {
        let number = place.visit_only().draw(seed, 4) % 1_000 + u64::from(place.item.unwrap_or(0));
        let seen = state["text"].as_str().unwrap().len() as u64 + state["sum"].as_u64().unwrap();
        let name = place.path.rsplit('/').next().unwrap();
        let item = place.item.map(|item| format!(".{item}")).unwrap_or_default();
        let answer = answer.map(|answer| format!("={answer}")).unwrap_or_default();
        let said = format!("{name}{}{item}{answer} ", place.visit);
        let mut update = Map::new();
        for field in &self.writes {
            let (key, value) = match field {
                Field::Text => ("text", json!(said)),
                Field::List => ("list", json!([number, seen])),
                Field::Last => ("last", json!(seen)),
                Field::Sum => ("sum", json!(number)),
                Field::Most => ("most", json!(number + seen)),
                Field::Least => ("least", json!(number)),
                Field::Own => ("map", json!({said.as_str(): seen})),
                Field::Shared => ("map", json!({"shared": seen})),
                Field::Set => ("set", json!([number % 7])),
                Field::Folded => ("folded", json!(number)),
                Field::Mixed => ("mixed", json!(number)),
            };
            update.insert(key.into(), value);
        }
        if let Some(inner) = inner {
            update.insert("text".into(), json!(format!("{said}[{}] ", inner["text"].as_str().unwrap())));
        }
        update
    }

    /// The state from which the workflow within it begins.
    pub(super) fn given(state: &Map<String, Value>) -> Map<String, Value> {
        let mut given = empty();
        given.insert("sum".into(), state["sum"].clone());
        given
    }
}

/// The state in which every run begins.
pub(super) fn empty() -> Map<String, Value> {
    let fields = json!({
        "text": "", "list": [], "last": 0, "sum": 0, "most": 0, "least": u64::from(u32::MAX), "map": {}, "set": [],
        "folded": 0, "mixed": 0
    });
    fields.as_object().unwrap().clone()
}

/// Reads a workflow of lines, of which each is a node: `name < a & b > c end : options`. The first node is the start.
/// After `<` stand the nodes that it runs after, with `&` for all and `|` for the first; after `>` its routes. A line that
/// begins with `:` holds options of the workflow.
pub(super) fn spec(lines: &[&str]) -> Spec {
    let mut spec = Spec { max_steps: 1_000, ..Spec::default() };
    for line in lines {
        let (shape, options) = line.split_once(':').unwrap_or((line, ""));
        let options = options.split_whitespace().map(|option| option.split_once('=').unwrap_or((option, "")));
        if shape.trim().is_empty() {
            options.for_each(|(name, value)| spec.option(name, value));
        } else {
            let mut node = NodeSpec::read(shape);
            options.for_each(|(name, value)| node.option(name, value));
            node.start = spec.nodes.is_empty();
            spec.nodes.push(node);
        }
    }
    spec
}

fn number<T: FromStr<Err: fmt::Debug>>(value: &str) -> T {
    value.parse().unwrap()
}

impl Spec {
    fn option(&mut self, name: &str, value: &str) {
        match name {
            "max_steps" => self.max_steps = number(value),
            "timeout" => self.timeout = Some(number(value)),
            "cancel" => self.cancel_at = Some(number(value)),
            _ => panic!("unknown option of a workflow: {name}"),
        }
    }

    /// The node of a path such as `outer/inner`.
    pub(super) fn at(&self, path: &str) -> &NodeSpec {
        let (name, within) = path.split_once('/').map_or((path, None), |(name, rest)| (name, Some(rest)));
        let node = self.nodes.iter().find(|node| node.name == name).unwrap();
        within.map_or(node, |path| node.runs.as_deref().unwrap().at(path))
    }

    /// With the workflow that a node runs.
    pub(super) fn within(mut self, node: &str, inner: Self) -> Self {
        self.nodes.iter_mut().find(|other| other.name == node).unwrap().runs = Some(Box::new(inner));
        self
    }
}

impl NodeSpec {
    fn read(shape: &str) -> Self {
        let (shape, routes) = shape.split_once('>').unwrap_or((shape, ""));
        let (name, after) = shape.split_once('<').unwrap_or((shape, ""));
        let words = |text: &str| -> Vec<String> { text.split_whitespace().map(String::from).collect() };
        Self {
            name: name.trim().into(),
            after: words(&after.replace(['&', '|'], " ")),
            any: after.contains('|'),
            routes: words(routes),
            writes: vec![Field::Text],
            ..Self::default()
        }
    }

    fn option(&mut self, name: &str, value: &str) {
        match name {
            "takes" => self.takes = Some(number(value)),
            "timeout" => self.timeout = Some(number(value)),
            "attempts" => self.attempts = Some(number(value)),
            "on" => {
                self.retry_on = Some(if value == "node_timeout" { "node_timeout" } else { "node_panicked" })
            }
            "fails" => self.faults = vec![Fault::Error; number(value)],
            "panics" => self.faults = vec![Fault::Panic; number(value)],
            "hangs" => self.faults = vec![Fault::Hang; number(value)],
            "flaky" => self.flaky = true,
            "gathers" => self.gathers = true,
            "asks" => self.asks = Some(Ask::read(value)),
            "items" => {
                let (count, concurrency) = value.split_once('/').unwrap();
                self.items = Some((number(count), number(concurrency)));
            }
            "goes" => {
                let choices = value.split(',').map(|choice| {
                    choice.split('+').filter(|name| !name.is_empty()).map(String::from).collect()
                });
                self.goes = choices.collect();
            }
            "writes" => {
                self.writes = value.split(',').filter(|name| !name.is_empty()).map(Field::read).collect()
            }
            _ => panic!("unknown option of a node: {name}"),
        }
    }
}

impl Field {
    pub(super) const ALL: [Self; 11] = [
        Self::Text,
        Self::List,
        Self::Last,
        Self::Sum,
        Self::Most,
        Self::Least,
        Self::Own,
        Self::Shared,
        Self::Set,
        Self::Folded,
        Self::Mixed,
    ];

    fn read(name: &str) -> Self {
        let named = |field: &Self| format!("{field:?}").eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(named).unwrap()
    }
}

/// The lines that [`spec`] reads, so that a failure can be copied into the table.
impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ": max_steps={}", self.max_steps)?;
        for (name, value) in [("timeout", self.timeout), ("cancel", self.cancel_at)] {
            value.map_or(Ok(()), |value| write!(f, " {name}={value}"))?;
        }
        for node in &self.nodes {
            write!(f, "\n{node}")?;
            if let Some(inner) = &node.runs {
                write!(f, "\n    {}", inner.to_string().replace('\n', "\n    "))?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for NodeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if !self.after.is_empty() {
            // A join of the first of one node is written with a bar too.
            let (sign, end) =
                if self.any { (" | ", if self.after.len() == 1 { " |" } else { "" }) } else { (" & ", "") };
            write!(f, " < {}{end}", self.after.join(sign))?;
        }
        if !self.routes.is_empty() {
            write!(f, " > {}", self.routes.join(" "))?;
        }
        f.write_str(" :")?;
        let writes: Vec<_> = self.writes.iter().map(|field| format!("{field:?}").to_lowercase()).collect();
        write!(f, " writes={}", writes.join(","))?;
        let mut option = |name: &str, value: Option<String>| {
            value.map_or(Ok(()), |value| {
                write!(f, " {name}{}{value}", if value.is_empty() { "" } else { "=" })
            })
        };
        option("takes", self.takes.map(|takes| takes.to_string()))?;
        option("timeout", self.timeout.map(|timeout| timeout.to_string()))?;
        option("attempts", self.attempts.map(|attempts| attempts.to_string()))?;
        option("on", self.retry_on.map(String::from))?;
        let fault = match self.faults.first() {
            Some(Fault::Error) => "fails",
            Some(Fault::Panic) => "panics",
            Some(Fault::Hang) => "hangs",
            None => "",
        };
        option(fault, self.faults.first().map(|_| self.faults.len().to_string()))?;
        option("flaky", self.flaky.then(String::new))?;
        option("gathers", self.gathers.then(String::new))?;
        option("asks", self.asks.map(|asks| asks.to_string()))?;
        option("items", self.items.map(|(count, concurrency)| format!("{count}/{concurrency}")))?;
        let goes: Vec<_> = self.goes.iter().map(|choice| choice.join("+")).collect();
        option("goes", Some(goes.join(",")).filter(|goes| !goes.is_empty()))
    }
}
