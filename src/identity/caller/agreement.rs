//! Whether a token and the certificate of the connection that brought it tell of one and the same caller.
//!
//! Each disagreement names both values: it is the first cause of failed integrations (I.2). Source: B.1, B.3, C.2.

use crate::domain::code::Code;
use crate::domain::national_id::{PsIdNat, StructIdNat};
use crate::identity::finess::Link;
use crate::identity::statement::{StatedMode, Statement};
use crate::identity::structures::Structures;
use crate::identity::token::{Signer, Token};
use crate::refusal::{Refusal, Rule};
use crate::tls::subject::{Employee, Organisation, Person, SAVOIR_FAIRE_SYSTEM, Subject};

/// Direct mode: the holder of the card is the one who is named, signed, and has that profession.
pub(super) fn check_person(token: &Token, person: &Person) -> Result<(), Refusal> {
    check_card(token, &person.ps_id)?;
    check_profession(&token.statement, person)
}

/// Direct mode with the card of an employee, which vouches for one structure and its sites.
pub(super) fn check_employee(
    token: &Token,
    employee: &Employee,
    certified: &StructIdNat,
    structures: &Structures,
) -> Result<(), Refusal> {
    check_card(token, &employee.id)?;
    check_structure(token, certified, "CN", structures)
}

fn check_card(token: &Token, card: &PsIdNat) -> Result<(), Refusal> {
    let statement = &token.statement;
    let Signer::Holder(signer) = &token.signer else {
        let expected = "no access token, or a connection with a structure's certificate: a card says itself who calls";
        return Err(Refusal::new(Rule::TokenMismatch, "header Authorization", "Bearer", expected));
    };
    if statement.mode != StatedMode::Directe {
        let expected = "DIRECTE, for the client certificate is a person's";
        return Err(mismatch("Authentification_mode", statement.mode.word(), expected));
    }
    if statement.subject.id != card.as_str() {
        let expected = format!("{card}, CN of the client certificate");
        return Err(mismatch("Subject/NameID", &statement.subject.id, &expected));
    }
    let signed_by = match signer {
        Subject::Person(person) => Some(&person.ps_id),
        Subject::Employee(employee) => Some(&employee.id),
        Subject::Organisation(_) => None,
    };
    if signed_by == Some(card) {
        return Ok(());
    }
    let expected = format!("{card}, CN of the client certificate: in DIRECTE the card itself signs");
    Err(mismatch("signature certificate", &holder_of(signer), &expected))
}

/// Indirect modes: the structure's own signature, for itself or for a site of it.
pub(super) fn check_organisation(
    token: &Token,
    organisation: &Organisation,
    structures: &Structures,
) -> Result<(), Refusal> {
    let statement = &token.statement;
    if statement.mode == StatedMode::Directe {
        let expected = "INDIRECTE or INDIRECTE_RENFORCEE, for the client certificate is a structure's";
        return Err(mismatch("Authentification_mode", statement.mode.word(), expected));
    }
    let certified = &organisation.struct_id;
    match &token.signer {
        Signer::Holder(Subject::Organisation(signer)) if signer.struct_id == *certified => {}
        Signer::Provider => {}
        Signer::Holder(signer) => {
            let expected = format!("{certified}, OU of the client certificate: sign with the cachet of that structure");
            return Err(mismatch("signature certificate", &holder_of(signer), &expected));
        }
    }
    check_structure(token, certified, "OU", structures)
}

fn check_profession(statement: &Statement, person: &Person) -> Result<(), Refusal> {
    let shown = |code: &Code| format!("{} of {}", code.code, code.system);
    let profession = statement.roles.first();
    if !profession.is_some_and(|stated| stated.is(&person.profession)) {
        let found = profession.map_or_else(|| "nothing".to_owned(), shown);
        let expected = format!("{}, the profession of the client certificate", shown(&person.profession));
        return Err(mismatch("role, first value", &found, &expected));
    }
    let stated = statement.roles.get(1).filter(|role| role.system == SAVOIR_FAIRE_SYSTEM);
    match stated {
        Some(stated) if !person.savoir_faire.is_empty() && !person.savoir_faire.iter().any(|one| one.is(stated)) => {
            let known: Vec<&str> = person.savoir_faire.iter().map(|code| code.code.as_str()).collect();
            let expected = format!("{}, the savoir-faire of the client certificate", known.join(" or "));
            Err(mismatch("role, second value", &stated.code, &expected))
        }
        _ => Ok(()),
    }
}

/// The same structure, or a site (EG) of the legal entity (EJ) that the certificate names (T-22).
fn check_structure(
    token: &Token,
    certified: &StructIdNat,
    field: &str,
    structures: &Structures,
) -> Result<(), Refusal> {
    let stated = &token.statement.structure;
    if stated == certified {
        return Ok(());
    }
    let why = match structures.link(stated, certified) {
        Link::Linked => return Ok(()),
        Link::Other(entity) => format!("the FINESS table says that this site is one of EJ {entity}"),
        Link::Unknown => "the FINESS table of this gateway does not know this site".to_owned(),
        Link::NoTable => "this gateway has no FINESS table (dmp.finess_table) that could link a site (EG)".to_owned(),
        Link::NotFiness => "only FINESS numbers (type digit 1) can be linked as site and legal entity".to_owned(),
    };
    Err(Refusal::new(
        Rule::StructureMismatch,
        token.kind.place_of_structure(),
        stated.as_str(),
        format!("{certified}, {field} of the client certificate, or one of its sites; {why}"),
    ))
}

fn holder_of(subject: &Subject) -> String {
    match subject {
        Subject::Person(person) => format!("{}, a person's", person.ps_id),
        Subject::Employee(employee) => format!("{}, an employee's", employee.id),
        Subject::Organisation(organisation) => format!("{}, a structure's", organisation.struct_id),
    }
}

fn mismatch(place: &str, found: &str, expected: &str) -> Refusal {
    Refusal::new(Rule::TokenMismatch, format!("token, {place}"), found, expected)
}
