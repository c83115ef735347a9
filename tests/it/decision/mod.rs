//! The decision as tables that a doctor can read, held against the reviewed copies in `tests/decision/`.
//!
//! `CARNET_DECISION=write cargo test --test it decision` writes them anew; the difference is what a review reads.

mod every;
mod list;
mod matrix;
mod phrases;
mod world;

use std::path::Path;

/// Fails with the first line that differs, unless told to write the table.
fn compare(name: &str, made: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/decision").join(name);
    if std::env::var_os("CARNET_DECISION").is_some_and(|word| word == "write") {
        return std::fs::write(&file, made).expect("the table is written");
    }
    let reviewed = std::fs::read_to_string(&file).unwrap_or_default();
    let lines = reviewed.lines().map(Some).chain(std::iter::repeat(None));
    for (place, (made, reviewed)) in made.lines().zip(lines).enumerate() {
        assert_eq!(Some(made), reviewed, "tests/decision/{name}, line {}: what is decided differs", place + 1);
    }
    assert_eq!(made, reviewed, "tests/decision/{name} has lines that nothing decides");
}

/// A table in the manner of Markdown, with columns of even width.
fn table(header: &[String], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        std::iter::once(header)
            .chain(rows.iter().map(Vec::as_slice))
            .map(|row| row[column].chars().count())
            .max()
            .expect("a header")
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &[String]| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("| {} |\n", padded.join(" | "))
    };
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let body: String = rows.iter().map(|row| line(row)).collect();
    format!("{}|-{}-|\n{body}", line(header), rule.join("-|-"))
}
