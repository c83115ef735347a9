//! A coded value.

/// A code, the system it comes from and the text that was sent with it.
///
/// `system` is the OID in dotted form wherever one is known, else the URI: adapters translate with
/// [`super::value_set::Terminology`], so that the same concept compares equal whichever face sent it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Code {
    pub system: String,
    pub code: String,
    pub display: Option<String>,
}

impl Code {
    pub fn new(system: &str, code: &str) -> Self {
        Self { system: system.to_owned(), code: code.to_owned(), display: None }
    }

    pub fn with_display(mut self, display: &str) -> Self {
        self.display = Some(display.to_owned());
        self
    }

    /// Same concept, whatever the display says: displays are never compared (C.2).
    pub fn is(&self, other: &Self) -> bool {
        self.system == other.system && self.code == other.code
    }
}
