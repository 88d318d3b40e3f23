//! The figures of `docs/benchmarks.md`: server and floor in turn, several rounds, as a Markdown table.

mod figures;
mod machine;

use std::io::Write;

use crate::{arguments::TableOptions, error::Error, modes, report::Report, spread::Spread};

use figures::Figure;

/// Measures all figures and prints the table; whether all aims were met.
pub(crate) fn run(options: &TableOptions) -> Result<bool, Error> {
    let figures: Vec<Figure> = figures::all(options)
        .into_iter()
        .filter(|figure| options.only.as_ref().is_none_or(|only| figure.name.contains(only)))
        .collect();
    if figures.is_empty() {
        return Err(Error::Usage("no figure's name contains what --only says"));
    }
    let mut table = machine::describe(options.rounds, options.seconds);
    table.push_str(
        "\n| figure | measure | floor | server | server ÷ floor | aim |\n|---|---|---:|---:|---:|---|\n",
    );
    let mut all_met = true;
    for figure in &figures {
        let mut floor = Vec::new();
        let mut server = Vec::new();
        for round in 1..=options.rounds {
            for (load, reports) in [(&figure.floor, &mut floor), (&figure.server, &mut server)] {
                let report = modes::run(figure.mode, load)?;
                let line = serde_json::to_string(&report).map_err(Error::Report)?;
                let subject = if load.floor { "floor " } else { "server" };
                eprintln!("{} · round {round} · {subject} · {line}", figure.name);
                reports.push(report);
            }
        }
        all_met &= rows(figure, &floor, &server, &mut table);
    }
    write!(std::io::stdout(), "{table}").map_err(Error::Output)?;
    Ok(all_met)
}

/// What a row shows of each run.
struct Measure {
    name: &'static str,
    decimals: usize,
    of: fn(&Report) -> Option<f64>,
}

const MEASURES: [Measure; 8] = [
    Measure { name: "CPU, µs per token", decimals: 3, of: |report| report.server_cpu_us_per_token },
    Measure {
        name: "tokens per second",
        decimals: 0,
        of: |report| (report.rate > 0.0).then_some(report.rate),
    },
    Measure {
        name: "tokens per frame",
        decimals: 2,
        of: |report| (report.frames > 0).then(|| report.delivered as f64 / report.frames as f64),
    },
    Measure {
        name: "tokens per read",
        decimals: 2,
        of: |report| (report.reads > 0).then(|| report.delivered as f64 / report.reads as f64),
    },
    Measure { name: "p50, ms", decimals: 2, of: |report| Some(report.latency_ms?.p50) },
    Measure { name: "p99, ms", decimals: 2, of: |report| Some(report.latency_ms?.p99) },
    Measure { name: "p99.9, ms", decimals: 2, of: |report| Some(report.latency_ms?.p999) },
    Measure {
        name: "RSS, bytes per connection",
        decimals: 0,
        of: |report| report.rss_bytes_per_connection.filter(|_| report.mode == "idle"),
    },
];

/// Appends the rows of a figure; whether its aims were met and its runs were whole.
fn rows(figure: &Figure, floor: &[Report], server: &[Report], table: &mut String) -> bool {
    let whole = server.iter().all(|report| report.ok);
    let mut met = whole;
    let mut name = figure.name.as_str();
    for measure in &MEASURES {
        let spread = |reports: &[Report]| Spread::of(reports.iter().filter_map(measure.of));
        let (of_floor, of_server) = (spread(floor), spread(server));
        let Some(of_server) = of_server else { continue };
        let ratio = of_floor
            .as_ref()
            .map(|of_floor| of_server.median / of_floor.median)
            .filter(|ratio| ratio.is_finite());
        let aims: Vec<String> = figure
            .aims
            .iter()
            .filter(|aim| aim.measure() == measure.name)
            .map(|aim| {
                let holds = aim.holds(of_server.median, ratio);
                met &= holds;
                format!("{}: {}", aim.text(), if holds { "met" } else { "**missed**" })
            })
            .collect();
        let show = |spread: &Spread| spread.show(measure.decimals);
        let line = format!(
            "| {name} | {} | {} | {} | {} | {} |\n",
            measure.name,
            of_floor.as_ref().map(show).unwrap_or_default(),
            show(&of_server),
            ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
            aims.join(", "),
        );
        table.push_str(&line);
        name = "";
    }
    let broken = floor.iter().chain(server).filter(|report| !report.ok).count();
    if broken > 0 {
        table.push_str(&format!(
            "| {name} | **{broken} runs lost, doubled or reordered tokens, or lost connections** | | | | |\n"
        ));
    }
    met
}

#[cfg(test)]
mod tests {
    use super::{figures::Aim, *};

    fn report(cpu: f64) -> Report {
        Report { ok: true, server_cpu_us_per_token: Some(cpu), ..Report::default() }
    }

    #[test]
    fn a_missed_aim_and_a_broken_run_both_show() {
        let options = TableOptions {
            server: "server".into(),
            server_arguments: Vec::new(),
            rounds: 1,
            seconds: 1.0,
            only: None,
            shrink: 1,
        };
        let mut figures = figures::all(&options);
        let figure = &mut figures[0];
        figure.aims = vec![Aim::CpuTimesFloor(1.3)];
        let check = |server: Report, expected: bool, text: &str| {
            let mut table = String::new();
            assert_eq!(rows(figure, &[report(1.0)], &[server], &mut table), expected, "{table}");
            assert!(table.contains(text), "{table}");
        };
        check(report(1.2), true, "| 1.20 | ≤ 1.3 × floor: met |");
        check(report(1.4), false, "| 1.40 | ≤ 1.3 × floor: **missed** |");
        check(Report { ok: false, ..report(1.2) }, false, "1 runs lost");
    }
}
