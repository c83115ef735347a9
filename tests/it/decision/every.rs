//! Every combination of the finite domain: none falls through, and what must hold of all holds of each.

use std::collections::{BTreeMap, BTreeSet};

use carnet::access::decide::{Action, RuleId};
use carnet::access::visibility::{EntryFacts, Others, Readable, Shown, Visibility};
use carnet::domain::confidentiality::VisibilityLabel;
use carnet::domain::dossier::DossierState;
use carnet::domain::status::AvailabilityStatus;
use carnet::domain::value_set::{Terminology, ValueSetName};
use carnet::identity::caller::{Caller, CallerId, Practice, Purpose};

use super::super::support::gateway::patient;
use super::world::{ACTIONS, Authorisation, Decided, Facts, ask, closed, every_caller, matrices};
use super::{compare, table};

#[test]
fn every_combination_is_decided_by_a_rule_and_by_the_one_that_was_reviewed() {
    let matrices = matrices();
    let callers = every_caller(&matrices);
    let mut counts: BTreeMap<(String, &str, &str), u32> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let facts = every_facts();
    for facts in &facts {
        let dossier = facts.dossier();
        for caller in &callers {
            let decided = ACTIONS.map(|action| (action, ask(&matrices, action, caller, &dossier)));
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
    assert_eq!(total, facts.len() * callers.len() * ACTIONS.len());
    for others in seen {
        check_entries(others);
    }
    let rows = counts
        .into_iter()
        .map(|((action, sign, rule), count)| vec![action, sign.to_owned(), rule.to_owned(), count.to_string()]);
    let header = ["Action", "Decided", "Rule", "Combinations"].map(str::to_owned).to_vec();
    let head = format!(
        "# Every combination\n\n{} callers × {} states of the record and its list × {} actions: {total}, each counted once.\n\n",
        callers.len(),
        facts.len(),
        ACTIONS.len()
    );
    compare("every.md", &(head + &table(&header, &rows.collect::<Vec<_>>())));
}

/// What must hold of one decision, said again in other words than the code's.
fn check(action: Action, caller: &Caller, facts: &Facts, decided: &Decided) {
    let permitted = decided.visibility.is_some();
    let place = || format!("{action:?} {:?} of {caller:?}, {facts:?}", decided.rule);
    let is_closed = matches!(facts.state, DossierState::Closed { .. });
    let about = caller.token().and_then(|token| token.statement.patient.clone());
    let is_holder = matches!(caller, Caller::PatientPortal(_) | Caller::Operator);
    let stays = action == Action::Existence || (action == Action::ReadJournal && is_holder);
    if about.is_some_and(|about| about != patient()) || (is_closed && !stays) {
        return assert!(!permitted, "{}", place());
    }
    let practice = match caller {
        Caller::Direct(who, ..) => Some(who.practice),
        Caller::Air(who, ..) => Some(who.practice),
        _ => None,
    };
    match action {
        Action::Existence => assert!(permitted, "{}", place()),
        Action::Deposit => {
            let may_not = matches!(caller, Caller::Air(..) | Caller::PatientPortal(_));
            assert_eq!(permitted, !may_not, "{}", place());
        }
        Action::SetList => {
            assert_eq!(permitted, matches!(caller, Caller::PatientPortal(_) | Caller::Operator), "{}", place());
        }
        Action::ReadJournal => {
            let treats = facts.medecin_traitant && !facts.blocked && *caller.purpose() == Purpose::Normal;
            let reads_all = is_holder || (treats && practice == Some(Practice::Care));
            assert!(permitted && (reads_all || decided.rule == RuleId::OwnTraces), "{}", place());
        }
        Action::Retrieve if practice != Some(Practice::Care) => assert!(!permitted, "{}", place()),
        Action::Consult | Action::Retrieve | Action::DeclareAuthorisation | Action::RemoveAuthorisation
            if practice.is_some() && facts.blocked =>
        {
            assert!(!permitted, "{}", place());
        }
        Action::Consult | Action::Retrieve if shows_others(decided) => {
            assert!(practice.is_some() && is_entitled(caller, facts), "{}", place());
        }
        Action::DeclareAuthorisation | Action::RemoveAuthorisation if permitted => {
            assert!(*caller.purpose() == Purpose::Normal && practice != Some(Practice::OccupationalMedicine));
        }
        Action::Consult | Action::Retrieve | Action::DeclareAuthorisation | Action::RemoveAuthorisation => {}
    }
    if let Some(Visibility { others: Others::Shown(shown), .. }) = &decided.visibility {
        let treats = [RuleId::MedecinTraitant, RuleId::PatientsOwnAct].contains(&decided.rule);
        assert_eq!(!shown.hidden_by.contains(&VisibilityLabel::MasquePs), treats, "{}", place());
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
    let visibility = Visibility { holder: CallerId::Operator, others };
    for status in AvailabilityStatus::ALL {
        for place in 0..1 << VisibilityLabel::ALL.len() {
            let bears = |bit: &usize| place & (1 << bit) != 0;
            let labels = (0..VisibilityLabel::ALL.len()).filter(bears).map(|bit| VisibilityLabel::ALL[bit]).collect();
            for class_code in &classes {
                let shows = |own| visibility.shows(&EntryFacts { own, status, labels: &labels, class_code });
                assert_eq!(shows(true), status != AvailabilityStatus::Deleted);
                let hidden = match &visibility.others {
                    Others::Nothing => true,
                    Others::Shown(Shown { statuses, hidden_by, readable }) => {
                        let unreadable = matches!(readable, Readable::Classes(given) if !given.contains(class_code));
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
            for bits in 0..16_u8 {
                let bit = |place: u8| bits & (1 << place) != 0;
                let (blocked, medecin_traitant) = (bit(0), bit(1));
                let (opposes_bris_de_glace, opposes_centre_15) = (bit(2), bit(3));
                all.push(Facts {
                    state,
                    authorisation,
                    blocked,
                    medecin_traitant,
                    opposes_bris_de_glace,
                    opposes_centre_15,
                });
            }
        }
    }
    all
}
