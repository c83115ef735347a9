//! `[journal]`: the key that signs heads of the journal, and how often one is kept. Source: F.5.

use std::path::{Path, PathBuf};

use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct Journal {
    /// PEM, PKCS#8, Ed25519; made when the journal begins. Empty: the database file's name and `-journal.key`.
    pub key: PathBuf,
    /// JSON lines, appended to. Empty: the database file's name and `-heads.jsonl`.
    pub heads_file: PathBuf,
    /// How often a head is kept for good, where lines came.
    pub head_seconds: u32,
}

impl Default for Journal {
    fn default() -> Self {
        Self { key: PathBuf::new(), heads_file: PathBuf::new(), head_seconds: 60 }
    }
}

impl Journal {
    pub(super) fn resolve_paths(&mut self, base: &Path) {
        for path in [&mut self.key, &mut self.heads_file] {
            if !path.as_os_str().is_empty() {
                *path = base.join(&*path);
            }
        }
    }

    /// Key and problem of a value that cannot be meant.
    pub(super) fn contradiction(&self) -> Option<(&'static str, &'static str)> {
        const DAY_S: u32 = 86_400;
        let is_rhythm = (1..=DAY_S).contains(&self.head_seconds);
        (!is_rhythm).then_some(("journal.head_seconds", "between a second and a day"))
    }
}

pub(super) const KEYS: &[&str] = &["key", "heads_file", "head_seconds"];
