//! The functional rights and the habilitation as decided, in the layout of the published matrices.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use carnet::access::decide::{Action, AuthorisationsOf, may_list_dossiers};
use carnet::access::matrices::Matrices;
use carnet::access::rights::{Cell, Column, Matrix, Row, Standing};
use carnet::domain::confidentiality::VisibilityLabel;
use carnet::domain::status::AvailabilityStatus;
use carnet::domain::value_set::{Terminology, ValueSetName};
use carnet::identity::caller::{Caller, Practice, Purpose};

use super::world::{Authorisation, Facts, ask, direct, is_mt, matrices, now, standing_in};
use super::{compare, table};

/// A class that every profession of the columns reads.
const CLASS: &str = "10";

#[test]
fn the_functional_rights_are_those_that_were_reviewed() {
    let matrices = matrices();
    let mut text = HEAD.to_owned();
    let mut departures: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for (matrix, name) in [(Matrix::Direct, "PDT-INF-526"), (Matrix::Air, "PDT-INF-606 (AIR)")] {
        let header =
            std::iter::once("Action".to_owned()).chain(matrix.columns().map(|column| column.name().to_owned()));
        let mut rows = Vec::new();
        for &row in Row::ALL {
            let mut cells = vec![matrix.row_name(row).to_owned()];
            for column in matrix.columns() {
                let at = Standing { matrix, column };
                let decided = decided(&matrices, row, at);
                let published = matrices.rights.published(row, at, today());
                if decided.is_some_and(|decided| decided != symbol(published)) {
                    let difference = (matrix, row, symbol(published), decided.unwrap_or_default());
                    departures.entry(difference).or_default().push(column.name());
                }
                cells.push(decided.unwrap_or("·").to_owned());
            }
            rows.push(cells);
        }
        write!(text, "\n## {name}\n\n{}", table(&header.collect::<Vec<_>>(), &rows)).expect("a text grows");
    }
    text += "\n## Where this is not what was published\n\n";
    for ((matrix, row, published, decided), columns) in departures {
        let why = matrices.rights.departure(row).map_or_else(|| reason(row, published), |departure| &departure.why);
        let (name, columns) = (matrix.row_name(row), columns.join(", "));
        writeln!(text, "- {matrix:?}, {name} ({columns}): {published} -> {decided}. {why}").expect("a text grows");
    }
    compare("functional_rights.md", &text);
}

#[test]
fn the_habilitation_is_the_one_that_was_reviewed() {
    let (matrices, terminology) = (matrices(), Terminology::load().unwrap());
    let mut classes: Vec<String> = terminology.members(ValueSetName::Class).map(|class| class.code).collect();
    classes.sort();
    let header: Vec<_> = ["Profession".to_owned()].into_iter().chain(classes.iter().cloned()).collect();
    let dossier = Facts { authorisation: Authorisation::ByPatient, ..Facts::NOTHING }.dossier();
    let rows = matrices.habilitation.groups().map(|(group, profession)| {
        let decided = ask(&matrices, Action::Retrieve, &direct(profession, Practice::Care, Purpose::Normal), &dossier);
        let cell = |class: &String| {
            let shown = decided.shows(false, AvailabilityStatus::Approved, None, class);
            assert!(decided.shows(true, AvailabilityStatus::Approved, None, class), "own: {group}, {class}");
            if shown { "●" } else { "-" }.to_owned()
        };
        std::iter::once(group.to_owned()).chain(classes.iter().map(cell)).collect()
    });
    let kind = if matrices.habilitation.is_sample { "SAMPLE: these cells are ours, no law's. " } else { "" };
    let text = format!(
        "# Habilitation: {}\n\n{kind}What an authorised professional reads of documents that are not theirs.\n\n{}",
        matrices.habilitation.name,
        table(&header, &rows.collect::<Vec<_>>())
    );
    compare("habilitation.md", &text);
}

/// What is decided for a row; `None`: Carnet does not serve that action.
fn decided(matrices: &Matrices, row: Row, at: Standing) -> Option<&'static str> {
    let facts = Facts { authorisation: Authorisation::ByPatient, medecin_traitant: is_mt(at.column), ..Facts::NOTHING };
    let (caller, dossier) = (standing_in(at), facts.dossier());
    let is_granted = |action| ask(matrices, action, &caller, &dossier).visibility.is_some();
    let yes = |granted: bool| Some(if granted { "●" } else { "-" });
    let shown = |action, status, label| {
        let decided = ask(matrices, action, &caller, &dossier);
        match (decided.shows(false, status, label, CLASS), decided.shows(true, status, label, CLASS)) {
            (true, _) => Some("●"),
            (false, true) => Some("o"),
            (false, false) => Some("-"),
        }
    };
    let retrieved = |status, label| shown(Action::Retrieve, status, label);
    let approved = AvailabilityStatus::Approved;
    match row {
        Row::Existence => yes(is_granted(Action::Existence)),
        Row::DeclareAuthorised => yes(is_granted(Action::DeclareAuthorisation)),
        Row::RemoveOwnAuthorisation => yes(is_granted(Action::RemoveAuthorisation)),
        Row::Deposit => yes(at.column != Column::Cpe && is_granted(Action::Deposit)),
        Row::DepositByCpe => yes(at.column == Column::Cpe && is_granted(Action::Deposit)),
        Row::Metadata => shown(Action::Consult, approved, None).map(|cell| if cell == "o" { "-" } else { cell }),
        Row::OwnReference => shown(Action::Consult, approved, None),
        Row::Unmasked => retrieved(approved, None),
        Row::MaskedToPs => match retrieved(approved, Some(VisibilityLabel::MasquePs)) {
            Some("o") if allowed_in_emergencies(matrices, &caller, facts) => Some(IF_PATIENT_ALLOWS),
            decided => decided,
        },
        Row::InvisibleToPatient => retrieved(approved, Some(VisibilityLabel::InvisiblePatient)),
        Row::Archived => retrieved(AvailabilityStatus::Archived, None),
        Row::Obsolete => retrieved(AvailabilityStatus::Deprecated, None),
        Row::Deleted => retrieved(AvailabilityStatus::Deleted, None),
        Row::RemoveSelfAsMt => yes(is_granted(Action::LeaveAsMedecinTraitant)),
        Row::ListPs => yes(is_granted(Action::ListAuthorisations)),
        Row::Mask => shown(Action::Mask, approved, None),
        Row::Unmask => shown(Action::Unmask, approved, None),
        Row::MakeVisible => shown(Action::RevealToPatient, approved, None),
        Row::MyDmps => Some(match may_list_dossiers(matrices, &caller, now()) {
            Ok(AuthorisationsOf::Professional(_)) => "●",
            Ok(AuthorisationsOf::Structure(_) | AuthorisationsOf::StructureSince(_)) => "limited",
            Err(_) => "-",
        }),
        Row::SearchWithoutIns | Row::Web | Row::AdminData | Row::Archive | Row::Delete => None,
    }
}

/// Note 7.
fn allowed_in_emergencies(matrices: &Matrices, caller: &Caller, facts: Facts) -> bool {
    let dossier = Facts { shows_masked_in_emergencies: true, ..facts }.dossier();
    let decided = ask(matrices, Action::Retrieve, caller, &dossier);
    decided.shows(false, AvailabilityStatus::Approved, Some(VisibilityLabel::MasquePs), CLASS)
}

/// A published cell in the few words of the decided table.
fn symbol(cell: Cell) -> &'static str {
    match cell {
        Cell::Yes | Cell::ImputedToStructure => "●",
        Cell::No => "-",
        Cell::Own | Cell::OwnReference => "o",
        Cell::OfStructure | Cell::NewAuthorisations => "limited",
        Cell::IfPatientAllows => IF_PATIENT_ALLOWS,
    }
}

fn reason(row: Row, published: &str) -> &'static str {
    panic!("{}, {published}: decided otherwise, and nothing says why", row.name())
}

fn today() -> jiff::civil::Date {
    now().to_zoned(jiff::tz::TimeZone::UTC).date()
}

const IF_PATIENT_ALLOWS: &str = "a";

const HEAD: &str = "# Functional rights, as decided

The caller has the patient's authorisation (given by the patient), nobody is blocked, the columns MT are named in the
list, nothing is opposed, and the profession reads the class of the document. ●: yes; -: no; o: own documents only;
a: masked documents, if the patient allowed emergencies to see them;
·: Carnet does not serve this action yet. What the list changes is in list.md.
";
