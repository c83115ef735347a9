//! Every combination of the finite domain: none falls through, and what must hold of all holds of each.

use std::collections::{BTreeMap, BTreeSet};

use carnet::access::decide::{Action, RuleId};
use carnet::access::visibility::{EntryFacts, Others, Reach, Readable, ReadableKinds, Shown, Visibility};
use carnet::domain::confidentiality::VisibilityLabel;
use carnet::domain::consent::{Delegate, DelegateRole};
use carnet::domain::dossier::DossierState;
use carnet::domain::status::AvailabilityStatus;
use carnet::domain::value_set::{Terminology, ValueSetName};
use carnet::identity::caller::{Caller, CallerId, Practice, Purpose};
use carnet::identity::session::{PortalSession, PortalUser};

use super::super::support::gateway::patient;
use super::world::{Authorisation, Decided, Facts, G15, KNOWN, ask, closed, every_caller, matrices, now};
use super::{compare, table};

#[test]
fn every_combination_is_decided_by_a_rule_and_by_the_one_that_was_reviewed() {
    let matrices = matrices();
    let callers = every_caller(&matrices);
    let mut counts: BTreeMap<(String, &str, &str), u32> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut combinations = 0;
    for facts in &every_facts() {
        let dossier = facts.dossier();
        // Who represents a minor is asked of nobody but the portal.
        let meant = |caller: &&Caller| !facts.represented || matches!(caller, Caller::PatientPortal(..));
        for caller in callers.iter().filter(meant) {
            combinations += Action::ALL.len();
            let decided: Vec<_> =
                Action::ALL.iter().map(|&action| (action, ask(&matrices, action, caller, &dossier))).collect();
            for (action, decided) in &decided {
                check(*action, caller, facts, decided);
                let sign = if decided.visibility.is_some() { "permitted" } else { "denied" };
                *counts.entry((format!("{action:?}"), sign, decided.rule.code())).or_default() += 1;
                // A journal names documents that were deleted, too: their deletion is among what was done.
                if *action != Action::ReadJournal {
                    seen.extend(decided.visibility.as_ref().map(|visibility| visibility.others.clone()));
                }
            }
            check_together(&decided);
        }
    }
    let total: usize = counts.values().map(|count| *count as usize).sum();
    assert_eq!(total, combinations);
    for others in seen {
        check_entries(others);
    }
    let rows = counts
        .into_iter()
        .map(|((action, sign, rule), count)| vec![action, sign.to_owned(), rule.to_owned(), count.to_string()]);
    let header = ["Action", "Decided", "Rule", "Combinations"].map(str::to_owned).to_vec();
    let head = format!(
        "# Every combination\n\n{} callers, every state of the record and its list that is about them, {} actions: {total}, each counted once.\n\n",
        callers.len(),
        Action::ALL.len()
    );
    compare("every.md", &(head + &table(&header, &rows.collect::<Vec<_>>())));
}

/// What must hold of one decision, said again in other words than the code's.
fn check(action: Action, caller: &Caller, facts: &Facts, decided: &Decided) {
    let permitted = decided.visibility.is_some();
    let place = || format!("{action:?} {:?} of {caller:?}, {facts:?}", decided.rule);
    let is_closed = matches!(facts.state, DossierState::Closed { .. });
    let elsewhere = caller.stated_patient().is_some_and(|about| *about != patient());
    let is_holder = matches!(caller, Caller::PatientPortal(..) | Caller::Operator);
    let stays = action == Action::Existence || (action == Action::ReadJournal && is_holder);
    if elsewhere || (is_closed && !stays) {
        return assert!(!permitted, "{}", place());
    }
    match caller {
        _ if action == Action::ReadJournal && !is_holder => check_reader(caller, facts, decided, place),
        Caller::PatientPortal(_, session) => {
            assert_eq!(permitted, portal_may(session, facts, action), "{}", place());
            check_portal_sees(session, decided, place);
        }
        Caller::Operator => assert_eq!(permitted, operator_may(action), "{}", place()),
        Caller::Employee(..) | Caller::Indirect(..) => check_structure(action, caller, decided, place),
        Caller::Direct(who, ..) => check_professional(action, caller, who.practice, facts, decided, place),
        Caller::Air(who, ..) => check_professional(action, caller, who.practice, facts, decided, place),
    }
}

/// Everything but other people's documents goes by what is written in F.4 (4 to 6).
fn portal_may(session: &PortalSession, facts: &Facts, action: Action) -> bool {
    let PortalSession::Of { user, .. } = session else {
        return !reads(action) && action != Action::ReadJournal && !OF_PROFESSIONALS.contains(&action);
    };
    let role = match user {
        PortalUser::Patient => None,
        PortalUser::Delegate(Delegate { role, id })
            if id.as_str() == KNOWN && (*role == DelegateRole::Aidant || facts.represented) =>
        {
            Some(*role)
        }
        PortalUser::Delegate(_) => return false,
    };
    match action {
        Action::NameRepresentative => false,
        Action::NameAidant => role != Some(DelegateRole::Aidant),
        Action::ConcealFromRepresentatives | Action::RevealToRepresentatives => role.is_none(),
        other => !OF_PROFESSIONALS.contains(&other),
    }
}

/// Nobody sees through the portal what is invisible to the patient; what a minor keeps to themselves they alone see.
fn check_portal_sees(session: &PortalSession, decided: &Decided, place: impl Fn() -> String) {
    let Some(Visibility { others: Others::Shown(shown), .. }) = &decided.visibility else { return };
    let is_delegate = matches!(session, PortalSession::Of { user: PortalUser::Delegate(_), .. });
    let hides = |label| shown.hidden_by.contains(&label);
    assert!(hides(VisibilityLabel::InvisiblePatient), "{}", place());
    let secret = VisibilityLabel::InvisibleRepresentantsLegaux;
    assert_eq!(hides(secret), is_delegate, "{}", place());
}

fn operator_may(action: Action) -> bool {
    let declares = [Action::DeclareAuthorisation, Action::RemoveAuthorisation, Action::LeaveAsMedecinTraitant];
    !reads(action) && !declares.contains(&action)
}

/// What nobody does through the portal.
const OF_PROFESSIONALS: [Action; 6] = [
    Action::Deposit,
    Action::DeclareAuthorisation,
    Action::RemoveAuthorisation,
    Action::LeaveAsMedecinTraitant,
    Action::ConcealFromPatient,
    Action::RevealToPatient,
];

fn reads(action: Action) -> bool {
    matches!(action, Action::Consult | Action::Retrieve)
}

/// Of the journal: everybody has their own lines, the médecin traitant all, outside of emergencies.
fn check_reader(caller: &Caller, facts: &Facts, decided: &Decided, place: impl Fn() -> String) {
    let practice = match caller {
        Caller::Direct(who, ..) => Some(who.practice),
        Caller::Air(who, ..) => Some(who.practice),
        _ => None,
    };
    let is_normal = *caller.purpose() == Purpose::Normal;
    let treats = facts.medecin_traitant && !facts.blocked && is_normal && practice == Some(Practice::Care);
    let expected = if decided.rule == RuleId::MedecinTraitant { treats } else { decided.rule == RuleId::OwnTraces };
    assert!(decided.visibility.is_some() && expected, "{}", place());
}

/// A structure deposits, finds its own and reads nothing.
fn check_structure(action: Action, caller: &Caller, decided: &Decided, place: impl Fn() -> String) {
    let declares = match caller {
        Caller::Employee(who, ..) => who.practice == Practice::Care && *caller.purpose() == Purpose::Normal,
        _ => false,
    };
    let may = match action {
        Action::Existence | Action::Deposit | Action::Consult => true,
        Action::DeclareAuthorisation => declares,
        _ => false,
    };
    assert_eq!(decided.visibility.is_some(), may, "{}", place());
    assert!(!shows_others(decided), "{}", place());
}

fn check_professional(
    action: Action,
    caller: &Caller,
    practice: Practice,
    facts: &Facts,
    decided: &Decided,
    place: impl Fn() -> String,
) {
    let permitted = decided.visibility.is_some();
    let is_normal = *caller.purpose() == Purpose::Normal;
    let treats = facts.medecin_traitant && practice == Practice::Care;
    match action {
        Action::Existence => assert!(permitted, "{}", place()),
        Action::Deposit => assert_eq!(permitted, matches!(caller, Caller::Direct(..)), "{}", place()),
        Action::SetList | Action::NameRepresentative | Action::NameAidant => assert!(!permitted, "{}", place()),
        _ if facts.blocked => assert!(!permitted, "{}", place()),
        Action::Retrieve if practice != Practice::Care => assert!(!permitted, "{}", place()),
        Action::Consult if decided.rule == RuleId::ModeConsultsNothing => assert!(!is_health(caller), "{}", place()),
        Action::Consult => assert_eq!(shows_others(decided), is_entitled(caller, facts), "{}", place()),
        Action::ListAuthorisations => assert!(!permitted || is_entitled(caller, facts), "{}", place()),
        Action::DeclareAuthorisation | Action::RemoveAuthorisation | Action::LeaveAsMedecinTraitant => {
            assert!(!permitted || (is_normal && practice == Practice::Care), "{}", place());
            assert!(action != Action::LeaveAsMedecinTraitant || !permitted || treats, "{}", place());
        }
        Action::Unmask if !treats => assert!(!shows_others(decided), "{}", place()),
        Action::ConcealFromPatient | Action::ConcealFromRepresentatives | Action::RevealToRepresentatives => {
            assert!(!shows_others(decided), "{}", place());
        }
        _ => {}
    }
    if shows_others(decided) {
        assert!(is_entitled(caller, facts), "{}", place());
    }
    // Column T has no purposes.
    let in_emergency = !is_normal && practice == Practice::Care;
    if in_emergency && !matches!(action, Action::Existence | Action::Deposit) && !reads(action) {
        assert!(!permitted, "{}", place());
    }
    if let Some(Visibility { others: Others::Shown(shown), .. }) = &decided.visibility {
        let allowed = in_emergency && facts.shows_masked_in_emergencies;
        let sees_masked = !shown.hidden_by.contains(&VisibilityLabel::MasquePs);
        assert_eq!(sees_masked, allowed || decided.rule == RuleId::MedecinTraitant, "{}", place());
    }
}

/// Of a health profession; others are let in by AIR alone, and not to consult (matrix 606, column NPS).
fn is_health(caller: &Caller) -> bool {
    match caller {
        Caller::Direct(who, ..) => who.profession.system == G15,
        Caller::Air(who, ..) => who.profession.system == G15,
        _ => false,
    }
}

/// The list, or an emergency that the patient does not oppose, lets this professional in.
fn is_entitled(caller: &Caller, facts: &Facts) -> bool {
    let occupational = match caller {
        Caller::Direct(who, ..) => who.practice == Practice::OccupationalMedicine,
        Caller::Air(who, ..) => who.practice == Practice::OccupationalMedicine,
        _ => return false,
    };
    if occupational {
        return facts.authorisation == Authorisation::ByPatient;
    }
    match caller.purpose() {
        Purpose::BrisDeGlace { .. } => !facts.opposes_bris_de_glace,
        Purpose::Centre15 => !facts.opposes_centre_15,
        Purpose::Normal => match facts.authorisation {
            Authorisation::Declared | Authorisation::ByPatient => true,
            Authorisation::OfStructure => facts.medecin_traitant || matches!(caller, Caller::Air(..)),
            Authorisation::None | Authorisation::Ended => facts.medecin_traitant,
        },
    }
}

/// Who reads a document finds it; who reads as médecin traitant reads the whole journal.
fn check_together(decided: &[(Action, Decided)]) {
    let of = |wanted| &decided.iter().find(|(action, _)| *action == wanted).expect("an answer").1;
    let others = |wanted| of(wanted).visibility.as_ref().map(|visibility| &visibility.others);
    let treats = |wanted| of(wanted).rule == RuleId::MedecinTraitant;
    assert_eq!(treats(Action::ReadJournal), treats(Action::Consult));
    match (others(Action::Retrieve), others(Action::Consult)) {
        (Some(Others::Shown(read)), Some(Others::Shown(found))) => {
            assert!(read.statuses.is_subset(&found.statuses) && found.hidden_by == read.hidden_by);
            assert_eq!(read.readable, found.readable);
        }
        (Some(read), found) => panic!("reads {read:?} and finds {found:?}"),
        (None, _) => {}
    }
}

/// Of every entry there can be: deleted ones are hidden from all, own ones are shown, the rest is what the permit says.
fn check_entries(others: Others) {
    let terminology = Terminology::load().unwrap();
    let classes: Vec<String> = terminology.members(ValueSetName::Class).map(|class| class.code).collect();
    let visibility = Visibility { holder: CallerId::Operator, others, at: now() };
    for status in AvailabilityStatus::ALL {
        for place in 0..1 << VisibilityLabel::ALL.len() {
            let bears = |bit: &usize| place & (1 << bit) != 0;
            let labels = (0..VisibilityLabel::ALL.len()).filter(bears).map(|bit| VisibilityLabel::ALL[bit]).collect();
            for class_code in &classes {
                let (type_code, specialties) = ("", &BTreeSet::new());
                let shows = |own| {
                    visibility.shows(&EntryFacts { own, status, labels: &labels, class_code, type_code, specialties })
                };
                assert_eq!(shows(true), status != AvailabilityStatus::Deleted);
                let hidden = match &visibility.others {
                    Others::Nothing => true,
                    Others::Shown(Shown { statuses, hidden_by, readable, .. }) => {
                        let reads = |kinds: &ReadableKinds| kinds.classes.get(class_code) == Some(&Reach::Read);
                        let unreadable = matches!(readable, Readable::Kinds(kinds) if !reads(kinds));
                        unreadable || !statuses.contains(&status) || labels.intersection(hidden_by).next().is_some()
                    }
                };
                assert_eq!(shows(false), !hidden, "{visibility:?} {status:?} {labels:?} {class_code}");
            }
        }
    }
}

fn shows_others(decided: &Decided) -> bool {
    decided.visibility.as_ref().is_some_and(|visibility| visibility.others != Others::Nothing)
}

fn every_facts() -> Vec<Facts> {
    let mut all = Vec::new();
    for state in [DossierState::OpenNotActivated, DossierState::Activated, closed()] {
        for authorisation in Authorisation::ALL {
            for bits in 0..64_u8 {
                let bit = |place: u8| bits & (1 << place) != 0;
                let (blocked, medecin_traitant) = (bit(0), bit(1));
                let (opposes_bris_de_glace, opposes_centre_15) = (bit(2), bit(3));
                let (shows_masked_in_emergencies, represented) = (bit(4), bit(5));
                all.push(Facts {
                    state,
                    authorisation,
                    blocked,
                    medecin_traitant,
                    opposes_bris_de_glace,
                    opposes_centre_15,
                    shows_masked_in_emergencies,
                    represented,
                });
            }
        }
    }
    all
}
