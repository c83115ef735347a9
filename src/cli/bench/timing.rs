//! Whether the time of an answer tells a hidden document from an absent one. Each way to name a document is asked for
//! both, in random order, and the two samples are compared.
//!
//! They separate when both hold:
//! - they are of two distributions (Kolmogorov-Smirnov), with p below 0.01 divided by the number of tests (Bonferroni);
//! - their medians are more than 20 us apart, or 1 % of the median where that is more.
//!
//! The second, for in a large sample any two programs differ. What a network hides is known: 15 to 100 us across the
//! internet, down to 0.1 us beside the server, with thousands of measurements of each (Crosby, Wallach and Riedi,
//! *Opportunities and limits of remote timing attacks*, 2009). Here each measurement is a line of the journal under the
//! name of who asks, and wants the id of the document beforehand, which nobody guesses; so what takes tens of thousands
//! is no silent way to learn that something exists. Differences that are found and too small are told, not hidden.
//!
//! Two controls stand beside: absent against absent must not separate, shown against absent must. Without the
//! second, a test that sees nothing would look like a gateway that tells nothing.

mod questions;
mod statistics;

use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value, json};

use self::questions::Question;
use self::statistics::{Comparison, Random, Spread};
use super::options::EndingOptions;
use crate::cli::{Ending, print_json, say};
use crate::clock::new_uuid;

#[derive(Args)]
pub(super) struct Arguments {
    /// Answers of each kind, on each route: 500 take five minutes, for answers that show nothing leave on a beat
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    samples: u32,
    #[command(flatten)]
    ending: EndingOptions,
}

/// Refused: something separates, or a control says that the measurement is worth nothing.
pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<Ending> {
    let scene = arguments.ending.scene()?;
    let gateway = scene.start_gateway(1).await?;
    let questions = questions::prepare(&scene, &gateway.target).await?;
    let mut random = Random::seeded(new_uuid().as_u64_pair().1);
    let tests = questions.len();
    let mut findings = Vec::with_capacity(tests);
    for question in &questions {
        let samples = question.ask(&gateway.target.fhir_url, arguments.samples.try_into()?, &mut random).await?;
        findings.push(Finding::of(question, Comparison::of(samples, &mut random), tests));
    }
    let findings = Findings { samples: arguments.samples, findings };
    if arguments.ending.json {
        print_json(&findings.to_json());
    } else {
        say(findings.to_table().trim_end());
    }
    Ok(if findings.hold() { Ending::Done } else { Ending::Refused })
}

struct Findings {
    samples: u32,
    findings: Vec<Finding>,
}

struct Finding {
    route: &'static str,
    case: &'static str,
    is_hidden: bool,
    comparison: Comparison,
    threshold_us: f64,
    verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// No difference is proven.
    Alike,
    /// One is, and it is too small to be of use.
    Close,
    Separate,
}

impl Verdict {
    /// `threshold_us`: how far apart medians may be.
    fn of(comparison: &Comparison, tests: usize, threshold_us: f64) -> Self {
        if comparison.p >= level(tests) {
            Self::Alike
        } else if comparison.difference_us.abs() <= threshold_us {
            Self::Close
        } else {
            Self::Separate
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Alike => "alike",
            Self::Close => "close",
            Self::Separate => "separate",
        }
    }
}

impl Finding {
    fn of(question: &Question, comparison: Comparison, tests: usize) -> Self {
        let threshold_us = THRESHOLD_US.max(comparison.samples[1].median * THRESHOLD_SHARE);
        Self {
            route: question.route,
            case: question.case.word(),
            is_hidden: question.case.is_hidden(),
            threshold_us,
            verdict: Verdict::of(&comparison, tests, threshold_us),
            comparison,
        }
    }

    /// What is hidden must not separate, what is shown must.
    fn holds(&self) -> bool {
        self.is_hidden == (self.verdict != Verdict::Separate)
    }

    fn to_json(&self) -> Value {
        let Comparison { samples: [hidden, absent], distance, p, difference_us, interval_us } = &self.comparison;
        let spread = |spread: &Spread| json!({ "p10": tenth(spread.p10), "p50": tenth(spread.median), "p90": tenth(spread.p90) });
        json!({
            "route": self.route,
            "case": self.case,
            "asked_us": spread(hidden),
            "absent_us": spread(absent),
            "d": (distance * 1e4).round() / 1e4,
            "p": p,
            "difference_us": tenth(*difference_us),
            "interval_us": interval_us.map(tenth),
            "threshold_us": tenth(self.threshold_us),
            "verdict": self.verdict.word(),
            "holds": self.holds(),
        })
    }

    fn write_row(&self, text: &mut String) {
        let Comparison { samples, distance, p, difference_us, interval_us: [low, high] } = &self.comparison;
        let [asked, absent] =
            samples.each_ref().map(|Spread { p10, median, p90 }| format!("{median:.0} ({p10:.0} to {p90:.0})"));
        let difference = format!("{difference_us:.1} ({low:.1} to {high:.1})");
        let mark = if self.holds() { "" } else { "  <-" };
        let _ = writeln!(
            text,
            "{:<29}{:<17}{asked:>24}{absent:>24}{distance:>8.4}{p:>9.1e}{difference:>25}  {}{mark}",
            self.route,
            self.case,
            self.verdict.word(),
        );
    }
}

impl Findings {
    fn hold(&self) -> bool {
        self.findings.iter().all(Finding::holds)
    }

    fn separated(&self) -> usize {
        let separates = |finding: &&Finding| finding.is_hidden && finding.verdict == Verdict::Separate;
        self.findings.iter().filter(separates).count()
    }

    fn to_json(&self) -> Value {
        json!({
            "bench": "timing",
            "samples": self.samples,
            "level": level(self.findings.len()),
            "routes": self.findings.iter().map(Finding::to_json).collect::<Vec<_>>(),
            "separated": self.separated(),
            "holds": self.hold(),
        })
    }

    fn to_table(&self) -> String {
        let tests = self.findings.len();
        let mut text = format!(
            "timing: {} answers of each kind; times in us: median (p10 to p90); difference of medians (99 % interval)\n\n",
            self.samples
        );
        let _ = writeln!(
            text,
            "{:<29}{:<17}{:>24}{:>24}{:>8}{:>9}{:>25}  verdict",
            "route", "asked for", "its time", "of an absent one", "D", "p", "difference"
        );
        self.findings.iter().for_each(|finding| finding.write_row(&mut text));
        let _ = writeln!(
            text,
            "\nseparate: p < {:.1e} (0.01 of {tests} tests) and medians more than {THRESHOLD_US} us and 1 % apart; \
             close: only the first",
            level(tests)
        );
        let outcome = match (self.separated(), self.hold()) {
            (0, true) => "nothing that is hidden can be told from what is absent".to_owned(),
            (0, false) => "the control does not separate: too few samples, or too busy a machine".to_owned(),
            (count, _) => format!("{count} separate"),
        };
        text.push_str(&outcome);
        text
    }
}

/// Bonferroni: one false alarm in a hundred runs, however many tests a run has.
fn level(tests: usize) -> f64 {
    LEVEL / f64::from(u32::try_from(tests.max(1)).unwrap_or(u32::MAX))
}

fn tenth(us: f64) -> f64 {
    (us * 10.0).round() / 10.0
}

const LEVEL: f64 = 0.01;
const THRESHOLD_US: f64 = 20.0;
const THRESHOLD_SHARE: f64 = 0.01;

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(p: f64, difference_us: f64) -> Comparison {
        let spread = |median| Spread { p10: 900.0, median, p90: 1_200.0 };
        Comparison {
            samples: [spread(1_000.0 + difference_us), spread(1_000.0)],
            distance: 0.2,
            p,
            difference_us,
            interval_us: [difference_us - 5.0, difference_us + 5.0],
        }
    }

    fn finding(is_hidden: bool, p: f64, difference_us: f64) -> Finding {
        let comparison = comparison(p, difference_us);
        let verdict = Verdict::of(&comparison, 10, THRESHOLD_US);
        let (route, case) = ("Binary/{id}", "masked");
        Finding { route, case, is_hidden, comparison, threshold_us: THRESHOLD_US, verdict }
    }

    #[test]
    fn what_is_proven_and_of_use_separates() {
        let verdict = |p, difference_us| Verdict::of(&comparison(p, difference_us), 10, THRESHOLD_US);
        assert_eq!(verdict(1e-4, 40.0), Verdict::Separate);
        assert_eq!(verdict(1e-4, -40.0), Verdict::Separate);
        assert_eq!(verdict(1e-4, 12.0), Verdict::Close);
        assert_eq!(verdict(5e-3, 40.0), Verdict::Alike);
    }

    #[test]
    fn a_run_fails_when_something_hidden_separates_and_when_nothing_shown_does() {
        let run = |findings| Findings { samples: 1_000, findings };
        let good = run(vec![finding(true, 0.5, 3.0), finding(false, 1e-9, 600.0)]);
        assert!(good.hold() && good.to_json()["holds"] == true, "{}", good.to_table());
        let leaks = run(vec![finding(true, 1e-9, 60.0), finding(false, 1e-9, 600.0)]);
        assert!(!leaks.hold() && leaks.to_json()["separated"] == 1, "{}", leaks.to_table());
        let blind = run(vec![finding(true, 0.5, 3.0), finding(false, 0.5, 3.0)]);
        assert!(!blind.hold() && blind.to_table().contains("the control does not separate"));
    }

    #[test]
    fn the_json_of_a_route_tells_all_that_the_verdict_rests_on() {
        let json = finding(true, 1e-4, 40.0).to_json();
        assert_eq!(json["asked_us"], json!({ "p10": 900.0, "p50": 1_040.0, "p90": 1_200.0 }));
        assert_eq!((&json["difference_us"], &json["interval_us"]), (&json!(40.0), &json!([35.0, 45.0])));
        assert_eq!((&json["verdict"], &json["holds"], &json["p"]), (&json!("separate"), &json!(false), &json!(1e-4)));
    }
}
