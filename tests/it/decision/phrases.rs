//! The journal in plain French: every action with every outcome, every kind of actor, every purpose.

use carnet::domain::confidentiality::VisibilityLabel;
use carnet::domain::consent::{Consent, ConsentKind, DeclaredBy, Delegate, DelegateRole, Grantee};
use carnet::domain::ids::ConsentId;
use carnet::domain::national_id::PsIdNat;
use carnet::domain::value_set::Terminology;
use carnet::journal::event::{
    Action, Actor, Change, Connection, EntryMention, Event, Outcome, StatedPurpose, StatedToken, StatedUser, Subject,
};
use carnet::journal::patient_view::{ActorType, Group, sentence};

use super::compare;

#[test]
fn the_journal_in_plain_french_is_as_reviewed() {
    let terminology = Terminology::load().expect("terminology");
    let say = |event: &Event| format!("- {}\n", sentence(event, &terminology));
    let mut text = "# What the holder of a record reads\n\nNo-break spaces are written `~` here.\n".to_owned();
    for action in Action::ALL {
        let group = Group::of(&event(action, doctor())).code();
        text.extend(["\n## ", action.code(), ", ", group, "\n\n"]);
        let mut done =
            [0, 1, 3].map(|count| say(&Event { entries: mentions(count), ..event(action, doctor()) })).to_vec();
        done.dedup();
        text += &done.concat();
        for result in outcomes() {
            text += &say(&Event { result, ..event(action, doctor()) });
        }
    }
    text += "\n## What changed\n\n";
    for change in changes() {
        let of_patient = event(Action::SetConsent, portal("2990000045", StatedUser::Patient));
        text += &say(&Event { entries: mentions(1), change, ..of_patient });
    }
    text += "\n## Who\n\n";
    for actor in actors() {
        let kind = ActorType::of(&actor).code();
        let mut told = [StatedToken::None, token("Paul USAGER"), token("")].map(|token| {
            let event = Event { entries: mentions(1), token, ..event(Action::Retrieve, actor.clone()) };
            format!("- {kind}: {}\n", sentence(&event, &terminology))
        });
        told.sort();
        let mut told = told.to_vec();
        told.dedup();
        text += &told.concat();
    }
    text += "\n## Why\n\n";
    for purpose in purposes() {
        let event = Event { entries: mentions(1), purpose, ..event(Action::Retrieve, doctor()) };
        text += &say(&event);
        text +=
            &say(&Event { result: Outcome::Denied { rule: "F.4-9 blocked".to_owned() }, entries: Vec::new(), ..event });
    }
    compare("phrases.md", &text.replace('\u{a0}', "~"));
}

/// Each kind of line as it begins and as it ends, a block with what it ends, each label, an address.
fn changes() -> Vec<Change> {
    let line = |kind: ConsentKind, until: Option<&str>| Consent {
        id: ConsentId::new(),
        kind,
        since: "2026-01-01T00:00:00Z".parse().expect("instant"),
        until: until.map(|until| until.parse().expect("instant")),
        declared_by: DeclaredBy::Patient,
        is_secret: false,
    };
    let ps = || "810000000029".parse::<PsIdNat>().expect("PS_IdNat");
    let delegate = |role| ConsentKind::Delegation(Delegate { role, id: "ens-42".parse().expect("an id") });
    let kinds = [
        ConsentKind::Authorisation(Grantee::Professional(ps())),
        ConsentKind::Authorisation(Grantee::Structure("1350000899".parse().expect("Struct_IdNat"))),
        ConsentKind::Block(ps()),
        ConsentKind::MedecinTraitant(ps()),
        ConsentKind::OppositionBrisDeGlace,
        ConsentKind::OppositionCentre15,
        ConsentKind::MaskedInEmergencies,
        ConsentKind::MaskByDefault,
        delegate(DelegateRole::LegalRepresentative),
        delegate(DelegateRole::Aidant),
    ];
    let ended = "2026-03-12T13:05:00Z";
    let mut changes: Vec<_> = kinds
        .into_iter()
        .flat_map(|kind| [None, Some(ended)].map(|until| Change::of_lines([&line(kind.clone(), until)])))
        .collect();
    let with_it = ConsentKind::Authorisation(Grantee::Professional(ps()));
    changes.push(Change::of_lines([&line(ConsentKind::Block(ps()), None), &line(with_it, Some(ended))]));
    for label in VisibilityLabel::ALL {
        changes.extend([true, false].map(|present| Change::Label { label: label.code().to_owned(), present }));
    }
    for who in ["", "810000000029"] {
        changes.extend([true, false].map(|present| Change::Contact { who: who.to_owned(), present }));
    }
    changes
}

fn event(action: Action, actor: Actor) -> Event {
    Event {
        at: "2026-03-12T13:05:00Z".parse().expect("instant"),
        actor,
        purpose: StatedPurpose::Normal,
        connection: Connection::Ordinary,
        action,
        dossier: Subject::Unknown,
        result: Outcome::Done { rule: "F.4-12".to_owned() },
        entries: Vec::new(),
        change: Change::None,
        token: StatedToken::None,
    }
}

fn mentions(count: usize) -> Vec<EntryMention> {
    let titles = ["Lettre de liaison", "CR d'imagerie", "Ordonnance"];
    let mention = |title: &str| EntryMention {
        document: String::new(),
        unique_id: "2.25.1".to_owned(),
        type_code: "11490-0".to_owned(),
        title: title.to_owned(),
    };
    titles.into_iter().take(count).map(mention).collect()
}

fn outcomes() -> [Outcome; 4] {
    [
        Outcome::DoneBefore,
        Outcome::Denied { rule: "F.4-9 blocked".to_owned() },
        Outcome::Refused { rules: vec!["class-code".to_owned()] },
        Outcome::NotFound,
    ]
}

fn purposes() -> [StatedPurpose; 4] {
    [
        StatedPurpose::Normal,
        StatedPurpose::NotRead,
        StatedPurpose::BrisDeGlace { reason: "patient inconscient".to_owned() },
        StatedPurpose::Centre15,
    ]
}

fn doctor() -> Actor {
    professional("10")
}

fn professional(profession: &str) -> Actor {
    Actor::Professional {
        ps_id: "810000000029".to_owned(),
        family: "BERNARD".to_owned(),
        given: "Paul".to_owned(),
        profession: profession.to_owned(),
    }
}

fn actors() -> Vec<Actor> {
    let (struct_id, structure) = ("1350000899".to_owned(), "HOPITAL DE TEST".to_owned());
    let air = |profession: &str| Actor::AirProfessional {
        ps_id: "810000000029".to_owned(),
        name: "Paul BERNARD".to_owned(),
        profession: profession.to_owned(),
        struct_id: struct_id.clone(),
        structure: structure.clone(),
    };
    vec![
        doctor(),
        professional("40"),
        professional("60"),
        professional("no such code"),
        air("10"),
        air("21"),
        Actor::Employee {
            card_id: "3350000899/1".to_owned(),
            name: "Anne PETIT".to_owned(),
            struct_id: struct_id.clone(),
            structure: structure.clone(),
        },
        Actor::Structure { struct_id: struct_id.clone(), name: structure.clone() },
        portal(&struct_id, StatedUser::Unstated),
        portal(&struct_id, StatedUser::Patient),
        portal(&struct_id, StatedUser::LegalRepresentative("mere".to_owned())),
        portal(&struct_id, StatedUser::Aidant("voisine".to_owned())),
        Actor::Operator,
        Actor::Unidentified { certificate_serial: "01".to_owned(), holder: String::new() },
    ]
}

fn portal(struct_id: &str, user: StatedUser) -> Actor {
    Actor::PatientPortal { struct_id: struct_id.to_owned(), name: "PORTAIL DE TEST".to_owned(), user }
}

fn token(user_name: &str) -> StatedToken {
    StatedToken::Presented {
        kind: "vihf".to_owned(),
        id: "_1".to_owned(),
        mode: "INDIRECTE".to_owned(),
        user: "usager-7".to_owned(),
        user_name: user_name.to_owned(),
        role: "10".to_owned(),
        struct_id: "1350000899".to_owned(),
        software: "LPS 1.0 (H1)".to_owned(),
    }
}
