//! A notice as a mail: headers and one part of text, all of it ASCII on the wire. RFC 5322, 2045, 2047, 3834.

use jiff::Timestamp;
use jiff::fmt::rfc2822;

use super::text::text_of;
use crate::domain::mail_address::MailAddress;
use crate::domain::notice::Notice;

/// The mail of `notice`. Its Message-ID is the notice's own: a second attempt bears the same, so that a server which
/// did take the first one can tell.
pub(super) fn message_of(notice: &Notice, from: &MailAddress, to: &MailAddress, now: Timestamp) -> String {
    let text = text_of(notice);
    let date = rfc2822::to_string(&now.to_zoned(jiff::tz::TimeZone::UTC)).unwrap_or_default();
    let headers = [
        format!("Date: {date}"),
        format!("From: {from}"),
        format!("To: {to}"),
        format!("Subject: {}", encoded_words(text.subject)),
        format!("Message-ID: <{}@{}>", notice.id, from.domain()),
        "Auto-Submitted: auto-generated".to_owned(),
        "MIME-Version: 1.0".to_owned(),
        "Content-Type: text/plain; charset=utf-8".to_owned(),
        "Content-Language: fr".to_owned(),
        "Content-Transfer-Encoding: base64".to_owned(),
    ];
    // Line ends of text are CRLF before they are encoded (RFC 2045 section 6.8).
    let body = base64(text.body.replace('\n', "\r\n").as_bytes());
    let lines = body.as_bytes().chunks(LINE_CHARACTERS).map(|line| String::from_utf8_lossy(line).into_owned());
    headers.into_iter().chain([String::new()]).chain(lines).map(|line| line + "\r\n").collect()
}

/// `=?utf-8?B?...?=` as often as it takes, each whole in itself, on lines of their own (RFC 2047 section 2).
fn encoded_words(text: &str) -> String {
    let mut words = vec![String::new()];
    for character in text.chars() {
        match words.last_mut() {
            Some(word) if word.len() + character.len_utf8() <= WORD_BYTES => word.push(character),
            _ => words.push(character.to_string()),
        }
    }
    let encoded: Vec<String> = words.iter().map(|word| format!("=?utf-8?B?{}?=", base64(word.as_bytes()))).collect();
    encoded.join("\r\n ")
}

fn base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}

const LINE_CHARACTERS: usize = 76;
/// Four characters for three bytes, 12 for the frame of a word, 9 for the name of the header: 76 make a line.
const WORD_BYTES: usize = 39;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{DossierId, NoticeId};
    use crate::domain::notice::{Addressee, NoticeKind};

    fn decoded(base64: &str) -> String {
        String::from_utf8(base64_simd::STANDARD.decode_to_vec(base64).unwrap()).unwrap()
    }

    #[test]
    fn a_mail_is_ascii_in_short_lines_and_reads_back() {
        let at: Timestamp = "2026-11-22T05:12:00Z".parse().unwrap();
        let (id, dossier, kind) = (NoticeId::new(), DossierId::new(), NoticeKind::BrisDeGlace);
        let (addressee, occasion) = (Addressee::Patient(dossier), String::new());
        let notice = Notice { id, dossier, kind, occasion, addressee, at, due: at, is_secret: false };
        let (from, to) = ("dmp@hopital.fr".parse().unwrap(), "patient@exemple.fr".parse().unwrap());
        let mail = message_of(&notice, &from, &to, at);
        assert!(mail.is_ascii() && mail.ends_with("\r\n"));
        assert!(mail.split("\r\n").all(|line| line.len() <= 78 && !line.contains(['\r', '\n'])), "{mail}");
        let (head, body) = mail.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with(
                "Date: Sun, 22 Nov 2026 05:12:00 +0000\r\nFrom: dmp@hopital.fr\r\nTo: patient@exemple.fr\r\n"
            ),
            "{head}"
        );
        assert!(head.contains(&format!("\r\nMessage-ID: <{id}@hopital.fr>\r\n")), "{head}");
        let subject = head.split("Subject: ").nth(1).unwrap().split("\r\nMessage-ID").next().unwrap();
        let words = subject.split("\r\n ").map(|word| {
            assert!(word.len() <= 75, "{word}");
            decoded(word.strip_prefix("=?utf-8?B?").unwrap().strip_suffix("?=").unwrap())
        });
        assert_eq!(words.collect::<String>(), text_of(&notice).subject);
        assert_eq!(decoded(&body.replace("\r\n", "")), text_of(&notice).body.replace('\n', "\r\n"));
    }
}
