//! Which characters a text may hold, and how one is shown where only plain lines may stand.

use std::borrow::Cow;

/// Whether FHIR and XML both have this character: no control but tab and line ends, no non-character.
/// Source: FHIR R4 datatypes.html#string; XML 1.0 section 2.2.
pub fn is_text(character: char) -> bool {
    match character {
        '\t' | '\n' | '\r' => true,
        '\u{FFFE}' | '\u{FFFF}' => false,
        other => other >= ' ',
    }
}

/// A text without what no text may hold: for what is told back as it was found.
pub fn cleaned(text: String) -> String {
    if text.chars().all(is_text) {
        return text;
    }
    text.chars().map(|character| if is_text(character) { character } else { char::REPLACEMENT_CHARACTER }).collect()
}

/// A text as part of one line on a terminal: what would break the line, move in it or turn its order is written out.
pub fn on_one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(moves) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if moves(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// Controls, line and paragraph separators, marks of direction.
fn moves(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200E}' | '\u{200F}' | '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_no_text_but_line_ends_and_tabs_are() {
        assert!("é\t\r\n\u{85}".chars().all(is_text));
        assert!(!"\0\u{1b}\u{b}\u{fffe}\u{ffff}".chars().any(is_text));
        assert_eq!(cleaned("a\u{1b}[31m".to_owned()), "a\u{fffd}[31m");
    }

    #[test]
    fn a_line_stays_one_line_and_in_its_order() {
        assert_eq!(on_one_line("Compte rendu d'été"), "Compte rendu d'été");
        assert_eq!(on_one_line("a\nb\u{1b}[2J\u{9b}\u{202e}c"), r"a\u{a}b\u{1b}[2J\u{9b}\u{202e}c");
    }
}
