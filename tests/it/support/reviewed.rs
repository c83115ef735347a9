//! Tables that a person reviews: what the code makes is held against the copy that was read.

use std::path::Path;

/// Fails with the first line that differs from `tests/{file}`, unless told to write it (`CARNET_DECISION=write`).
pub(crate) fn compare(file: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(file);
    if std::env::var_os("CARNET_DECISION").is_some_and(|word| word == "write") {
        return std::fs::write(&path, made).expect("the table is written");
    }
    let reviewed = std::fs::read_to_string(&path).unwrap_or_default();
    let lines = reviewed.lines().map(Some).chain(std::iter::repeat(None));
    for (place, (made, reviewed)) in made.lines().zip(lines).enumerate() {
        assert_eq!(Some(made), reviewed, "tests/{file}, line {}: what is decided differs", place + 1);
    }
    assert_eq!(made, reviewed, "tests/{file} has lines that nothing decides");
}

/// A table in the manner of Markdown, with columns of even width.
pub(crate) fn table(header: &[String], rows: &[Vec<String>]) -> String {
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
