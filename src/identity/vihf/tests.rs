//! One good VIHF, then one thing wrong with it at a time.

use std::sync::Mutex;
use std::sync::{LazyLock, PoisonError};

use futures_util::future::BoxFuture;
use jiff::ToSpan as _;
use proptest::prelude::*;

use super::issue::SigningKey;
use super::*;
use crate::domain::code::Code;
use crate::identity::caller::Purpose;
use crate::identity::statement::{AccessVisibility, Software, StatedSubject};
use crate::tls::development_pki::{DevelopmentPki, Holder, Issued, KeyUse};

const SAVOIR_FAIRE: &str = "1.2.250.1.71.4.2.5";
const PROFESSION: &str = "1.2.250.1.71.1.2.7";

/// A PKI, the keys of a hospital, and a clock that stands still.
struct World {
    _folder: tempfile::TempDir,
    pki: DevelopmentPki,
    trust: Arc<Trust>,
    hospital: SigningKey,
    clock: Clock,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let pki = DevelopmentPki::create(folder.path(), Clock::System).unwrap();
    let file = |name: &str| folder.path().join(name);
    let settings = config::Tls {
        certificate: file("server.pem"),
        key: file("server.key"),
        client_roots: vec![file("client-roots.pem")],
        client_crls: vec![file("crl")],
        allow_development_roots: true,
        ..config::Tls::default()
    };
    let clock = Clock::fixed(Clock::System.now());
    let trust = Trust::load(&settings, &config::Revocation::default(), clock.clone()).unwrap();
    let issued = pki.issue(&holder(), KeyUse::Sign, pki.usual_lifetime()).unwrap();
    World { hospital: key_of(&issued), pki, trust, clock, _folder: folder }
});

fn key_of(issued: &Issued) -> SigningKey {
    SigningKey::read(issued.certificate_pem.as_bytes(), issued.key_pem.as_bytes()).unwrap()
}

fn holder() -> Holder {
    Holder::Organisation {
        struct_id: "1350000899".parse().unwrap(),
        name: "HOPITAL D'ESSAI & FILS".to_owned(),
        application: "DPI".to_owned(),
    }
}

pub(super) fn statement() -> Statement {
    Statement {
        mode: StatedMode::IndirecteRenforcee,
        subject: StatedSubject { id: "899700218896".to_owned(), name: Some("Zoé DUPONT".to_owned()) },
        structure: "1350000899".parse().unwrap(),
        sector: Some(Code::new("1.2.250.1.71.4.2.4", "SA01")),
        roles: vec![
            Code::new(PROFESSION, "10").with_display("MÃ©decin"),
            Code::new(SAVOIR_FAIRE, "SM26").with_display("Qualifié en médecine générale"),
        ],
        purpose: Purpose::Normal,
        patient: Some("1.2.250.1.213.1.4.10|279035121518989".parse().unwrap()),
        visibility: AccessVisibility::Ordinary,
        software: Some(Software {
            name: "DPI d'essai".to_owned(),
            version: "2.1".to_owned(),
            installation: None,
            homologation: "ESSAI-1".to_owned(),
        }),
    }
}

fn judge_with(change: impl FnOnce(&mut Config), clock: Clock) -> Judge {
    let mut config = Config::default();
    config.dmp.ins_domains = vec![InsDomain::Test];
    change(&mut config);
    let terminology = Arc::new(Terminology::load().unwrap());
    let signers: Arc<dyn SignerTrust> = WORLD.trust.clone();
    Judge::new(&config, signers, terminology, clock)
}

pub(super) fn judge(assertion: &str) -> Judgement {
    judge_with(|_| {}, WORLD.clock.clone()).judge(assertion.as_bytes(), About::OnePatient, Telling::Everything)
}

/// A VIHF whose text was changed before it was signed.
pub(super) fn signed_after(change: impl FnOnce(String) -> String) -> String {
    WORLD.hospital.sign(change(WORLD.hospital.write(&statement(), WORLD.clock.now()))).unwrap()
}

pub(super) fn good() -> String {
    signed_after(|text| text)
}

/// Rules and places of all that is wrong.
fn wrong(assertion: &str) -> Vec<(Rule, String)> {
    let judgement = judge(assertion);
    assert_eq!(judgement.token().is_none(), !judgement.refusals.is_empty());
    judgement.refusals.into_iter().map(|refusal| (refusal.rule, refusal.place)).collect()
}

#[test]
fn what_is_issued_reads_back_as_what_was_stated() {
    for mode in StatedMode::ALL {
        let mut stated = statement();
        stated.mode = mode;
        stated.visibility = AccessVisibility::HiddenFromLegalRepresentatives;
        let text = WORLD.hospital.issue(&stated, WORLD.clock.now()).unwrap();
        let judgement = judge(&text);
        assert_eq!(judgement.refusals, [], "{mode:?}");
        assert_eq!(judgement.token().unwrap().statement.roles[0].display.as_deref(), Some("MÃ©decin"));
        assert_eq!(judgement.statement.unwrap(), stated, "{mode:?}");
    }
}

#[test]
fn forms_that_are_in_use_are_all_accepted() {
    type Change = fn(String) -> String;
    let changes: [(&str, Change); 10] = [
        ("another prefix", |text| text.replace("saml:", "a:").replace("xmlns:saml", "xmlns:a")),
        ("a default namespace", |text| {
            text.replace("<saml:", "<").replace("</saml:", "</").replace("xmlns:saml", "xmlns")
        }),
        ("no end, as other platforms write it", |text| {
            let conditions = "<saml:Conditions NotOnOrAfter=\"9999-12-31T23:59:59.9999999Z\"/><saml:AuthnStatement";
            text.replace("<saml:AuthnStatement", conditions)
        }),
        ("version 4.0", |text| text.replace(">3.0<", ">4.0<")),
        ("the other spelling of the mode", |text| text.replace("Authentification_Mode", "Authentification_mode")),
        ("the misspelt format", |text| text.replace("nameid-format", "nameidformat")),
        ("the published OID of purposes", |text| text.replace("1.2.250.1.213.1.1.4.248", "1.2.250.1.213.1.1.4.336")),
        ("a comment inside a value", |text| text.replace(">urn:dmp<", ">urn:<!-- c -->dmp<")),
        ("line ends between elements", |text| text.replace("><saml:Attribute ", ">\n  <saml:Attribute ")),
        ("the confidentiality in full", |text| {
            let name = rules::CONFIDENTIALITY;
            let value = "<saml:AttributeValue>INVISIBLE_REPRESENTANTS_LEGAUX</saml:AttributeValue>";
            text.replace(
                "</saml:AttributeStatement>",
                &format!("<saml:Attribute Name=\"{name}\">{value}</saml:Attribute></saml:AttributeStatement>"),
            )
        }),
    ];
    for (what, change) in changes {
        assert_eq!(wrong(&signed_after(change)), [], "{what}");
    }
}

/// Replaces the value of one attribute; an empty replacement removes the attribute.
fn with_attribute(text: &str, name: &str, content: &str) -> String {
    let start = text.find(&format!("<saml:Attribute Name=\"{name}\">")).unwrap_or_else(|| panic!("{name}"));
    let end = start + text[start..].find("</saml:Attribute>").unwrap() + "</saml:Attribute>".len();
    let replacement = match content {
        "" => String::new(),
        content => format!("<saml:Attribute Name=\"{name}\">{content}</saml:Attribute>"),
    };
    format!("{}{replacement}{}", &text[..start], &text[end..])
}

#[test]
fn each_attribute_of_the_table_is_refused_alone_with_its_own_explanation() {
    let value = |text: &str| format!("<saml:AttributeValue>{text}</saml:AttributeValue>");
    let coded = |element: &str, code: &str, system: &str| {
        value(&format!("<{element} xmlns=\"urn:hl7-org:v3\" code=\"{code}\" codeSystem=\"{system}\"/>"))
    };
    let role = |code: &str| coded("Role", code, PROFESSION);
    let skill = coded("Role", "SM26", SAVOIR_FAIRE);
    let cx = |nir: &str, oid: &str| value(&format!("{nir}^^^&amp;{oid}&amp;ISO^NH"));
    let test_oid = "1.2.250.1.213.1.4.10";
    // Attribute, content, what is found, a word of what is expected.
    let cases: Vec<(&str, String, &str, &str)> = vec![
        ("Identifiant_Structure", String::new(), "nothing", "Struct_IdNat"),
        ("Identifiant_Structure", value("clinique"), "clinique", "Struct_IdNat"),
        ("Identifiant_Structure", value("1350000899") + &value("1350000900"), "2 values", "Struct_IdNat"),
        ("Secteur_Activite", String::new(), "nothing", "SAnn^"),
        ("Secteur_Activite", value("SA01"), "SA01", "SAnn^"),
        ("Secteur_Activite", value("SA99^1.2.250.1.71.4.2.4"), "SA99^1.2.250.1.71.4.2.4", "J61"),
        (rules::SUBJECT_ID, String::new(), "nothing", "prénom and nom"),
        (rules::SUBJECT_ID, value(" "), "an empty value", "prénom and nom"),
        (rules::ROLE, String::new(), "nothing", "profession"),
        (rules::ROLE, role("10"), "10 of 1.2.250.1.71.1.2.7 alone", "Aucune spécialité dans le vihf"),
        (rules::ROLE, role("21"), "21 of 1.2.250.1.71.1.2.7 alone", "Pharmaciens"),
        (rules::ROLE, role("20") + &skill, "20 of 1.2.250.1.71.1.2.7", "pharmacien is 21"),
        (rules::ROLE, role("10") + &role("10"), "10 of 1.2.250.1.71.1.2.7", "second value of a médecin"),
        (rules::ROLE, role("10") + &skill + &skill, "3 values", "one savoir-faire"),
        (rules::ROLE, value("10"), "a text, no Role element of urn:hl7-org:v3", "AttributeValue/Role"),
        (rules::ROLE, coded("Role", "10", "") + &skill, "a Role without code or codeSystem", "Role"),
        ("VIHF_Version", String::new(), "nothing", "3.0 or 4.0"),
        ("VIHF_Version", value("2.0"), "2.0", "3.0 or 4.0"),
        ("Authentification_Mode", String::new(), "nothing", "INDIRECTE_RENFORCEE"),
        ("Authentification_Mode", value("directe"), "directe", "DIRECTE"),
        (rules::RESOURCE_ID, String::new(), "nothing", "INS"),
        (rules::RESOURCE_ID, cx("279035121518988", test_oid), "2************88^^^&1.2.250.1.213.1.4.10&ISO", "key"),
        (
            rules::RESOURCE_ID,
            cx("279035121518989", "1.2.250.1.213.1.4.8"),
            "2************89^^^&1.2.250.1.213.1.4.8&ISO",
            "dmp.ins_domains",
        ),
        (rules::RESOURCE_ID, value("279035121518989"), "2************89^^^, without the type NH", "NIR^^^"),
        (
            rules::RESOURCE_ID,
            value("279035121518989^^^&amp;1.2.250.1.213.1.4.10&amp;DNS^NH"),
            "2************89^^^&1.2.250.1.213.1.4.10&DNS^NH in another form",
            "NIR^^^",
        ),
        (
            rules::RESOURCE_ID,
            value("279035121518989^^^&amp;1.2.250.1.213.1.4.10&amp;ISO^NH^x"),
            "2************89^^^&1.2.250.1.213.1.4.10&ISO^NH in another form",
            "NIR^^^",
        ),
        ("Ressource_URN", String::new(), "nothing", "urn:dmp"),
        ("Ressource_URN", value("urn:dpi"), "urn:dpi", "urn:dmp"),
        (rules::PURPOSE, String::new(), "nothing", "PurposeOfUse"),
        (
            rules::PURPOSE,
            coded("PurposeOfUse", "urgence", rules::PURPOSE_SYSTEMS[0]),
            "urgence of 1.2.250.1.213.1.1.4.248",
            "bris_de_glace",
        ),
        (rules::PURPOSE, coded("PurposeOfUse", "normal", "1.2.3"), "normal of 1.2.3", ".336"),
        (rules::PURPOSE, value("normal"), "no PurposeOfUse element of urn:hl7-org:v3", "PurposeOfUse"),
        ("LPS_Nom", String::new(), "nothing", "name of the software"),
        ("LPS_Version", String::new(), "nothing", "version"),
        ("LPS_ID_HOMOLOGATION_DMP", String::new(), "nothing", "homologation"),
    ];
    for (name, content, found, expected) in cases {
        let text = signed_after(|text| with_attribute(&text, name, &content));
        let refusals = judge(&text).refusals;
        let [refusal] = refusals.as_slice() else { panic!("{name} {content}: {refusals:?}") };
        assert_eq!(refusal.rule, Rule::VihfAttribute, "{name} {content}");
        assert!(refusal.place.to_lowercase().ends_with(&name.to_lowercase()), "{}", refusal.place);
        assert_eq!(refusal.found, found, "{name} {content}");
        assert!(refusal.expected.contains(expected), "{name}: {}", refusal.expected);
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let text = signed_after(|text| {
        let text = with_attribute(&text, "LPS_Nom", "");
        with_attribute(&text, "VIHF_Version", "").replace("ESSAI-1", "AUTRE")
    });
    let judge = judge_with(|config| config.dmp.homologations = vec!["ESSAI-1".to_owned()], WORLD.clock.clone());
    let rules: Vec<Rule> = judge
        .judge(text.as_bytes(), About::OnePatient, Telling::Everything)
        .refusals
        .iter()
        .map(|one| one.rule)
        .collect();
    assert_eq!(rules, [Rule::VihfAttribute, Rule::VihfAttribute, Rule::VihfSoftware]);
    assert!(judge.judge(good().as_bytes(), About::OnePatient, Telling::Everything).token().is_some());
}

#[test]
fn whom_nobody_knows_is_told_of_nothing_behind_the_signature() {
    let text = good().replacen("<saml:Issuer Format", "<saml:Issuer  Format", 1).replacen("urn:dmp", "urn:dpi", 1);
    let judge = judge_with(|_| {}, WORLD.clock.clone());
    let rules = |telling| {
        let refusals = judge.judge(text.as_bytes(), About::OnePatient, telling).refusals;
        refusals.into_iter().map(|refusal| refusal.rule).collect::<Vec<_>>()
    };
    assert_eq!(rules(Telling::UpToSignature), [Rule::VihfSignature]);
    assert_eq!(rules(Telling::Everything), [Rule::VihfSignature, Rule::VihfAttribute]);
    let flood = signed_after(|text| text.replacen("CN=DPI", &"+".repeat(17_000), 1));
    assert_eq!(wrong(&flood), [(Rule::VihfForm, "VIHF, Issuer".to_owned())]);
}

#[test]
fn a_namespace_that_two_readers_read_differently_is_refused() {
    let mut secret = statement();
    secret.visibility = AccessVisibility::HiddenFromLegalRepresentatives;
    let text = WORLD.hospital.issue(&secret, WORLD.clock.now()).unwrap();
    let written = "<saml:AttributeValue>INVISIBLE";
    let respelt = "<saml:AttributeValue xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:asser&#116;ion\">INVISIBLE";
    assert!(text.contains(written));
    let in_key = "<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsi&#103;#\"/></ds:KeyInfo>";
    for hidden in [text.replace(written, respelt), text.replace("</ds:KeyInfo>", in_key)] {
        let refusals = judge(&hidden).refusals;
        assert_eq!(refusals[0].rule, Rule::VihfForm);
        assert!(refusals[0].found.contains("namespace"), "{refusals:?}");
    }
}

#[test]
fn an_attribute_that_is_there_says_something() {
    for name in ["LPS_Nom", rules::SUBJECT_ID, rules::RESOURCE_ID] {
        let text = signed_after(|text| with_attribute(&text, name, "<!-- -->"));
        let refusals = judge(&text).refusals;
        assert_eq!(
            (refusals[0].rule, refusals[0].found.as_str()),
            (Rule::VihfAttribute, "no AttributeValue"),
            "{name}"
        );
    }
    let optional = signed_after(|text| {
        let empty = "<saml:Attribute Name=\"LPS_ID\"/></saml:AttributeStatement>";
        text.replace("</saml:AttributeStatement>", empty)
    });
    assert_eq!(wrong(&optional), [(Rule::VihfAttribute, "VIHF, attribute LPS_ID".to_owned())]);
    let other = signed_after(|text| with_attribute(&text, "LPS_Nom", "<saml:Value>DPI</saml:Value>"));
    assert_eq!(wrong(&other), [(Rule::VihfForm, "VIHF, attribute LPS_Nom".to_owned())]);
}

#[test]
fn in_air_the_login_is_strong_and_not_long_ago() {
    let login = |class: &str, hours: i64| {
        let now = WORLD.clock.now();
        signed_after(|text| {
            let start = text.find("AuthnInstant=\"").unwrap() + 14;
            let at = (now - SignedDuration::from_hours(hours)).strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
            format!("{}{at}{}", &text[..start], &text[start + 24..]).replace("TLSClient", class)
        })
    };
    assert_eq!(wrong(&login("SmartcardPKI", 11)), []);
    for class in ["Password", "PasswordProtectedTransport", "unspecified"] {
        assert_eq!(
            wrong(&login(class, 0)),
            [(Rule::VihfAttribute, "VIHF, AuthnContextClassRef".to_owned())],
            "{class}"
        );
    }
    assert_eq!(wrong(&login("TLSClient", 13)), [(Rule::VihfTime, "VIHF, AuthnStatement/@AuthnInstant".to_owned())]);
    let allowing = judge_with(
        |config| (config.vihf.air_contexts, config.vihf.login_age_hours_max) = (vec!["Password".to_owned()], 24),
        WORLD.clock.clone(),
    );
    let text = login("Password", 13);
    assert!(allowing.judge(text.as_bytes(), About::OnePatient, Telling::Everything).token().is_some());
}

#[test]
fn a_patient_is_needed_only_where_the_call_is_about_one() {
    let text = signed_after(|text| with_attribute(&text, rules::RESOURCE_ID, ""));
    let judge = judge_with(|_| {}, WORLD.clock.clone());
    assert!(judge.judge(text.as_bytes(), About::OnePatient, Telling::Everything).token().is_none());
    assert!(judge.judge(text.as_bytes(), About::NoPatient, Telling::Everything).token().is_some());
}

#[test]
fn what_was_changed_after_signing_is_refused() {
    for (from, to) in
        [("SM26", "SM54"), ("279035121518989", "277076322082910"), ("urn:dmp", " urn:dmp"), ("Zoé", "Zo?")]
    {
        assert!(wrong(&good().replacen(from, to, 1)).iter().any(|(rule, _)| *rule == Rule::VihfSignature), "{from}");
    }
    let unsigned = WORLD.hospital.write(&statement(), WORLD.clock.now());
    assert_eq!(wrong(&unsigned)[0].0, Rule::VihfForm);
}

/// The evil assertion that an attacker wants to be read: another patient, another id.
fn evil(text: &str) -> String {
    let signature = &text[text.find("<ds:Signature").unwrap()..text.find("</ds:Signature>").unwrap() + 15];
    let id = &text[text.find(" ID=\"").unwrap() + 5..][..33];
    text.replace(signature, "").replace(id, "_evil").replace("279035121518989", "277076322082910")
}

#[test]
fn no_wrapping_of_a_signed_assertion_brings_another_one_in() {
    let good = good();
    let (start, end) = (good.find("<ds:Signature").unwrap(), good.find("</ds:Signature>").unwrap() + 15);
    let signature = &good[start..end];
    let bare = good.replace(signature, "");
    let evil = evil(&good);
    let in_evil = |what: &str, before: &str| evil.replacen(before, &format!("{what}{before}"), 1);
    let after_issuer = |what: &str| in_evil(what, "<saml:Subject>");
    let object =
        |what: &str| signature.replace("</ds:Signature>", &format!("<ds:Object>{what}</ds:Object></ds:Signature>"));
    let response = |what: &str| {
        format!("<samlp:Response xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\">{what}</samlp:Response>")
    };
    let cases = [
        ("XSW1: response, original inside the signature", response(&after_issuer(&object(&bare)))),
        ("XSW2: response, detached signature beside the original", response(&format!("{evil}{bare}{signature}"))),
        ("XSW3: evil before the original, as siblings", response(&format!("{evil}{good}"))),
        ("XSW4: original inside evil", in_evil(&good, "</saml:Assertion>")),
        (
            "XSW5: evil carries the signature, original beside it",
            response(&format!("{}{bare}", after_issuer(signature))),
        ),
        (
            "XSW6: original in the signature that evil carries",
            after_issuer(&signature.replace("</ds:KeyInfo>", &format!("{bare}</ds:KeyInfo>"))),
        ),
        (
            "XSW7: evil in extensions beside the original",
            response(&format!("<samlp:Extensions>{evil}</samlp:Extensions>{good}")),
        ),
        ("XSW8: original in an object of the signature that evil carries", after_issuer(&object(&bare))),
        ("original as advice", in_evil(&format!("<saml:Advice>{good}</saml:Advice>"), "<saml:AuthnStatement")),
        (
            "evil takes the id",
            after_issuer(signature).replace("_evil", &good[good.find(" ID=\"").unwrap() + 5..][..33]),
        ),
        ("a second signature", good.replace(signature, &format!("{signature}{signature}"))),
        (
            "the id again, on a value",
            good.replace(
                "<saml:NameID>",
                &format!("<saml:NameID Id=\"{}\">", &good[good.find(" ID=\"").unwrap() + 5..][..33]),
            ),
        ),
    ];
    for (what, text) in cases {
        let judgement = judge(&text);
        assert!(judgement.token().is_none(), "{what}");
        assert!(!judgement.refusals.is_empty(), "{what}");
    }
}

#[test]
fn signatures_of_another_form_are_refused() {
    let exclusive = "http://www.w3.org/2001/10/xml-exc-c14n#";
    for (from, to) in [
        ("URI=\"#_", "URI=\"#x_"),
        ("URI=\"#_", "URI=\"file:_"),
        (exclusive, "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"),
        (exclusive, "http://www.w3.org/2001/10/xml-exc-c14n#WithComments"),
        ("http://www.w3.org/2000/09/xmldsig#enveloped-signature", "http://www.w3.org/TR/1999/REC-xslt-19991116"),
        ("</ds:Transforms>", &format!("<ds:Transform Algorithm=\"{exclusive}\"/></ds:Transforms>")),
        ("</ds:SignedInfo>", "<ds:Reference URI=\"\"/></ds:SignedInfo>"),
        ("ecdsa-sha256\"/>", "ecdsa-sha256\"><ds:HMACOutputLength>8</ds:HMACOutputLength></ds:SignatureMethod>"),
        ("<ds:KeyInfo>", "<ds:KeyInfo><!-- --></ds:KeyInfo><ds:KeyInfo>"),
        ("<saml:Issuer", "<saml:Extra/><saml:Issuer"),
    ] {
        let text = good().replace(from, to);
        assert!(wrong(&text).iter().any(|(rule, _)| *rule == Rule::VihfForm), "{from} -> {to}");
    }
    for bad in
        ["", "<a/>", "<!DOCTYPE a><a/>", "<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"/>"]
    {
        assert_eq!(wrong(bad)[0].0, Rule::VihfForm, "{bad}");
    }
    let entity = good().replacen("<saml:Assertion", "<!DOCTYPE a [<!ENTITY x \"y\">]><saml:Assertion", 1);
    assert_eq!(wrong(&entity)[0].0, Rule::VihfForm);
}

#[test]
fn sha_1_comes_in_by_configuration_alone() {
    let weak = |text: String| {
        text.replace("http://www.w3.org/2001/04/xmlenc#sha256", "http://www.w3.org/2000/09/xmldsig#sha1")
    };
    let text = signed_after(weak);
    assert_eq!(wrong(&text), [(Rule::VihfSignature, "VIHF, DigestMethod".to_owned())]);
    let allowing = judge_with(|config| config.vihf.sha1 = true, WORLD.clock.clone());
    assert!(allowing.judge(text.as_bytes(), About::OnePatient, Telling::Everything).token().is_some());
    let hmac = good().replace("2001/04/xmldsig-more#ecdsa-sha256", "2000/09/xmldsig#hmac-sha1");
    assert_eq!(wrong(&hmac)[0], (Rule::VihfSignature, "VIHF, SignatureMethod".to_owned()));
}

#[test]
fn only_a_signature_certificate_of_ours_signs() {
    let pki = &WORLD.pki;
    let sign = |key: &SigningKey| key.issue(&statement(), WORLD.clock.now()).unwrap();
    let auth = key_of(&pki.issue(&holder(), KeyUse::Auth, pki.usual_lifetime()).unwrap());
    let refusals = judge(&sign(&auth)).refusals;
    assert_eq!(refusals[0].rule, Rule::SignatureCertificate, "{refusals:?}");

    let folder = tempfile::tempdir().unwrap();
    let other = DevelopmentPki::create(folder.path(), Clock::System).unwrap();
    let stranger = key_of(&other.issue(&holder(), KeyUse::Sign, other.usual_lifetime()).unwrap());
    assert!(judge(&sign(&stranger)).token().is_none());

    // Signed with one key, bearing the certificate of another.
    let twin = key_of(&pki.issue(&holder(), KeyUse::Sign, pki.usual_lifetime()).unwrap());
    let certificates =
        |text: &str| text[text.find("<ds:KeyInfo>").unwrap()..text.find("</ds:KeyInfo>").unwrap()].to_owned();
    let (signed, borrowed) = (sign(&WORLD.hospital), sign(&twin));
    let swapped = signed.replace(&certificates(&signed), &certificates(&borrowed));
    assert_eq!(wrong(&swapped)[0].0, Rule::VihfSignature);
}

#[test]
fn the_issuer_is_the_holder_of_the_key_in_any_rendering() {
    let issuer = |text: &str, to: &str| {
        let start = text.find("X509SubjectName\">").unwrap() + 17;
        let end = start + text[start..].find('<').unwrap();
        format!("{}{to}{}", &text[..start], &text[end..])
    };
    let name = "CN=DPI, OU=1350000899, O=HOPITAL D'ESSAI &amp; FILS, ST=Paris (75), C=FR";
    assert_eq!(wrong(&signed_after(|text| issuer(&text, name))), []);
    let refusals = judge(&signed_after(|text| issuer(&text, &name.replace("899", "900")))).refusals;
    assert_eq!((refusals[0].rule, refusals[0].found.as_str()), (Rule::VihfIssuer, "OU=1350000900"));
    assert!(refusals[0].expected.starts_with("OU=1350000899"), "{}", refusals[0].expected);
    assert_eq!(wrong(&signed_after(|text| issuer(&text, "nobody")))[0].0, Rule::VihfIssuer);
}

#[test]
fn a_vihf_lives_from_its_instant_to_the_end_of_its_lifetime() {
    let text = good();
    let at = |seconds: i64| {
        let clock = Clock::fixed(WORLD.clock.now() + SignedDuration::from_secs(seconds));
        let refusals =
            judge_with(|_| {}, clock).judge(text.as_bytes(), About::OnePatient, Telling::Everything).refusals;
        refusals.iter().filter(|refusal| refusal.rule == Rule::VihfTime).count()
    };
    // 300 s of life, 60 s of skew on both sides; after a day the login is too old as well.
    for (seconds, wrong) in [(-62, 2), (-58, 0), (0, 0), (358, 0), (362, 1), (100_000, 2)] {
        assert_eq!(at(seconds), wrong, "{seconds}");
    }
    let condition = |text: String, attribute: &str, at: Timestamp| {
        text.replace("<saml:AuthnStatement", &format!("<saml:Conditions {attribute}=\"{at}\"/><saml:AuthnStatement"))
    };
    let now = WORLD.clock.now();
    for (attribute, instant, is_wrong) in [
        ("NotOnOrAfter", now + 1.minute(), false),
        ("NotOnOrAfter", now - 2.minutes(), true),
        ("NotAfter", now - 2.minutes(), true),
        ("NotBefore", now - 1.minute(), false),
        ("NotBefore", now + 2.minutes(), true),
        ("NotOnOrAfter", Timestamp::MAX, false),
        ("NotOnOrAfter", Timestamp::MIN, true),
    ] {
        let refused = wrong(&signed_after(|text| condition(text, attribute, instant)));
        assert_eq!(refused.first().map(|(rule, _)| *rule), is_wrong.then_some(Rule::VihfTime), "{attribute} {instant}");
    }
    let (start, last) = (good().find("IssueInstant=\"").unwrap() + 14, "9999-12-30T22:00:00.000Z");
    let refused = wrong(&signed_after(|text| format!("{}{last}{}", &text[..start], &text[start + 24..])));
    assert_eq!(refused[0].0, Rule::VihfTime);
    let audience = "<saml:Conditions><saml:AudienceRestriction><saml:Audience>x</saml:Audience></saml:AudienceRestriction></saml:Conditions><saml:AuthnStatement";
    assert_eq!(wrong(&signed_after(|text| text.replace("<saml:AuthnStatement", audience)))[0].0, Rule::VihfForm);
}

/// A memory for one test.
#[derive(Default)]
struct Noted(Mutex<Vec<PresentedAssertion>>);

impl AssertionMemory for Noted {
    fn note(&self, presented: PresentedAssertion) -> BoxFuture<'_, Result<Presentation, Failure>> {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = noted.iter().any(|one| one.key == presented.key);
        noted.push(presented);
        Box::pin(async move { Ok(if known { Presentation::Again } else { Presentation::First }) })
    }
}

#[tokio::test]
async fn a_good_vihf_is_taken_once_and_a_bad_one_is_not_remembered() {
    let memory = Arc::new(Noted::default());
    let verifier = Verifier::new(judge_with(|_| {}, WORLD.clock.clone()), memory.clone());
    let take = async |text: &str| match verifier.check(text.as_bytes(), About::OnePatient).await {
        Ok(unused) => verifier.take(unused).await,
        Err(failure) => Err(failure),
    };
    let text = good();
    assert!(take(&text.replacen("SM26", "SM54", 1)).await.is_err());
    assert!(take(&text).await.is_ok());
    assert_eq!(take(&text).await.unwrap_err().refusals()[0].rule, Rule::VihfReplayed);
    // The signature does not cover where its certificate stands: no other wrapping of the same words is new.
    let respelt = text.replace("<ds:X509Certificate>", "<ds:X509Certificate>\n");
    assert_eq!(take(&respelt).await.unwrap_err().refusals()[0].rule, Rule::VihfReplayed);
    let noted = memory.0.lock().unwrap();
    assert_eq!(noted.len(), 3);
    assert!(matches!(&noted[0].keep, Keep::Text(kept) if *kept == text));
    let issued_ms = WORLD.clock.now().as_millisecond();
    assert_eq!(noted[0].until.as_millisecond(), issued_ms + 360_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Assertion::read(&bytes).is_err());
    }

    #[test]
    fn no_change_of_a_good_vihf_makes_it_panic_or_say_something_else(at in 0_usize..8_000, byte in any::<u8>(), cut in 0_usize..40) {
        let text = good();
        let mut bytes = text.clone().into_bytes();
        let at = at % bytes.len();
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, [byte]);
        let judgement = judge_with(|_| {}, WORLD.clock.clone()).judge(&bytes, About::OnePatient, Telling::Everything);
        if let Some(token) = judgement.token() {
            prop_assert_eq!(&token.statement, &statement());
        }
    }
}
