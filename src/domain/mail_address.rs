//! A mail address, narrow on purpose: what every relay takes without extension. Source: RFC 5321 section 4.1.2.

use std::fmt;
use std::str::FromStr;

/// `local@domain` in ASCII, unquoted. Nothing in it can end a command or a header.
#[derive(Clone, PartialEq, Eq)]
pub struct MailAddress(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected name@domain.tld in ASCII, without quotes; an international domain in its xn-- form")]
pub struct MailAddressError;

impl MailAddress {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn domain(&self) -> &str {
        self.0.rsplit('@').next().unwrap_or_default()
    }
}

impl FromStr for MailAddress {
    type Err = MailAddressError;

    fn from_str(text: &str) -> Result<Self, MailAddressError> {
        let (local, domain) = text.split_once('@').ok_or(MailAddressError)?;
        let local_ok = local.len() <= LOCAL_BYTES_MAX && local.split('.').all(is_atom);
        let domain_ok = domain.len() <= DOMAIN_BYTES_MAX && domain.contains('.') && domain.split('.').all(is_label);
        if local_ok && domain_ok && text.len() <= ADDRESS_BYTES_MAX {
            Ok(Self(text.to_owned()))
        } else {
            Err(MailAddressError)
        }
    }
}

impl fmt::Display for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MailAddress {
    /// Whoever's it is: an address is in no log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MailAddress(..)")
    }
}

/// `Atom` of RFC 5322 section 3.2.3.
fn is_atom(text: &str) -> bool {
    let is_atext = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_atext)
}

fn is_label(text: &str) -> bool {
    let is_inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(is_inside) && !text.starts_with('-') && !text.ends_with('-')
}

const LOCAL_BYTES_MAX: usize = 64;
const DOMAIN_BYTES_MAX: usize = 253;
/// A path is at most 256 with its angle brackets (RFC 5321 section 4.5.3.1.3).
const ADDRESS_BYTES_MAX: usize = 254;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_is_read_and_nothing_else_is() {
        for good in ["a@b.fr", "claire.martin+dmp@medecin.mssante.fr", "o'neill@xn--caf-dma.fr", "1_2@3.4"] {
            assert_eq!(good.parse::<MailAddress>().map(|read| read.to_string()), Ok(good.to_owned()));
        }
        let long = format!("{}@b.fr", "a".repeat(65));
        for bad in [
            "",
            "a",
            "@b.fr",
            "a@",
            "a@b",
            "a@@b.fr",
            "a@b@c.fr",
            ".a@b.fr",
            "a.@b.fr",
            "a..b@c.fr",
            "a@b..fr",
            "a@-b.fr",
            "a@b-.fr",
            "a b@c.fr",
            "a@b.fr\r\nRCPT TO:<x@y.fr>",
            "<a@b.fr>",
            "\"a\"@b.fr",
            "é@b.fr",
            "a@[127.0.0.1]",
            &long,
        ] {
            assert_eq!(bad.parse::<MailAddress>(), Err(MailAddressError), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_can_end_neither_a_command_nor_a_header(text in "\\PC{0,12}@?[ -~\r\n]{0,12}\\.?[a-z]{0,3}") {
            if let Ok(address) = text.parse::<MailAddress>() {
                prop_assert!(address.as_str().bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\",:;()[]\\".contains(&byte)));
                prop_assert_eq!(address.to_string(), text);
            }
        }
    }
}
