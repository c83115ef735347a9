//! The functional rights of the DMP as data: action × actor and purpose. Source: PDT-INF-526, PDT-INF-606 (F.1).

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::Deserialize;

use super::sheet::{EditionText, Editions, MatrixError, Sheet};
use crate::identity::caller::{Caller, Practice, Purpose, StructurePurpose};

/// Both matrices, checked: each edition has a cell for every row and every column.
#[derive(Debug)]
pub struct Rights {
    direct: Editions<Cells>,
    air: Editions<Cells>,
    doctors: Vec<String>,
    health_professions: Vec<String>,
    departures: Vec<Departure>,
}

/// What a published cell says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cell {
    No,
    Yes,
    /// Notes 6 and 8.
    Own,
    /// Note 5.
    OwnReference,
    /// Notes 2 and 9.
    OfStructure,
    /// Notes 1 and 4.
    ImputedToStructure,
    /// Note 3.
    NewAuthorisations,
    /// Note 7.
    IfPatientAllows,
}

/// Where Carnet grants less than the matrix.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Departure {
    pub row: String,
    cell: String,
    pub why: String,
}

macro_rules! names {
    ($(#[$doc:meta])* $type:ident { $($name:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $type { $($name),* }

        impl $type {
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// As the matrices have it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

names! {
    /// A row of both matrices.
    Row {
        Existence = "TD0.2 existence",
        DeclareAuthorised = "TD0.3 declare authorised",
        RemoveOwnAuthorisation = "TD0.3 remove own authorisation",
        RemoveSelfAsMt = "TD0.3 remove self as MT",
        MyDmps = "TD0.4 my DMPs",
        SearchWithoutIns = "TD0.5 search without INS",
        Web = "TD0.9 web",
        AdminData = "TD1.3a read admin data",
        ListPs = "TD1.6 list PS",
        Deposit = "TD2.1 deposit",
        DepositByCpe = "TD2.2 deposit by CPE",
        Metadata = "TD3.1 metadata",
        OwnReference = "TD3.1 own reference",
        Unmasked = "TD3.2 unmasked",
        MaskedToPs = "TD3.2 masked to PS",
        InvisibleToPatient = "TD3.2 invisible to patient / legal rep.",
        Archived = "TD3.2 archived",
        Obsolete = "TD3.2 obsolete versions",
        Deleted = "TD3.2 deleted",
        Mask = "TD3.3a mask",
        Unmask = "TD3.3a unmask",
        MakeVisible = "TD3.3b make visible to patient",
        Archive = "TD3.3d archive, unarchive *",
        Delete = "TD3.3c delete *",
    }
}

names! {
    /// A column of either matrix.
    Column {
        Pn = "Pn", Pr = "Pr", Pb = "Pb", Mn = "Mn", Mr = "Mr", Mb = "Mb", T = "T", Mtn = "MTn", Mtb = "MTb",
        Cpe = "CPE", Esn = "ESn", Esr = "ESr", Nps = "NPS",
    }
}

/// Which of the two matrices is about a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Matrix {
    /// PDT-INF-526: cards, and structures in indirect mode.
    Direct,
    /// PDT-INF-606: AIR.
    Air,
}

/// Where a caller stands in the matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Standing {
    pub matrix: Matrix,
    pub column: Column,
}

/// Whether the patient's list names the caller their médecin traitant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treating {
    MedecinTraitant,
    Other,
}

type Cells = BTreeMap<(Row, Column), Cell>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RightsFile {
    source: String,
    doctors: Vec<String>,
    health_professions: Vec<String>,
    notes: BTreeMap<String, Cell>,
    direct: Vec<EditionText>,
    air: Vec<EditionText>,
    #[serde(default)]
    departure: Vec<Departure>,
}

impl Matrix {
    pub fn columns(self) -> impl Iterator<Item = Column> {
        Column::ALL.iter().copied().filter(move |column| match self {
            Self::Direct => *column != Column::Nps,
            Self::Air => !matches!(column, Column::Cpe | Column::Esn | Column::Esr),
        })
    }

    /// TD0.9, access to the web, is TD0.10 in AIR.
    pub fn row_name(self, row: Row) -> &'static str {
        match (self, row) {
            (Self::Air, Row::Web) => "TD0.10 web",
            _ => row.name(),
        }
    }
}

impl Rights {
    /// Reads the matrices that are compiled in. Errors: what is missing, doubled or unknown in them.
    pub fn load() -> Result<Self, MatrixError> {
        Self::parse(TEXT).map_err(|problem| MatrixError { file: FILE.to_owned(), problem })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let file: RightsFile = toml::from_str(text).map_err(|error| error.to_string())?;
        if file.source.is_empty() {
            return Err("`source` must say where the matrices come from".to_owned());
        }
        for departure in &file.departure {
            if departure.cell != "-" || departure.why.is_empty() {
                return Err(format!("the departure of `{}` must take a right away (`-`), and say why", departure.row));
            }
            if !Row::ALL.iter().any(|row| row.name() == departure.row) {
                return Err(format!("a departure from row `{}`, which is in no matrix", departure.row));
            }
        }
        let notes = &file.notes;
        let read = |matrix| move |sheet: &Sheet| read_cells(matrix, sheet, notes);
        Ok(Self {
            direct: Editions::read(&file.direct, read(Matrix::Direct))?,
            air: Editions::read(&file.air, read(Matrix::Air))?,
            doctors: file.doctors,
            health_professions: file.health_professions,
            departures: file.departure,
        })
    }

    /// The cell as published, on that day.
    pub fn published(&self, row: Row, at: Standing, on: Date) -> Cell {
        let editions = match at.matrix {
            Matrix::Direct => &self.direct,
            Matrix::Air => &self.air,
        };
        editions.on(on).get(&(row, at.column)).copied().unwrap_or(Cell::No)
    }

    /// The cell that decides: as published, less our departures.
    pub fn cell(&self, row: Row, at: Standing, on: Date) -> Cell {
        if self.departure(row).is_some() { Cell::No } else { self.published(row, at, on) }
    }

    pub fn departure(&self, row: Row) -> Option<&Departure> {
        self.departures.iter().find(|departure| departure.row == row.name())
    }

    /// Where a caller stands; `None`: the portal and the operator, whom the matrices do not know.
    ///
    /// An employee who regulates stands where their structure does. So does a médecin traitant who regulates: with
    /// the other doctors, for the column does not exist.
    pub fn standing(&self, caller: &Caller, treating: Treating) -> Option<Standing> {
        let (matrix, profession, practice, purpose) = match caller {
            Caller::Direct(who, purpose, _) => (Matrix::Direct, &who.profession, who.practice, purpose),
            Caller::Air(who, purpose, _) => (Matrix::Air, &who.profession, who.practice, purpose),
            Caller::Employee(_, StructurePurpose::Normal, _) => return direct(Column::Cpe),
            Caller::Indirect(_, StructurePurpose::Normal, _) => return direct(Column::Esn),
            Caller::Employee(_, StructurePurpose::Centre15, _) | Caller::Indirect(_, StructurePurpose::Centre15, _) => {
                return direct(Column::Esr);
            }
            Caller::PatientPortal(..) | Caller::Operator => return None,
        };
        let of_health = self.health_professions.contains(&profession.system);
        let is_doctor = of_health && self.doctors.contains(&profession.code);
        let column = match (practice, treating, purpose) {
            (Practice::OccupationalMedicine, ..) => Column::T,
            (Practice::Care, ..) if matrix == Matrix::Air && !of_health => Column::Nps,
            (Practice::Care, Treating::MedecinTraitant, Purpose::Normal) => Column::Mtn,
            (Practice::Care, Treating::MedecinTraitant, Purpose::BrisDeGlace { .. }) => Column::Mtb,
            (Practice::Care, _, Purpose::Normal) if is_doctor => Column::Mn,
            (Practice::Care, _, Purpose::Centre15) if is_doctor => Column::Mr,
            (Practice::Care, _, Purpose::BrisDeGlace { .. }) if is_doctor => Column::Mb,
            (Practice::Care, _, Purpose::Normal) => Column::Pn,
            (Practice::Care, _, Purpose::Centre15) => Column::Pr,
            (Practice::Care, _, Purpose::BrisDeGlace { .. }) => Column::Pb,
        };
        Some(Standing { matrix, column })
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the arms of a match that gives Option")]
fn direct(column: Column) -> Option<Standing> {
    Some(Standing { matrix: Matrix::Direct, column })
}

fn read_cells(matrix: Matrix, sheet: &Sheet, notes: &BTreeMap<String, Cell>) -> Result<Cells, String> {
    let mut cells = Cells::new();
    for &row in Row::ALL {
        let name = matrix.row_name(row);
        let written = sheet.rows.get(name).ok_or_else(|| format!("no row `{name}`"))?;
        for column in matrix.columns() {
            let place = sheet.columns.iter().position(|known| known == column.name());
            let text =
                place.map(|place| written[place].as_str()).ok_or_else(|| format!("no column {}", column.name()))?;
            let cell = match text {
                "●" => Cell::Yes,
                "-" => Cell::No,
                note => *notes.get(note).ok_or_else(|| format!("row `{name}`, {}: no note `{note}`", column.name()))?,
            };
            cells.insert((row, column), cell);
        }
    }
    if sheet.rows.len() != Row::ALL.len() {
        let known = |name: &&String| Row::ALL.iter().any(|row| matrix.row_name(*row) == name.as_str());
        let unknown = sheet.rows.keys().find(|name| !known(name)).map_or("", String::as_str);
        return Err(format!("row `{unknown}` is of no action that is known"));
    }
    if sheet.columns.len() != matrix.columns().count() {
        return Err("a column of an actor that is not known".to_owned());
    }
    Ok(cells)
}

const FILE: &str = "profiles/functional_rights.toml";
const TEXT: &str = include_str!("../../profiles/functional_rights.toml");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_matrices_are_whole() {
        let rights = Rights::load().unwrap();
        let on = jiff::civil::date(2026, 11, 21);
        let granted = |matrix: Matrix| {
            let cells = Row::ALL.iter().flat_map(|row| matrix.columns().map(move |column| (*row, column)));
            cells
                .filter(|(row, column)| rights.published(*row, Standing { matrix, column: *column }, on) != Cell::No)
                .count()
        };
        assert_eq!((granted(Matrix::Direct), granted(Matrix::Air)), (172, 144));
    }

    #[test]
    fn a_matrix_with_a_hole_or_an_unknown_word_is_refused() {
        for (from, to, why) in [
            ("| TD2.1 deposit        ", "| TD2.1 deposits       ", "no row `TD2.1 deposit`"),
            ("| CPE | ESn | ESr |", "| CPE | ESn | ESx |", "no column ESr"),
            ("| 6  | 7  | 7  |", "| x  | 7  | 7  |", "no note `x`"),
            ("row = \"TD3.2 deleted\"", "row = \"TD9 deleted\"", "in no matrix"),
            ("cell = \"-\"", "cell = \"●\"", "must take a right away"),
            ("\"own_reference\"", "\"own_references\"", "unknown variant"),
        ] {
            assert!(TEXT.contains(from), "{from}");
            let error = Rights::parse(&TEXT.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
