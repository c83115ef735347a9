//! Distinguished names as sets of sets of attributes, from a certificate or from one of the many texts for it.
//!
//! Every stack renders a name differently: `G=` or `GN=`, `S=` or `ST=`, `2.5.4.4=#0C06...`, reversed, with
//! slashes, `?` for é, accents encoded twice. All of that is undone here; two names are the same when they hold
//! the same relative names, in any order. Source: B.1, RFC 4514, T-3.

use std::fmt;
use std::str::FromStr;

use x509_parser::asn1_rs::{Any, FromDer as _};
use x509_parser::x509::X509Name;

use super::subject::text_of;

/// Relative names, each a sorted list of attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistinguishedName(Vec<Vec<Attribute>>);

/// Type as a dotted OID, and value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Attribute {
    kind: String,
    value: String,
}

/// A text that is no distinguished name: where it stops being one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("character {0}: not a distinguished name")]
pub struct NameError(usize);

impl DistinguishedName {
    pub fn of(name: &X509Name<'_>) -> Self {
        let rdn = |attributes: &mut dyn Iterator<Item = Attribute>| {
            let mut attributes: Vec<Attribute> = attributes.collect();
            attributes.sort();
            attributes
        };
        let relative = name.iter_rdn().map(|set| {
            rdn(&mut set.iter().map(|attribute| Attribute {
                kind: attribute.attr_type().to_id_string(),
                value: text_of(attribute.attr_value()).unwrap_or_default(),
            }))
        });
        Self(relative.collect())
    }

    /// Whether this name, of a certificate, is the one that `stated` renders.
    pub fn is_same(&self, stated: &Self) -> bool {
        self.check_stated_as(stated).is_ok()
    }

    /// Reads a name in any of the usual forms: RFC 4514, X.500 order, with `/` (openssl) or `;`.
    fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.trim();
        let (body, separators): (&str, &[char]) = match text.strip_prefix('/') {
            Some(body) => (body, &['/']),
            None => (text, &[',', ';']),
        };
        let offset = text.len() - body.len();
        let (mut relative, mut current) = (Vec::new(), Vec::new());
        for Piece { text: piece, at, after } in pieces(body, separators) {
            let attribute = read_attribute(&piece).ok_or(NameError(offset + at))?;
            current.push(attribute);
            if current.len() > ATTRIBUTES_MAX || relative.len() == RELATIVE_MAX {
                return Err(NameError(offset + at));
            }
            if after != After::SameRelative {
                current.sort();
                relative.push(std::mem::take(&mut current));
            }
        }
        Ok(Self(relative))
    }

    /// Whether this name, of a certificate, is the one that `stated` renders; else the first attribute that
    /// differs, as (found in `stated`, expected). Values of names of persons are masked.
    pub fn check_stated_as(&self, stated: &Self) -> Result<(), (String, String)> {
        let mut left: Vec<&Vec<Attribute>> = stated.0.iter().collect();
        let mut unmatched = Vec::new();
        for relative in &self.0 {
            match left.iter().position(|candidate| is_same_set(relative, candidate)) {
                Some(at) => drop(left.remove(at)),
                None => unmatched.push(relative),
            }
        }
        match (unmatched.first(), left.first()) {
            (None, None) => Ok(()),
            (expected, found) => {
                let kinds = |set: &[Attribute]| set.iter().map(|one| one.kind.clone()).collect::<Vec<_>>();
                // The counterpart of what is missing is more telling than whatever else is left over.
                let twin = expected.and_then(|set| left.iter().find(|other| kinds(other) == kinds(set)));
                let found = twin.or(found).map_or_else(|| "nothing more".to_owned(), |set| shown(set));
                let expected = expected.map_or_else(|| "nothing more".to_owned(), |set| shown(set));
                Err((found, expected))
            }
        }
    }
}

impl FromStr for DistinguishedName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl fmt::Display for DistinguishedName {
    /// RFC 4514, values as they are: for `carnet check`, never for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, set) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            for (index, Attribute { kind, value }) in set.iter().enumerate() {
                let plus = if index > 0 { "+" } else { "" };
                write!(f, "{plus}{}={}", keyword(kind), escaped(value))?;
            }
        }
        Ok(())
    }
}

struct Piece {
    text: String,
    at: usize,
    after: After,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    SameRelative,
    NextRelative,
    End,
}

/// Cuts at separators that are neither escaped nor quoted; escapes stay in the pieces.
fn pieces(text: &str, separators: &[char]) -> Vec<Piece> {
    let mut all = Vec::new();
    let (mut piece, mut start, mut quoted, mut escaped) = (String::new(), 0, false, false);
    for (at, character) in text.char_indices() {
        let parts = separators.contains(&character) && (character != '/' || begins_attribute(&text[at + 1..]));
        let joins = character == '+' && begins_attribute(&text[at + 1..]);
        let cuts = !quoted && !escaped && (parts || joins);
        if cuts {
            let after = if character == '+' { After::SameRelative } else { After::NextRelative };
            all.push(Piece { text: std::mem::take(&mut piece), at: start, after });
            start = at + character.len_utf8();
            continue;
        }
        piece.push(character);
        quoted ^= character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
    }
    all.push(Piece { text: piece, at: start, after: After::End });
    all
}

/// `+` and `/` part attributes only where a type follows: some stacks do not escape them in values, and the CN of an
/// employee has a slash.
fn begins_attribute(rest: &str) -> bool {
    rest.split_once('=').is_some_and(|(kind, _)| oid_of(kind.trim()).is_some())
}

fn read_attribute(piece: &str) -> Option<Attribute> {
    let (kind, value) = piece.split_once('=')?;
    let kind = oid_of(kind.trim())?;
    let value = value.trim();
    let value = match value.strip_prefix('#') {
        Some(hexadecimal) => read_hexadecimal(hexadecimal)?,
        None => unescaped(value)?,
    };
    Some(Attribute { kind, value })
}

/// `#0C06...`: the value in DER.
fn read_hexadecimal(text: &str) -> Option<String> {
    let bytes = bytes_of_hex(text)?;
    let ([], value) = Any::from_der(&bytes).ok()? else { return None };
    text_of(&value)
}

fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

/// RFC 4514 2.4: `\,` `\C3\A9`, and the older `"quoted"`.
fn unescaped(value: &str) -> Option<String> {
    let value = match value.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"')?,
        None => value,
    };
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first != b'\\' {
            bytes.push(first);
            rest = after;
            continue;
        }
        let pair = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        if let Some(pair) = pair.filter(|pair| pair.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            bytes.push(u8::from_str_radix(pair, 16).ok()?);
            rest = &after[2..];
        } else {
            let (&escaped, after) = after.split_first()?;
            bytes.push(escaped);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

fn oid_of(kind: &str) -> Option<String> {
    let bare = match kind.get(..4) {
        Some(prefix) if prefix.eq_ignore_ascii_case("oid.") => &kind[4..],
        _ => kind,
    };
    if let Some((oid, _)) = KEYWORDS.iter().find(|(_, words)| words.iter().any(|word| word.eq_ignore_ascii_case(kind)))
    {
        return Some((*oid).to_owned());
    }
    let is_oid =
        bare.contains('.') && bare.split('.').all(|arc| !arc.is_empty() && arc.bytes().all(|b| b.is_ascii_digit()));
    is_oid.then(|| bare.to_owned())
}

fn is_same_set(certificate: &[Attribute], stated: &[Attribute]) -> bool {
    certificate.len() == stated.len()
        && certificate
            .iter()
            .zip(stated)
            .all(|(one, other)| one.kind == other.kind && is_same_text(&one.value, &other.value))
}

/// Case and runs of blanks do not matter (X.520); what a stack could not write became `?`, one for a character or
/// one for each of its bytes; or it was encoded twice.
fn is_same_text(certificate: &str, stated: &str) -> bool {
    let folded = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let (certificate, stated) = (folded(certificate), folded(stated));
    certificate == stated || folded(&encoded_twice(&certificate)) == stated || is_same_but_marks(&certificate, &stated)
}

fn encoded_twice(text: &str) -> String {
    text.bytes().map(char::from).collect()
}

fn is_same_but_marks(certificate: &str, stated: &str) -> bool {
    let mut rest = stated;
    for character in certificate.chars() {
        let marks = "?".repeat(character.len_utf8());
        let next = rest.strip_prefix(character).or_else(|| {
            if character.is_ascii() {
                return None;
            }
            rest.strip_prefix(marks.as_str()).or_else(|| rest.strip_prefix('?'))
        });
        let Some(next) = next else { return false };
        rest = next;
    }
    rest.is_empty()
}

/// For refusals: what identifies a structure or a card is shown, names of persons are not.
fn shown(set: &[Attribute]) -> String {
    let one = |Attribute { kind, value }: &Attribute| {
        let value = if NAMES.contains(&kind.as_str()) { crate::domain::ins::mask(value) } else { value.clone() };
        format!("{}={value}", keyword(kind))
    };
    set.iter().map(one).collect::<Vec<_>>().join("+")
}

fn keyword(kind: &str) -> &str {
    KEYWORDS.iter().find(|(oid, _)| *oid == kind).map_or(kind, |(_, words)| words[0])
}

fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for (index, character) in value.chars().enumerate() {
        if matches!(character, ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=') || (index == 0 && character == '#') {
            text.push('\\');
        }
        text.push(character);
    }
    text
}

/// Surname and given name.
const NAMES: &[&str] = &["2.5.4.4", "2.5.4.42"];

/// OID, and how stacks call it; the first is ours.
const KEYWORDS: &[(&str, &[&str])] = &[
    ("2.5.4.3", &["CN", "commonName"]),
    ("2.5.4.4", &["SN", "SURNAME"]),
    ("2.5.4.5", &["SERIALNUMBER"]),
    ("2.5.4.6", &["C", "countryName"]),
    ("2.5.4.7", &["L", "localityName"]),
    ("2.5.4.8", &["ST", "S", "SP", "stateOrProvinceName"]),
    ("2.5.4.9", &["STREET"]),
    ("2.5.4.10", &["O", "organizationName"]),
    ("2.5.4.11", &["OU", "organizationalUnitName"]),
    ("2.5.4.12", &["T", "title"]),
    ("2.5.4.42", &["GN", "G", "givenName"]),
    ("2.5.4.97", &["organizationIdentifier"]),
    ("0.9.2342.19200300.100.1.25", &["DC", "domainComponent"]),
    ("0.9.2342.19200300.100.1.1", &["UID", "userId"]),
    ("1.2.840.113549.1.9.1", &["E", "EMAILADDRESS", "emailAddress"]),
];

/// Real names have seven at most.
const RELATIVE_MAX: usize = 32;
const ATTRIBUTES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use x509_parser::prelude::FromDer as _;

    use super::*;
    use crate::tls::development_pki::subject::{self, COMMON_NAME, COUNTRY, GIVEN_NAME, SURNAME, TITLE};

    fn doctor() -> DistinguishedName {
        let der = subject::encode(&[
            vec![(COUNTRY, "FR")],
            vec![(TITLE, "Médecin")],
            vec![(COMMON_NAME, "801234567897"), (SURNAME, "DURANT"), (GIVEN_NAME, "Zoé, dite +Z")],
        ]);
        DistinguishedName::of(&X509Name::from_der(&der).unwrap().1)
    }

    #[test]
    fn one_name_is_known_in_every_rendering() {
        let person = r"CN=801234567897+SN=DURANT+GN=Zoé\, dite \+Z";
        for text in [
            format!("C=FR,T=Médecin,{person}"),
            format!("{person}, T=Médecin, C=FR"),
            format!("{person};title=medecin;c=fr").replace("medecin", "MÉDECIN"),
            "C=FR, T=M?decin, G=\"Zo?, dite +Z\" + CN=801234567897 + SURNAME=Durant".to_owned(),
            "C=FR, T=M??decin, G=\"Zo??, dite +Z\" + CN=801234567897 + SURNAME=Durant".to_owned(),
            "C=FR, T=MÃ©decin, 2.5.4.4=#0C06445552414E54+OID.2.5.4.3=801234567897+GN=Zo\\C3\\A9\\2C dite \\+Z"
                .to_owned(),
            "/C=FR/T=Médecin/CN=801234567897+SN=DURANT+GN=Zoé, dite +Z".to_owned(),
        ] {
            let stated = DistinguishedName::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert_eq!(doctor().check_stated_as(&stated), Ok(()), "{text}");
        }
    }

    #[test]
    fn another_name_tells_the_attribute_that_differs_and_hides_names_of_persons() {
        let other = |text: &str| doctor().check_stated_as(&DistinguishedName::parse(text).unwrap()).unwrap_err();
        let (found, expected) = other(r"C=FR,T=Médecin,CN=801234567998+SN=MARTIN+GN=Zoé\, dite \+Z");
        assert!(found.contains("CN=801234567998") && expected.contains("CN=801234567897"), "{found} {expected}");
        assert!(!found.contains("MARTIN") && !expected.contains("DURANT"), "{found} {expected}");
        // The same attributes, not in one set: another name.
        assert!(
            doctor()
                .check_stated_as(
                    &DistinguishedName::parse(r"C=FR,T=Médecin,CN=801234567897,SN=DURANT,GN=Zoé\, dite \+Z").unwrap()
                )
                .is_err()
        );
        let (found, _) = other(r"C=FR,T=Médecin,CN=801234567897+SN=DURANT+GN=Zoé\, dite \+Z,O=more");
        assert_eq!(found, "O=more");
        // A mark stands for what could not be written, not for anything.
        assert!(other(r"C=FR,T=M?decin,CN=80123456789?+SN=DURANT+GN=Zoé\, dite \+Z").0.contains('?'));
    }

    #[test]
    fn a_slash_in_the_id_of_an_employee_separates_nothing() {
        let name = |text: &str| text.parse::<DistinguishedName>().unwrap();
        assert!(name("/C=FR/O=CLINIQUE/CN=3310000017/42").is_same(&name("CN=3310000017/42,O=CLINIQUE,C=FR")));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "CN", "=x", "X Y=1", "CN=a,,O=b", "CN=#zz", r"CN=a\", "CN=\"a", "1..2=x"] {
            assert!(DistinguishedName::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in ".{0,80}") {
            let _ = DistinguishedName::parse(&text);
        }

        #[test]
        fn what_is_written_reads_back(values in prop::collection::vec("[ -~éà]{1,12}", 1..4)) {
            let values: Vec<String> = values.into_iter().map(|value| format!("x{}x", value.trim())).collect();
            let name = DistinguishedName(values.into_iter().map(|value| vec![Attribute { kind: "2.5.4.10".to_owned(), value }]).collect());
            let read = DistinguishedName::parse(&name.to_string()).unwrap();
            prop_assert_eq!(read, name);
        }
    }
}
