//! What the patient's list and the state of the record make of each right, with the rule that decided.

use std::fmt::Write as _;

use carnet::access::decide::{Action, RuleId};
use carnet::access::matrices::Matrices;
use carnet::access::rights::{Matrix, Standing};
use carnet::domain::code::Code;
use carnet::domain::dossier::DossierState;
use carnet::identity::caller::{Practice, Purpose};

use super::world::{Authorisation, Facts, G15, ask, closed, direct, is_mt, matrices, standing_in};
use super::{compare, name_of, table};

#[test]
fn the_rules_of_the_list_are_those_that_were_reviewed() {
    let matrices = matrices();
    let mut text = HEAD.to_owned();
    for (matrix, mode) in [(Matrix::Direct, "cards and structures"), (Matrix::Air, "AIR")] {
        let columns: Vec<_> = matrix.columns().collect();
        for action in Action::ALL.iter().copied().filter(|action| !OF_HOLDERS.contains(action)) {
            let name = name_of(action);
            let header = ["The list says".to_owned()].into_iter().chain(columns.iter().map(|c| c.name().to_owned()));
            let rows = situations().map(|(situation, facts)| {
                let cell = |&column: &_| {
                    let facts = Facts { medecin_traitant: is_mt(column), ..facts };
                    let decided = ask(&matrices, action, &standing_in(Standing { matrix, column }), &facts.dossier());
                    let sign = if decided.visibility.is_some() { "●" } else { "-" };
                    format!("{sign} {}", decided.rule.code())
                };
                std::iter::once(situation.to_owned()).chain(columns.iter().map(cell)).collect()
            });
            let table = table(&header.collect::<Vec<_>>(), &rows.collect::<Vec<_>>());
            write!(text, "\n## {name}, {mode}\n\n{table}").expect("a text grows");
        }
    }
    compare("list.md", &text);
}

#[test]
fn a_block_yields_to_emergencies_where_the_operator_says_so_and_to_nothing_else() {
    let yielding = Matrices { block_in_emergencies: false, ..matrices() };
    let blocked = Facts { blocked: true, ..Facts::NOTHING }.dossier();
    let (nurse, bris_de_glace) = (Code::new(G15, "60"), || Purpose::BrisDeGlace { reason: "inconscient".to_owned() });
    for (practice, purpose, yields) in [
        (Practice::Care, bris_de_glace(), RuleId::BrisDeGlace),
        (Practice::Care, Purpose::Centre15, RuleId::Centre15),
        (Practice::Care, Purpose::Normal, RuleId::Blocked),
        (Practice::OccupationalMedicine, bris_de_glace(), RuleId::Blocked),
    ] {
        let caller = direct(nurse.clone(), practice, purpose);
        assert_eq!(ask(&matrices(), Action::Consult, &caller, &blocked).rule, RuleId::Blocked);
        assert_eq!(ask(&yielding, Action::Consult, &caller, &blocked).rule, yields);
    }
}

fn situations() -> impl Iterator<Item = (&'static str, Facts)> {
    let authorised = |authorisation| Facts { authorisation, ..Facts::NOTHING };
    let by_patient = authorised(Authorisation::ByPatient);
    [
        ("nothing", Facts::NOTHING),
        ("nothing; not activated", Facts { state: DossierState::OpenNotActivated, ..Facts::NOTHING }),
        ("authorised, as they declared", authorised(Authorisation::Declared)),
        ("authorised by the patient", by_patient),
        ("authorised until a moment ago", authorised(Authorisation::Ended)),
        ("their structure authorised", authorised(Authorisation::OfStructure)),
        ("blocked", Facts { blocked: true, ..Facts::NOTHING }),
        ("blocked, and authorised", Facts { blocked: true, ..by_patient }),
        ("bris de glace opposed", Facts { opposes_bris_de_glace: true, ..Facts::NOTHING }),
        ("centre 15 opposed", Facts { opposes_centre_15: true, ..Facts::NOTHING }),
        ("both opposed, and authorised", Facts { opposes_bris_de_glace: true, opposes_centre_15: true, ..by_patient }),
        ("closed, and authorised", Facts { state: closed(), ..by_patient }),
    ]
    .into_iter()
}

/// Acts of the patient alone: `holder.md` has them.
const OF_HOLDERS: [Action; 3] = [Action::SetList, Action::NameRepresentative, Action::NameAidant];

const HEAD: &str = "# The patient's list, as decided

●: permitted, -: denied; then the rule that decided, as the journal has it. The columns MT are named in the list in
every line. \"F.1-5\" and \"F.1-T own documents\" let their holder find what is their own, nothing else.
";
