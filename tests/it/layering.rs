//! The dependency order of ARCHITECTURE.md, held by reading the `use crate::` lines.

use std::fs;
use std::path::{Path, PathBuf};

/// Left may use right, never a neighbour of the same layer.
const LAYERS: &[&[&str]] = &[
    &["main", "cli"],
    &["app"],
    &["fhir", "xdm", "serve"],
    &["ebrim"],
    &["operation"],
    &["notice"],
    &["journal"],
    &["store"],
    &["access"],
    &["identity"],
    &["limits"],
    &["tls", "cda"],
    &["xml"],
    &["refusal"],
    &["domain"],
    &["spool", "clock", "telemetry"],
    &["config"],
];

/// Accepted against the order, each with its reason.
const EXCEPTIONS: &[(&str, &str)] = &[
    // Identifiers are born through `clock`, hashes are computed while spooling.
    ("spool", "domain"),
];

#[test]
fn modules_use_only_what_lies_to_their_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in rust_files(&root) {
        let user = module_of(&root, &file);
        let text = fs::read_to_string(&file).expect("source file");
        for used in used_modules(&text) {
            if !may_use(&user, &used) {
                wrong.push(format!("{}: `{user}` must not use `{used}`", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_store_names_sqlx_and_only_its_own_files_speak_sql() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in rust_files(&root) {
        let text = fs::read_to_string(&file).expect("source file");
        let in_store = module_of(&root, &file) == "store";
        assert!(in_store || !text.contains("sqlx::"), "{} names sqlx", file.display());
    }
}

#[test]
fn no_source_file_is_longer_than_800_lines() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in rust_files(&root) {
        let lines = fs::read_to_string(&file).expect("source file").lines().count();
        assert!(lines <= 800, "{} has {lines} lines", file.display());
    }
}

fn may_use(user: &str, used: &str) -> bool {
    if user == used || EXCEPTIONS.contains(&(user, used)) {
        return true;
    }
    matches!((layer(user), layer(used)), (Some(left), Some(right)) if left < right)
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn module_of(root: &Path, file: &Path) -> String {
    let relative = file.strip_prefix(root).expect("below src");
    let first = relative.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// Every `x` of `crate::x`, in `use` lines and in paths alike.
fn used_modules(text: &str) -> Vec<String> {
    let names = text
        .split("crate::")
        .skip(1)
        .map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>());
    names.filter(|name| !name.is_empty()).collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && path.file_name() != Some("lib.rs".as_ref())
        {
            files.push(path);
        }
    }
    files
}
