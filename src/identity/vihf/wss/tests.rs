//! Messages around one good VIHF, then one thing wrong with the message at a time.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::super::tests::{good, judge, signed_after, statement};
use super::super::tree::Node;
use super::*;
use crate::refusal::Rule;

const BYTES_MAX: usize = 1 << 20;
const XS: &str = "http://www.w3.org/2001/XMLSchema";
const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// What the verifier has against the assertion of a message.
fn refused(message: &str) -> Vec<Refusal> {
    match open(message.as_bytes(), BYTES_MAX) {
        Ok(Enclosed { assertion, .. }) => {
            let judgement = judge(&assertion);
            if let Some(token) = judgement.token() {
                assert_eq!(token.statement, statement());
            }
            judgement.refusals
        }
        Err(refusal) => vec![refusal],
    }
}

/// A VIHF that declares its namespaces on its start tag and lists two of them to be signed with it, used or not.
fn declaring() -> String {
    signed_after(|text| {
        let (ds, xsi) = (format!(" xmlns:ds=\"{XMLDSIG}\""), format!(" xmlns:xsi=\"{XSI}\""));
        let exclusive = super::super::signature::EXCLUSIVE;
        let transform = format!("<ds:Transform Algorithm=\"{exclusive}\"");
        let list = format!("<ec:InclusiveNamespaces xmlns:ec=\"{exclusive}\" PrefixList=\"xs xsi\"/>");
        let text = text.replace(&ds, "").replace(&xsi, "").replacen(">urn:dmp<", " xsi:type=\"xs:string\">urn:dmp<", 1);
        let text = text.replace(&format!("{transform}/>"), &format!("{transform}>{list}</ds:Transform>"));
        text.replacen(&declared("saml", SAML), &all_declared(), 1)
    })
}

fn declared(prefix: &str, namespace: &str) -> String {
    format!(" xmlns:{prefix}=\"{namespace}\"")
}

fn all_declared() -> String {
    NAMESPACES.map(|(prefix, namespace)| declared(prefix, namespace)).concat()
}

const NAMESPACES: [(&str, &str); 4] = [("saml", SAML), ("ds", XMLDSIG), ("xs", XS), ("xsi", XSI)];

#[test]
fn a_vihf_holds_in_every_envelope_that_is_in_use() {
    let good = good();
    let bare = |text: &str| text.replace(&declared("saml", SAML), "").replace(&declared("ds", XMLDSIG), "");
    let on = |tag: &str, declared: &str| enclose(&bare(&good)).replacen(tag, &format!("{tag} {declared}"), 1);
    let both = format!("xmlns:saml='{SAML}'\n\txmlns:ds = \"{XMLDSIG}\"");
    let by_default = good.replace("<saml:", "<").replace("</saml:", "</").replace("xmlns:saml", "xmlns");
    let by_default = signed_after(|_| unsigned(&by_default));
    let security = format!("<wsse:Security xmlns=\"{SAML}\"");
    let messages = [
        ("as it was signed", enclose(&good)),
        ("SOAP 1.1", enclose(&good).replace(SOAP_1_2, SOAP_1_1)),
        ("declared on Envelope", on("<soap:Envelope", &both)),
        ("declared on Header", on("<soap:Header", &both)),
        ("declared on Security", on("<wsse:Security", &both)),
        ("by default, declared on itself", enclose(&by_default)),
        (
            "by default, declared on Security",
            enclose(&by_default.replacen(&format!(" xmlns=\"{SAML}\""), "", 1)).replace("<wsse:Security", &security),
        ),
        ("with blanks in its tag", enclose(&good.replacen("<saml:Assertion ", "<saml:Assertion\r\n\t", 1))),
        (
            "declaration, byte order mark, comments, language",
            format!("\u{feff}<?xml version='1.0' encoding='UTF-8'?>\n<!-- é -->{}\n", enclose(&good))
                .replacen("<soap:Envelope", "<soap:Envelope xml:lang='fr' xml:space='preserve' xmlns='urn:x'", 1)
                .replacen("<saml:Assertion", "\n<!-- é -->\n<saml:Assertion", 1),
        ),
        ("beside other headers", enclose(&good).replace("<soap:Header>", "<soap:Header><a:To xmlns:a='urn:a'/>")),
        (
            "beside a timestamp",
            enclose(&good).replacen("</wsse:Security>", "<u:Timestamp xmlns:u='urn:u'/></wsse:Security>", 1),
        ),
        (
            "for the next",
            enclose(&good).replace("soap:mustUnderstand", &format!("soap:role='{}' soap:mustUnderstand", OWN_ROLES[1])),
        ),
        ("with a signed body", enclose(&good).replace("<soap:Body/>", &format!("<soap:Body>{DETACHED}</soap:Body>"))),
    ];
    for (what, message) in messages {
        assert!(is_envelope(message.as_bytes()), "{what}");
        assert_eq!(refused(&message), [], "{what}");
    }
}

const DETACHED: &str = "<d:Signature xmlns:d=\"http://www.w3.org/2000/09/xmldsig#\"/>";

/// The text with an empty signature, as it was before it was signed.
fn unsigned(text: &str) -> String {
    let mut text = text.to_owned();
    for element in ["ds:DigestValue", "ds:SignatureValue"] {
        let start = text.find(&format!("<{element}>")).unwrap() + element.len() + 2;
        let end = start + text[start..].find('<').unwrap();
        text.replace_range(start..end, "");
    }
    text
}

#[test]
fn the_bytes_of_the_assertion_are_left_as_they_are() {
    let text = "<a:Assertion xmlns:a=\"urn:oasis:names:tc:SAML:2.0:assertion\"  Id = 'é' ><!-- c -->\r\n<b/>&#9;</a:Assertion >";
    let cut = open(enclose(text).as_bytes(), BYTES_MAX).unwrap();
    let added = format!(" xmlns:soap=\"{SOAP_1_2}\" xmlns:wsse=\"{WSSE}\"");
    assert_eq!(cut.assertion, text.replacen("<a:Assertion", &format!("<a:Assertion{added}"), 1));
    assert_eq!(cut.soap, Soap::V1_2);
    let quoted = enclose(text).replacen(" xmlns:wsse", " xmlns='d\"d' xmlns:e=\"e'e\" xmlns:wsse", 1);
    let cut = open(quoted.as_bytes(), BYTES_MAX).unwrap();
    assert!(cut.assertion.contains(" xmlns='d\"d' xmlns:e=\"e'e\""), "{}", cut.assertion);
    let empty = open(enclose("<Assertion xmlns='urn:oasis:names:tc:SAML:2.0:assertion'/>").as_bytes(), BYTES_MAX);
    assert!(empty.unwrap().assertion.ends_with("assertion'/>"));
}

/// What is wrong, a message, the end of the place and the start of what was found.
type Case = (&'static str, String, &'static str, &'static str);

fn assert_told(cases: Vec<Case>) {
    for (what, text, place, found) in cases {
        let refusals = refused(&text);
        let first = refusals.first().unwrap_or_else(|| panic!("{what} came in"));
        assert_eq!(first.rule, Rule::VihfForm, "{what}: {first}");
        assert!(first.place.ends_with(place), "{what}: {first}");
        assert!(first.found.starts_with(found), "{what}: {first}");
    }
}

/// A good message, one thing changed.
fn but(from: &str, to: &str) -> String {
    let message = enclose(&good());
    assert!(message.contains(from), "{from}");
    message.replacen(from, to, 1)
}

const HEADER_END: &str = "</soap:Header>";

#[test]
fn what_is_wrong_with_a_message_is_told_with_its_own_explanation() {
    let good = good();
    let message = enclose(&good);
    let second = format!("<wsse:Security xmlns:wsse=\"{WSSE}\" soap:role=\"urn:x\">{good}</wsse:Security>");
    let old = good.replace(SAML, "urn:oasis:names:tc:SAML:1.0:assertion");
    let many = (0..20).fold(String::new(), |tag, number| format!("{tag} xmlns:n{number}=\"urn:n\""));
    assert_told(vec![
        ("no SOAP", message.replace(SOAP_1_2, "urn:soap"), "root element", "Envelope of urn:soap"),
        ("no namespace", "<Envelope/>".to_owned(), "root element", "Envelope without namespace"),
        ("no header", format!("<s:Envelope xmlns:s=\"{SOAP_1_2}\"><s:Body/></s:Envelope>"), "Envelope", "no Header"),
        ("no security", message.replace("wsse:Security", "wsse:Other"), "Envelope", "an Assertion as Header/Other/"),
        ("an empty header", enclose("").replace("wsse:Security", "wsse:S"), "Envelope", "a Header without wsse:"),
        ("no assertion", enclose("<x/>"), "Envelope", "a wsse:Security without Assertion"),
        (
            "a draft of WS-Security",
            message.replace(WSSE, "http://schemas.xmlsoap.org/ws/2002/04/secext"),
            "Header",
            "Security of http://schemas.xmlsoap.org/ws/2002/04/secext",
        ),
        ("SAML 1.1", enclose(&old), SECURITY, "Assertion of urn:oasis:names:tc:SAML:1.0:assertion"),
        (
            "encrypted",
            enclose(&format!("<e:EncryptedAssertion xmlns:e=\"{SAML}\"/>")),
            SECURITY,
            "an EncryptedAssertion",
        ),
        (
            "two versions of SOAP",
            but("<soap:Body/>", &format!("<Body xmlns=\"{SOAP_1_1}\"/>")),
            "soap:Envelope",
            "Body of http://schemas.xmlsoap.org/soap/envelope/",
        ),
        ("for another", but("soap:mustUnderstand", "soap:role='urn:other' x"), "Security/@role", "urn:other"),
        (
            "for two",
            but("soap:mustUnderstand", &format!("role='{}' soap:role='urn:other' x", OWN_ROLES[0])),
            "Security/@role",
            "urn:other",
        ),
        ("for another actor", but("soap:mustUnderstand", "soap:actor='urn:other' x"), "/@actor", "urn:other"),
        ("two assertions", enclose(&good.repeat(2)), SECURITY, "a second Assertion"),
        ("two securities", but(HEADER_END, &format!("{second}{HEADER_END}")), "Header", "a second Security"),
        ("two headers", but(HEADER_END, &format!("{HEADER_END}<soap:Header/>")), "soap:Envelope", "a second Header"),
        ("two bodies", but("<soap:Body/>", "<soap:Body/><soap:Body/>"), "soap:Envelope", "a second Body"),
        (
            "the header last",
            message.replace("<soap:Body/>", "").replacen("<soap:Header>", "<soap:Body/><soap:Header>", 1),
            "soap:Envelope",
            "a Header after the Body",
        ),
        ("a flood of namespaces", but("<soap:Header", &format!("<soap:Header{many}")), SECURITY, "22 namespaces"),
    ]);
}

#[test]
fn an_assertion_or_a_signature_out_of_its_place_is_never_taken_for_the_one_that_counts() {
    let good = good();
    let (start, end) = (good.find("<ds:Signature").unwrap(), good.find("</ds:Signature>").unwrap() + 15);
    let signature = &good[start..end];
    let unsigned = good.replace(signature, "");
    let around = |assertion: &str, body: &str| {
        enclose(assertion).replace("<soap:Body/>", &format!("<soap:Body>{body}</soap:Body>"))
    };
    assert_told(vec![
        ("in the body alone", around("", &good), "Envelope", "an Assertion as Body/Assertion"),
        (
            "in the body too",
            around(&good, &format!("<x>{good}</x>")),
            "soap:Envelope",
            "an Assertion as Body/x/Assertion",
        ),
        ("the original in the body", around(&unsigned, &good), "Envelope", "an Assertion as Body/"),
        (
            "after the body",
            but("<soap:Body/>", &format!("<soap:Body/>{good}")),
            "Envelope",
            "an Assertion as Assertion",
        ),
        ("in a wrapper", enclose(&format!("<w>{good}</w>")), "Envelope", "an Assertion as Header/Security/w/Assertion"),
        (
            "in another header",
            but(HEADER_END, &format!("{good}{HEADER_END}")),
            "Envelope",
            "an Assertion as Header/Assertion",
        ),
        (
            "one inside another",
            enclose(&good.replace("</saml:Assertion>", &format!("{good}</saml:Assertion>"))),
            "VIHF, Assertion",
            "2 assertions, one inside another",
        ),
        (
            "signed beside itself",
            enclose(&format!("{unsigned}{signature}")),
            SECURITY,
            "a Signature as Header/Security/Signature",
        ),
        ("signed twice", enclose(&format!("{signature}{good}")), SECURITY, "a Signature as Header/Security/Signature"),
        (
            "signed in another header",
            but(HEADER_END, &format!("{signature}{HEADER_END}")),
            SECURITY,
            "a Signature as Header/Signature",
        ),
        (
            "signed in the body",
            around(&unsigned, signature),
            SECURITY,
            "an Assertion without Signature, a Signature as Body/Signature",
        ),
        ("not signed", enclose(&unsigned), "VIHF, Signature", "nothing"),
    ]);
}

#[test]
fn what_no_message_needs_is_refused_wherever_it_stands() {
    let message = enclose(&good());
    let in_body = |what: &str| message.replace("<soap:Body/>", &format!("<soap:Body>{what}</soap:Body>"));
    for (text, rule) in [
        (format!("<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>{message}"), Rule::XmlForbidden),
        (in_body("&x;"), Rule::XmlForbidden),
        (in_body("<x xmlns='&#117;'/>"), Rule::XmlForbidden),
        (in_body(&"<x>".repeat(1_000)), Rule::Nesting),
        (in_body("<x>"), Rule::XmlSyntax),
        (format!("{message}{message}"), Rule::XmlSyntax),
        (message.replace("</soap:Envelope>", ""), Rule::XmlSyntax),
        (in_body(&" ".repeat(BYTES_MAX)), Rule::BodyTooLarge),
    ] {
        let refusal = open(text.as_bytes(), BYTES_MAX).unwrap_err();
        assert_eq!(refusal.rule, rule, "{refusal}");
        assert!(refusal.place.starts_with("SOAP envelope"), "{refusal}");
    }
    for other in ["", "<a/>", "no XML", "<!DOCTYPE a><Envelope/>", "<Envelope"] {
        assert!(!is_envelope(other.as_bytes()), "{other}");
    }
    assert!(!is_envelope(good().as_bytes()));
}

#[test]
fn what_is_changed_around_a_signed_assertion_changes_nothing_but_what_was_signed_with_it() {
    let text = declaring();
    assert_eq!(refused(&enclose(&text)), []);
    let up = |namespace: &str| {
        let moved = enclose(&text.replacen(&declared("xs", XS), "", 1));
        moved.replacen("<soap:Envelope", &format!("<soap:Envelope{}", declared("xs", namespace)), 1)
    };
    assert_eq!(refused(&up(XS)), []);
    // The prefix stands in a value alone, and in the list of what is signed: elsewhere it means something else.
    assert_eq!(refused(&up("urn:other"))[0].rule, Rule::VihfSignature);
    let lost = enclose(&text.replacen(&declared("xs", XS), "", 1));
    assert_eq!(refused(&lost)[0].rule, Rule::VihfSignature);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_does_not_matter_which_element_declares_a_namespace(
        at in [0_usize..4, 0..4, 0..4, 0..4],
        decoys in any::<[bool; 4]>(),
        quotes in any::<[bool; 4]>(),
    ) {
        // On Envelope, Header, Security, Assertion; a decoy is declared further out, and overridden.
        let mut tags: [String; 4] = Default::default();
        for (number, (prefix, namespace)) in NAMESPACES.into_iter().enumerate() {
            let quote = if quotes[number] { '"' } else { '\'' };
            write!(tags[at[number]], " xmlns:{prefix}={quote}{namespace}{quote}").unwrap();
            if let Some(outer) = at[number].checked_sub(1).filter(|_| decoys[number]) {
                write!(tags[outer], " xmlns:{prefix}=\"urn:decoy\"").unwrap();
            }
        }
        let [envelope, header, security, assertion] = tags;
        let message = enclose(&declaring().replacen(&all_declared(), &assertion, 1))
            .replacen("<soap:Envelope", &format!("<soap:Envelope{envelope}"), 1)
            .replacen("<soap:Header", &format!("<soap:Header{header}"), 1)
            .replacen("<wsse:Security", &format!("<wsse:Security{security}"), 1);
        prop_assert_eq!(refused(&message), []);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(open(&bytes, BYTES_MAX).is_err());
        is_envelope(&bytes);
    }

    #[test]
    fn what_is_cut_out_of_tag_soup_can_be_read_alone(parts in prop::collection::vec(prop::sample::select(SOUP), 0..12)) {
        for text in [parts.concat(), enclose(&parts.concat()), enclose("").replace("<soap:Body/>", &parts.concat())] {
            if let Ok(Enclosed { assertion, .. }) = open(text.as_bytes(), BYTES_MAX) {
                prop_assert!(Node::read(assertion.as_bytes()).is_ok_and(|root| root.is(SAML, "Assertion")), "{}", assertion);
            }
        }
    }

    #[test]
    fn no_change_of_a_message_makes_it_panic_or_say_something_else(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in 0_usize..40) {
        let mut bytes = enclose(&good()).into_bytes();
        let at = at.index(bytes.len());
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, [byte]);
        // Whatever comes of it, a token is of the one statement: `refused` holds it to that.
        refused(&String::from_utf8_lossy(&bytes));
    }
}

const SOUP: &[&str] = &[
    "<a:Assertion xmlns:a='urn:oasis:names:tc:SAML:2.0:assertion'>",
    "<Assertion xmlns=\"urn:oasis:names:tc:SAML:2.0:assertion\" />",
    "</a:Assertion>",
    "<soap:Header>",
    "</soap:Header>",
    "<soap:Body/>",
    "<wsse:Security>",
    "</wsse:Security>",
    "<p:b xmlns:p='q'>",
    "</p:b>",
    "<b xmlns=''/>",
    "&lt;",
    "<!-- -->",
    "<![CDATA[<]]>",
    "é",
];
