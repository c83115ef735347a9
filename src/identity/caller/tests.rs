//! Which certificate and which token are one caller, and what they may be.

use std::sync::Arc;

use super::*;
use crate::domain::sha::Fingerprint;
use crate::identity::finess::FinessTable;
use crate::identity::statement::{Software, StatedSubject};
use crate::identity::token::{Signer, TokenKind};
use crate::tls::subject::{Card, Employee, PROFESSION_SYSTEM};

const EJ: &str = "1350005179";
const EG: &str = "1350000899";
const DOCTOR: &str = "899700218896";

fn certificate(subject: Subject) -> ClientCertificate {
    ClientCertificate {
        subject,
        card: Card::default(),
        serial: "0a".to_owned(),
        fingerprint: Fingerprint::of(b"").sha256,
    }
}

fn doctor() -> Subject {
    Subject::Person(Person {
        ps_id: DOCTOR.parse().unwrap(),
        family: "DUPONT".to_owned(),
        given: "Zoé".to_owned(),
        profession: Code::new(PROFESSION_SYSTEM, "10"),
        savoir_faire: vec![Code::new(SAVOIR_FAIRE_SYSTEM, "SM26")],
    })
}

fn hospital(id: &str) -> Subject {
    Subject::Organisation(Organisation {
        struct_id: id.parse().unwrap(),
        name: "CHU D'ESSAI".to_owned(),
        application: "DPI".to_owned(),
    })
}

fn employee() -> Subject {
    Subject::Employee(Employee {
        id: "3350000899/42".parse().unwrap(),
        organisation: "CHU D'ESSAI".to_owned(),
        names: None,
    })
}

fn token(mode: StatedMode, signer: Subject) -> Token {
    let statement = Statement {
        mode,
        subject: StatedSubject { id: DOCTOR.to_owned(), name: Some("Zoé DUPONT".to_owned()) },
        structure: EG.parse().unwrap(),
        sector: None,
        roles: vec![Code::new(PROFESSION_SYSTEM, "10"), Code::new(SAVOIR_FAIRE_SYSTEM, "SM26")],
        purpose: Purpose::Normal,
        patient: None,
        visibility: AccessVisibility::Ordinary,
        software: Some(Software {
            name: "DPI".to_owned(),
            version: "1".to_owned(),
            installation: None,
            homologation: "X".to_owned(),
        }),
    };
    Token { kind: TokenKind::Vihf, id: "_1".to_owned(), statement, signer: Signer::Holder(signer) }
}

fn air() -> Token {
    token(StatedMode::IndirecteRenforcee, hospital(EG))
}

/// Structures with a table that links EG to EJ, and some classes.
fn structures() -> Structures {
    structures_with("2990000060", StructureClass::OccupationalMedicine)
}

fn structures_with(id: &str, class: StructureClass) -> Structures {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("finess.csv");
    std::fs::write(&path, "EG;EJ\n350000899;350005179\n").unwrap();
    let classes = [
        ("2990000045".to_owned(), StructureClass::PatientPortal),
        ("2990000052".to_owned(), StructureClass::Insurer),
        (id.to_owned(), class),
    ];
    Structures::new(classes.into(), FinessTable::load(&path).unwrap())
}

fn identify(subject: Subject, token: Option<Token>) -> Result<Caller, Refusal> {
    identify_with(subject, token, CallerHeaders::default())
}

fn identify_with(subject: Subject, token: Option<Token>, headers: CallerHeaders<'_>) -> Result<Caller, Refusal> {
    Caller::identify(&certificate(subject), token, headers, &structures())
}

#[test]
fn a_certificate_and_a_token_make_one_mode() {
    let mode = |subject, token| identify(subject, token).unwrap().mode();
    assert_eq!(mode(doctor(), None), "direct");
    assert_eq!(mode(doctor(), Some(token(StatedMode::Directe, doctor()))), "direct");
    assert_eq!(mode(hospital(EG), None), "indirect");
    assert_eq!(mode(hospital(EG), Some(token(StatedMode::Indirecte, hospital(EG)))), "indirect");
    assert_eq!(mode(hospital(EG), Some(air())), "air");
    assert_eq!(mode(employee(), None), "employee");
    assert_eq!(mode(hospital("2990000045"), None), "patient_portal");
    let of_provider = Token { signer: Signer::Provider, kind: TokenKind::Oidc, ..air() };
    assert_eq!(mode(hospital(EG), Some(of_provider)), "air");
}

#[test]
fn an_air_caller_is_the_professional_whom_the_token_names() {
    let Caller::Air(professional, _, token) = identify(hospital(EG), Some(air())).unwrap() else { panic!() };
    assert_eq!((professional.id.as_str(), professional.structure.id.as_str()), (DOCTOR, EG));
    assert_eq!(professional.name, "Zoé DUPONT");
    assert_eq!(token.id, "_1");
}

#[test]
fn the_certificate_of_a_legal_entity_speaks_for_its_sites_alone() {
    let of_entity = token(StatedMode::Indirecte, hospital(EJ));
    let caller = identify(hospital(EJ), Some(of_entity.clone())).unwrap();
    assert_eq!(caller.id(), CallerId::Structure(EG.parse().unwrap()));
    let mut elsewhere = of_entity;
    elsewhere.statement.structure = "1750803447".parse().unwrap();
    let refusal = identify(hospital(EJ), Some(elsewhere)).unwrap_err();
    assert_eq!((refusal.rule, refusal.found.as_str()), (Rule::StructureMismatch, "1750803447"));
    assert!(refusal.expected.contains(EJ) && refusal.expected.contains("does not know"), "{refusal}");
    let certificate = certificate(hospital(EJ));
    let token = Some(token(StatedMode::Indirecte, hospital(EJ)));
    let bare = Structures::new(crate::config::StructureClasses::new(), Arc::default());
    let refusal = Caller::identify(&certificate, token, CallerHeaders::default(), &bare).unwrap_err();
    assert!(refusal.expected.contains("dmp.finess_table"), "{refusal}");
}

#[test]
fn each_disagreement_of_token_and_certificate_names_both_values() {
    type Change = fn(&mut Token);
    let cases: [(&str, Subject, Token, Change, &str, &str); 9] = [
        ("mode of a card", doctor(), token(StatedMode::Indirecte, doctor()), |_| {}, "INDIRECTE", "DIRECTE"),
        (
            "mode of a structure",
            hospital(EG),
            token(StatedMode::Directe, hospital(EG)),
            |_| {},
            "DIRECTE",
            "INDIRECTE_RENFORCEE",
        ),
        (
            "person",
            doctor(),
            token(StatedMode::Directe, doctor()),
            |token| token.statement.subject.id = "801234567897".to_owned(),
            "801234567897",
            DOCTOR,
        ),
        ("signer of a card", doctor(), token(StatedMode::Directe, hospital(EG)), |_| {}, EG, DOCTOR),
        ("signer of a structure", hospital(EG), token(StatedMode::Indirecte, hospital(EJ)), |_| {}, EJ, EG),
        (
            "signer of a person for a structure",
            hospital(EG),
            token(StatedMode::Indirecte, doctor()),
            |_| {},
            DOCTOR,
            EG,
        ),
        (
            "profession",
            doctor(),
            token(StatedMode::Directe, doctor()),
            |token| token.statement.roles[0].code = "60".to_owned(),
            "60",
            "10",
        ),
        (
            "savoir-faire",
            doctor(),
            token(StatedMode::Directe, doctor()),
            |token| token.statement.roles[1].code = "SM54".to_owned(),
            "SM54",
            "SM26",
        ),
        (
            "structure of an employee",
            employee(),
            token(StatedMode::Directe, employee()),
            |token| {
                token.statement.subject.id = "3350000899/42".to_owned();
                token.statement.structure = "1750803447".parse().unwrap();
            },
            "1750803447",
            EG,
        ),
    ];
    for (what, subject, mut token, change, found, expected) in cases {
        change(&mut token);
        let refusal = identify(subject, Some(token)).unwrap_err();
        assert!(matches!(refusal.rule, Rule::TokenMismatch | Rule::StructureMismatch), "{what}: {refusal}");
        assert!(refusal.found.contains(found) && refusal.expected.contains(expected), "{what}: {refusal}");
    }
}

#[test]
fn only_a_professional_consults_in_air() {
    for (system, code) in
        [(NON_PS_SYSTEM, "SECRETARIAT_MEDICAL"), (NON_PS_SYSTEM, "DISPOSITIF"), (NON_PS_SYSTEM, "AUTOMATE")]
    {
        let mut token = air();
        token.statement.roles = vec![Code::new(system, code)];
        let refusal = identify(hospital(EG), Some(token.clone())).unwrap_err();
        assert_eq!((refusal.rule, refusal.found.as_str()), (Rule::ModeRefused, code));
        token.statement.mode = StatedMode::Indirecte;
        assert_eq!(identify(hospital(EG), Some(token)).unwrap().mode(), "indirect");
    }
    let named = |id: &str| {
        let mut token = air();
        token.statement.subject.id = id.to_owned();
        identify(hospital(EG), Some(token))
    };
    assert_eq!(named("00B2800585").unwrap().mode(), "air");
    // Under such an id, whom the patient blocked by their RPPS would come back.
    for id in ["jdupont", "1350000899/7", "3350000899/7", "410000000011", "5350000899", "6350000899", "8A9700218896"] {
        let refusal = named(id).unwrap_err();
        assert_eq!((refusal.rule, refusal.found.as_str()), (Rule::ModeRefused, id));
        assert!(refusal.expected.contains("RPPS") && refusal.expected.contains("ADELI"), "{refusal}");
    }
}

#[test]
fn insurers_have_no_right_whichever_way_they_are_named() {
    assert_eq!(identify(hospital("2990000052"), None).unwrap_err().rule, Rule::ActorRefused);
    let mut token = token(StatedMode::Directe, doctor());
    token.statement.structure = "2990000052".parse().unwrap();
    assert_eq!(identify(doctor(), Some(token)).unwrap_err().rule, Rule::ActorRefused);
}

#[test]
fn the_portal_brings_no_token() {
    let mut token = air();
    token.statement.structure = "2990000045".parse().unwrap();
    assert_eq!(identify(hospital("2990000045"), Some(token)).unwrap_err().rule, Rule::ModeRefused);
}

#[test]
fn occupational_medicine_is_known_by_savoir_faire_or_structure() {
    let practice = |subject, token| match identify(subject, token).unwrap() {
        Caller::Direct(professional, ..) => professional.practice,
        Caller::Air(professional, ..) => professional.practice,
        other => panic!("{other:?}"),
    };
    assert_eq!(practice(doctor(), None), Practice::Care);
    let mut stated = air();
    stated.statement.roles[1].code = OCCUPATIONAL_MEDICINE.to_owned();
    assert_eq!(practice(hospital(EG), Some(stated)), Practice::OccupationalMedicine);
    let mut of_service = token(StatedMode::Directe, doctor());
    of_service.statement.structure = "2990000060".parse().unwrap();
    assert_eq!(practice(doctor(), Some(of_service)), Practice::OccupationalMedicine);
    // The service as the legal entity of the certificate, a site of it in the token; and the other way round.
    for service in [EJ, EG] {
        let structures = structures_with(service, StructureClass::OccupationalMedicine);
        let token = token(StatedMode::IndirecteRenforcee, hospital(EJ));
        let caller = Caller::identify(&certificate(hospital(EJ)), Some(token), CallerHeaders::default(), &structures);
        let Caller::Air(professional, ..) = caller.unwrap() else { panic!() };
        assert_eq!(professional.practice, Practice::OccupationalMedicine, "{service}");
    }
    let structures = structures_with(EG, StructureClass::OccupationalMedicine);
    let caller = Caller::identify(&certificate(employee()), None, CallerHeaders::default(), &structures).unwrap();
    let Caller::Employee(employee, ..) = caller else { panic!() };
    assert_eq!(employee.practice, Practice::OccupationalMedicine);
}

#[test]
fn the_purpose_is_the_tokens_and_a_header_may_not_say_another() {
    let mut urgent = air();
    urgent.statement.purpose = Purpose::BrisDeGlace { reason: String::new() };
    let headers =
        |purpose, reason| CallerHeaders { purpose: PurposeHeaders { purpose, reason }, ..CallerHeaders::default() };
    let purpose =
        |headers| identify_with(hospital(EG), Some(urgent.clone()), headers).map(|caller| caller.purpose().clone());
    let with = |reason: &str| Purpose::BrisDeGlace { reason: reason.to_owned() };
    assert_eq!(purpose(headers(None, None)).unwrap(), with("not stated in the token"));
    assert_eq!(purpose(headers(Some("bris_de_glace"), Some("inconscient"))).unwrap(), with("inconscient"));
    assert_eq!(purpose(headers(None, Some("\u{200b} -"))).unwrap(), with("not stated in the token"));
    let refusal = purpose(headers(None, Some("a\u{9b}31m"))).unwrap_err();
    assert_eq!((refusal.rule, refusal.place.as_str()), (Rule::HeaderValue, "header X-Access-Reason"));
    let refusal = purpose(headers(Some("normal"), None)).unwrap_err();
    assert_eq!((refusal.rule, refusal.found.as_str()), (Rule::TokenMismatch, "normal"));
    assert!(refusal.expected.contains("bris_de_glace"), "{refusal}");
}

#[test]
fn a_structure_regulates_emergencies_and_breaks_no_glass() {
    let with = |purpose| {
        let mut token = token(StatedMode::Indirecte, hospital(EG));
        token.statement.purpose = purpose;
        identify(hospital(EG), Some(token))
    };
    assert_eq!(with(Purpose::Centre15).unwrap().purpose(), &Purpose::Centre15);
    let refusal = with(Purpose::BrisDeGlace { reason: String::new() }).unwrap_err();
    assert_eq!((refusal.rule, refusal.found.as_str()), (Rule::ModeRefused, "bris_de_glace"));
}

#[test]
fn a_request_about_another_patient_than_the_tokens_is_refused_without_naming_either() {
    let ins: Ins = "1.2.250.1.213.1.4.10|279035121518989".parse().unwrap();
    let other: Ins = "1.2.250.1.213.1.4.10|277076322082910".parse().unwrap();
    let mut token = air();
    token.statement.patient = Some(ins.clone());
    let caller = identify(hospital(EG), Some(token)).unwrap();
    assert_eq!(caller.check_patient(&ins, "patient"), Ok(()));
    let refusal = caller.check_patient(&other, "patient").unwrap_err();
    assert_eq!(refusal.rule, Rule::TokenPatient);
    let text = refusal.to_string();
    assert!(!text.contains(ins.matricule()) && !text.contains(other.matricule()), "{text}");
    assert_eq!(identify(doctor(), None).unwrap().check_patient(&other, "patient"), Ok(()));
}
