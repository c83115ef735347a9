//! What a bench says in the end: a table to read, or one JSON object.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::child::Resident;
use super::figures::{Figures, Summary};

pub(super) struct Report {
    pub(super) bench: &'static str,
    /// The settings that the figures depend on, in the order they are shown.
    pub(super) settings: Vec<(&'static str, Value)>,
    /// The first speaks for the bench; others stand under their name.
    pub(super) lines: Vec<Line>,
    /// What else was found out, in the order it is shown.
    pub(super) outcomes: Vec<(&'static str, Value)>,
    pub(super) server: Option<ServerFacts>,
    pub(super) warning: Option<String>,
}

/// One load against one server, and perhaps against another to compare with.
pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) figures: Figures,
    pub(super) against: Option<Against>,
    /// Where processor time is what counts.
    pub(super) per_core: Option<PerCore>,
}

/// The same load against something else, in turn.
pub(super) struct Against {
    /// Stands before the names of its figures.
    pub(super) name: &'static str,
    pub(super) figures: Figures,
}

/// Exchanges in a second of processor time of the server alone, whatever the clients beside it use.
#[derive(Debug, Clone, Copy)]
pub(super) struct PerCore {
    pub(super) gateway: f64,
    pub(super) limit: f64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct ServerFacts {
    pub(super) start: Duration,
    pub(super) resident: Option<Resident>,
}

impl Report {
    pub(super) fn errors(&self) -> u64 {
        self.lines.iter().map(Line::errors).sum()
    }

    pub(super) fn to_json(&self) -> Value {
        let mut all = Map::new();
        all.insert("bench".to_owned(), self.bench.into());
        all.extend(self.settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let mut lines = self.lines.iter();
        all.extend(lines.next().map(Line::to_json).unwrap_or_default());
        all.extend(lines.map(|line| (line.name.to_owned(), line.to_json().into())));
        all.insert("errors".to_owned(), self.errors().into());
        all.extend(self.outcomes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        if let Some(ServerFacts { start, resident }) = self.server {
            all.insert("start_ms".to_owned(), rounded(start.as_secs_f64() * 1e3));
            if let Some(Resident { idle_mb, peak_mb }) = resident {
                let memory = json!({ "idle": rounded(idle_mb), "peak": rounded(peak_mb) });
                all.insert("server_rss_mb".to_owned(), memory);
            }
        }
        all.extend(self.warning.as_ref().map(|warning| ("warning".to_owned(), warning.as_str().into())));
        all.into()
    }

    pub(super) fn to_table(&self) -> String {
        let mut text = format!("{}: {}\n\n", self.bench, list(&self.settings));
        row(&mut text, "", ["per second", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "errors"].map(str::to_owned));
        self.lines.iter().for_each(|line| line.write_rows(&mut text));
        text.push('\n');
        if !self.outcomes.is_empty() {
            let _ = writeln!(text, "{}", list(&self.outcomes));
        }
        if let Some(ServerFacts { start, resident }) = self.server {
            let _ = write!(text, "server: ready {:.0} ms after its start", start.as_secs_f64() * 1e3);
            if let Some(Resident { idle_mb, peak_mb }) = resident {
                let _ = write!(text, "; {idle_mb:.1} MB resident when idle, {peak_mb:.1} MB at most");
            }
            text.push('\n');
        }
        for line in &self.lines {
            for error in line.all().filter_map(|figures| figures.first_error.as_ref()) {
                let _ = writeln!(text, "error in {}: {error}", line.name);
            }
        }
        if let Some(warning) = &self.warning {
            let _ = writeln!(text, "warning: {warning}");
        }
        text
    }
}

impl Line {
    fn all(&self) -> impl Iterator<Item = &Figures> {
        std::iter::once(&self.figures).chain(self.against.as_ref().map(|against| &against.figures))
    }

    fn errors(&self) -> u64 {
        self.all().map(|figures| figures.errors).sum()
    }

    fn ratio(&self) -> Option<f64> {
        let other = self.against.as_ref()?.figures.summary().per_second;
        (other > 0.0).then(|| self.figures.summary().per_second / other)
    }

    fn to_json(&self) -> Map<String, Value> {
        let mut all = fields(&self.figures.summary());
        all.insert("errors".to_owned(), self.errors().into());
        if self.figures.unsent > 0 {
            all.insert("unsent".to_owned(), self.figures.unsent.into());
        }
        if let Some(error) = self.all().find_map(|figures| figures.first_error.as_ref()) {
            all.insert("first_error".to_owned(), error.as_str().into());
        }
        let parts: Map<_, _> =
            self.figures.parts().iter().map(|(part, summary)| ((*part).to_owned(), fields(summary).into())).collect();
        if !parts.is_empty() {
            all.insert("parts".to_owned(), parts.into());
        }
        if let Some(Against { name: other, figures }) = &self.against {
            all.extend(fields(&figures.summary()).into_iter().map(|(name, value)| (format!("{other}_{name}"), value)));
            all.insert("ratio".to_owned(), self.ratio().map_or(Value::Null, rounded));
        }
        if let Some(PerCore { gateway, limit }) = self.per_core {
            let numbers = [("per_core", gateway), ("limit_per_core", limit), ("per_core_ratio", gateway / limit)];
            all.extend(numbers.map(|(name, number)| (name.to_owned(), rounded(number))));
        }
        all
    }

    fn write_rows(&self, text: &mut String) {
        row(text, self.name, cells(&self.figures.summary(), Some(self.figures.errors)));
        for (part, summary) in self.figures.parts() {
            row(text, &format!("  {part}"), cells(&summary, None));
        }
        if self.figures.unsent > 0 {
            let _ = writeln!(text, "  {} more could not be sent in time", self.figures.unsent);
        }
        if let Some(Against { name, figures }) = &self.against {
            row(text, name, cells(&figures.summary(), Some(figures.errors)));
        }
        if let Some(ratio) = self.ratio() {
            let _ = writeln!(text, "{:<WIDTH$}{ratio:>WIDTH$.3}", "ratio");
        }
        if let Some(PerCore { gateway, limit }) = self.per_core {
            let ratio = gateway / limit;
            let _ = writeln!(
                text,
                "{:<WIDTH$}{gateway:>WIDTH$.1} a second of the server's processor time; limit {limit:.1}, ratio {ratio:.3}",
                "per core"
            );
        }
    }
}

fn list(named: &[(&'static str, Value)]) -> String {
    let named = named.iter().map(|(name, value)| match value {
        Value::String(text) => format!("{name} {text}"),
        other => format!("{name} {other}"),
    });
    named.collect::<Vec<_>>().join(", ")
}

fn fields(summary: &Summary) -> Map<String, Value> {
    let Summary { count, per_second, p50_ms, p99_ms, p999_ms, max_ms } = *summary;
    let numbers =
        [("per_second", per_second), ("p50_ms", p50_ms), ("p99_ms", p99_ms), ("p999_ms", p999_ms), ("max_ms", max_ms)];
    let mut all: Map<_, _> = numbers.into_iter().map(|(name, number)| (name.to_owned(), rounded(number))).collect();
    all.insert("count".to_owned(), count.into());
    all
}

fn cells(summary: &Summary, errors: Option<u64>) -> [String; 6] {
    let Summary { per_second, p50_ms, p99_ms, p999_ms, max_ms, .. } = *summary;
    let ms = [p50_ms, p99_ms, p999_ms, max_ms].map(|ms| format!("{ms:.2}"));
    let [p50, p99, p999, max] = ms;
    [format!("{per_second:.1}"), p50, p99, p999, max, errors.map(|errors| errors.to_string()).unwrap_or_default()]
}

fn row(text: &mut String, name: &str, cells: [String; 6]) {
    let _ = write!(text, "{name:<WIDTH$}");
    for cell in cells {
        let _ = write!(text, "{cell:>WIDTH$}");
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
}

/// Three decimals are more than a run repeats.
fn rounded(number: f64) -> Value {
    json!((number * 1e3).round() / 1e3)
}

const WIDTH: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(part: &'static str, count: u32) -> Figures {
        let mut figures = Figures::over(Duration::from_secs(2));
        (0..count).for_each(|_| figures.count(part, Duration::from_millis(4)));
        figures
    }

    fn report(lines: Vec<Line>) -> Report {
        let resident = Some(Resident { idle_mb: 20.5, peak_mb: 101.25 });
        Report {
            bench: "deposit",
            settings: vec![("size", "250k".into()), ("clients", 16.into())],
            lines,
            outcomes: Vec::new(),
            server: Some(ServerFacts { start: Duration::from_millis(45), resident }),
            warning: None,
        }
    }

    #[test]
    fn the_json_has_the_fields_of_the_contract() {
        let line = Line {
            name: "deposit",
            figures: figures("deposit", 10),
            against: Some(Against { name: "limit", figures: figures("deposit", 16) }),
            per_core: None,
        };
        let json = report(vec![line]).to_json();
        assert_eq!((&json["per_second"], &json["limit_per_second"]), (&json!(5.0), &json!(8.0)));
        assert_eq!((&json["ratio"], &json["errors"]), (&json!(0.625), &json!(0)));
        assert!(json["p50_ms"].as_f64().unwrap() >= 4.0 && json["p99_ms"].is_number());
        assert_eq!(json["server_rss_mb"], json!({ "idle": 20.5, "peak": 101.25 }));
        assert_eq!((&json["start_ms"], &json["clients"]), (&json!(45.0), &json!(16)));
    }

    #[test]
    fn processor_time_is_told_where_it_was_measured() {
        let per_core = Some(PerCore { gateway: 900.0, limit: 1_000.0 });
        let against = Some(Against { name: "limit", figures: figures("full", 1) });
        let report = report(vec![Line { name: "full", figures: figures("full", 1), against, per_core }]);
        let json = report.to_json();
        assert_eq!((&json["per_core"], &json["per_core_ratio"]), (&json!(900.0), &json!(0.9)));
        assert!(report.to_table().contains("limit 1000.0, ratio 0.900"), "{}", report.to_table());
    }

    #[test]
    fn errors_of_every_load_count() {
        let mut failed = figures("full", 1);
        failed.fail(&anyhow::anyhow!("refused"));
        let lines = vec![
            Line {
                name: "full",
                figures: figures("full", 1),
                against: Some(Against { name: "unjournaled", figures: failed }),
                per_core: None,
            },
            Line { name: "resumed", figures: figures("resumed", 1), against: None, per_core: None },
        ];
        let report = report(lines);
        assert_eq!(report.errors(), 1);
        let json = report.to_json();
        assert_eq!((&json["errors"], &json["first_error"]), (&json!(1), &json!("refused")));
        assert_eq!(json["resumed"]["errors"], 0);
        assert!(report.to_table().contains("error in full: refused"));
    }

    #[test]
    fn the_table_shows_the_parts_of_a_mixed_load() {
        let mut mixed = figures("deposit", 1);
        mixed.join(figures("search", 4));
        let table = report(vec![Line { name: "mixed", figures: mixed, against: None, per_core: None }]).to_table();
        assert!(table.contains("  deposit") && table.contains("  search"), "{table}");
        assert!(table.lines().all(|line| line.trim_end() == line), "{table}");
        assert!(table.contains("ready 45 ms after its start; 20.5 MB resident when idle, 101.2 MB at most"), "{table}");
    }
}
