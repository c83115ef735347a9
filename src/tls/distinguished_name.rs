//! Distinguished names as sets of attributes, from a certificate or from any of the texts that stacks write.
//!
//! RFC 4514 and its older forms, OpenSSL's `/C=FR/CN=x`, either order, `G=`, `GN=` or `givenName=`, `2.5.4.4=#0c05...`,
//! and `?` where a stack could not write an accent: all are one name. That is enough to tell whether an assertion
//! names the certificate that signed it, and no reason to trust either. Source: B.1, C.1.

use std::collections::BTreeSet;
use std::str::FromStr;

use x509_parser::asn1_rs::{Any, FromDer as _};
use x509_parser::x509::X509Name;

use super::subject::read_text;

/// A name whose parts can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistinguishedName(Vec<Rdn>);

/// Dotted type and folded value of each attribute.
type Rdn = BTreeSet<(String, String)>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a distinguished name, e.g. CN=x,O=y,C=FR")]
pub struct DistinguishedNameError;

impl DistinguishedName {
    pub(super) fn of(name: &X509Name<'_>) -> Self {
        let rdns = name.iter_rdn().map(|rdn| {
            let attributes = rdn.iter().map(|attribute| {
                let value =
                    read_text(attribute).map_or_else(|| hex_of(attribute.attr_value().data), |text| folded(&text));
                (attribute.attr_type().to_id_string(), value)
            });
            attributes.collect()
        });
        Self(rdns.collect())
    }

    /// Whether both are one name, in either order, with or without its accents.
    pub fn is_same(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.without_accents(), other.without_accents());
        ours == theirs || ours.iter().eq(theirs.iter().rev())
    }

    /// Stacks put one `?`, or one for each byte, where they cannot write a character.
    fn without_accents(&self) -> Vec<Rdn> {
        let plain = |text: &str| {
            let mut plain = text.replace(|c: char| !c.is_ascii(), "?");
            while plain.contains("??") {
                plain = plain.replace("??", "?");
            }
            plain
        };
        let attribute = |(kind, value): &(String, String)| (kind.clone(), plain(value));
        self.0.iter().map(|rdn| rdn.iter().map(attribute).collect()).collect()
    }
}

impl FromStr for DistinguishedName {
    type Err = DistinguishedNameError;

    fn from_str(text: &str) -> Result<Self, DistinguishedNameError> {
        let text = text.trim();
        if text.is_empty() || text.len() > TEXT_BYTES_MAX {
            return Err(DistinguishedNameError);
        }
        let rdns: Vec<&str> = match text.strip_prefix('/') {
            Some(rest) => split_slashes(rest),
            None => split(text, &[',', ';']),
        };
        let rdn = |part: &str| split(part, &['+']).into_iter().map(parse_attribute).collect::<Result<Rdn, _>>();
        rdns.into_iter().map(rdn).collect::<Result<_, _>>().map(Self)
    }
}

/// Cuts where a separator is neither escaped nor quoted.
fn split<'a>(text: &'a str, separators: &[char]) -> Vec<&'a str> {
    let (mut parts, mut from, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            _ if !quoted && separators.contains(&c) => {
                parts.push(&text[from..at]);
                from = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

/// A slash begins an attribute only where a type and `=` follow: the CN of an employee holds one.
fn split_slashes(text: &str) -> Vec<&str> {
    let begins = |at: usize| {
        let kind = text[at + 1..].split(['=', '/']).next().unwrap_or_default();
        text[at + 1 + kind.len()..].starts_with('=') && type_of(kind).is_some()
    };
    let mut parts = Vec::new();
    let mut from = 0;
    for (at, _) in text.match_indices('/').filter(|(at, _)| begins(*at)) {
        parts.push(&text[from..at]);
        from = at + 1;
    }
    parts.push(&text[from..]);
    parts
}

fn parse_attribute(text: &str) -> Result<(String, String), DistinguishedNameError> {
    let (kind, value) = text.split_once('=').ok_or(DistinguishedNameError)?;
    let kind = type_of(kind.trim()).ok_or(DistinguishedNameError)?;
    let value = value.trim();
    let value = match value.strip_prefix('#') {
        Some(hexadecimal) => text_of_ber(hexadecimal).ok_or(DistinguishedNameError)?,
        None => unescape(value).ok_or(DistinguishedNameError)?,
    };
    Ok((kind, folded(&value)))
}

/// Dotted form of an attribute type.
fn type_of(text: &str) -> Option<String> {
    let upper = text.to_ascii_uppercase();
    let dotted = upper.strip_prefix("OID.").unwrap_or(&upper);
    if dotted.contains('.') && dotted.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Some(dotted.to_owned());
    }
    let (_, oid) = TYPES.iter().find(|(names, _)| names.contains(&upper.as_str()))?;
    Some((*oid).to_owned())
}

/// `\,` and `\2C` of RFC 4514, quotes of RFC 1779.
fn unescape(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first != b'\\' {
            bytes.push(*first);
            rest = after;
        } else if let Some(byte) = after.get(..2).and_then(hex_byte) {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            let (escaped, after) = after.split_first()?;
            bytes.push(*escaped);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

fn text_of_ber(hexadecimal: &str) -> Option<String> {
    let bytes: Vec<u8> = hexadecimal.as_bytes().chunks(2).map(hex_byte).collect::<Option<_>>()?;
    let (_, any) = Any::from_der(&bytes).ok()?;
    Some(String::from_utf8(any.data.to_vec()).unwrap_or_else(|_| any.data.iter().copied().map(char::from).collect()))
}

fn hex_byte(pair: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(pair).ok().filter(|text| text.len() == 2 && !text.starts_with('+'))?;
    u8::from_str_radix(text, 16).ok()
}

fn hex_of(bytes: &[u8]) -> String {
    crate::domain::sha::hex(bytes)
}

/// Case and spaces do not tell names apart (RFC 5280 section 7.1).
fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

const TEXT_BYTES_MAX: usize = 2048;

/// Names that stacks give to attribute types. `S` is a state everywhere, and `SN` a surname.
const TYPES: &[(&[&str], &str)] = &[
    (&["CN", "COMMONNAME"], "2.5.4.3"),
    (&["SN", "SURNAME"], "2.5.4.4"),
    (&["SERIALNUMBER"], "2.5.4.5"),
    (&["C", "COUNTRYNAME", "COUNTRY"], "2.5.4.6"),
    (&["L", "LOCALITYNAME", "LOCALITY"], "2.5.4.7"),
    (&["ST", "S", "SP", "STATE", "STATEORPROVINCENAME"], "2.5.4.8"),
    (&["O", "ORGANIZATIONNAME", "ORGANIZATION"], "2.5.4.10"),
    (&["OU", "ORGANIZATIONALUNITNAME", "ORGANIZATIONALUNIT"], "2.5.4.11"),
    (&["T", "TITLE"], "2.5.4.12"),
    (&["GN", "G", "GIVENNAME"], "2.5.4.42"),
    (&["E", "EMAIL", "EMAILADDRESS"], "1.2.840.113549.1.9.1"),
    (&["UID", "USERID"], "0.9.2342.19200300.100.1.1"),
    (&["DC", "DOMAINCOMPONENT"], "0.9.2342.19200300.100.1.25"),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn same(left: &str, right: &str) -> bool {
        left.parse::<DistinguishedName>().unwrap().is_same(&right.parse().unwrap())
    }

    #[test]
    fn the_renderings_of_all_stacks_are_one_name() {
        let name = "C=FR,title=Médecin,CN=801234567897+SN=DURANT+GN=Romuald";
        for other in [
            "CN=801234567897+SN=DURANT+GN=Romuald, title=Médecin, C=FR",
            "C=FR; T=M\\C3\\A9decin; GN=Romuald + SN=\"DURANT\" + CN=801234567897",
            "2.5.4.42=#0c07526f6d75616c64+2.5.4.4=#0c06445552414e54+CN=801234567897, OID.2.5.4.12=M?decin, C=FR",
            "/C=FR/title=M??decin/CN=801234567897+surname=durant+G=Romuald",
        ] {
            assert!(same(name, other), "{other}");
        }
    }

    #[test]
    fn another_value_set_or_order_is_another_name() {
        let name = "C=FR,O=CHU,OU=1750803447,CN=DPI";
        for other in ["C=FR,O=CHU,OU=1750803448,CN=DPI", "C=FR,O=CHU,CN=DPI", "O=CHU,C=FR,OU=1750803447,CN=DPI"] {
            assert!(!same(name, other), "{other}");
        }
        assert!(!same("CN=1+SN=2", "CN=1,SN=2"));
    }

    #[test]
    fn a_slash_in_the_id_of_an_employee_separates_nothing() {
        assert!(same("/C=FR/O=CLINIQUE/CN=3310000017/42", "CN=3310000017/42,O=CLINIQUE,C=FR"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in ["", "CN", "=x", "XYZ=1", "CN=1,,O=2", "CN=#0", "CN=#zz", "CN=a\\", "/"] {
            assert_eq!(bad.parse::<DistinguishedName>(), Err(DistinguishedNameError), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}") {
            let _ = text.parse::<DistinguishedName>();
        }

        #[test]
        fn no_text_that_looks_like_a_name_makes_it_panic(text in "/?((CN|O|2\\.5\\.4\\.4|é)=[#\\\\,+;\"/ a-fé]{0,6}[,/+;]?){0,5}") {
            let _ = text.parse::<DistinguishedName>();
        }
    }
}
