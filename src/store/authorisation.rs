//! The records that somebody was let into: what TD0.4 lists. Opens none of them.

use std::collections::HashMap;

use jiff::Timestamp;

use super::composer::Composer;
use super::dossier::{instant, read_state};
use super::error::Error;
use super::executor::{Param, Row, Tx};
use crate::access::decide::AuthorisationsOf;
use crate::domain::criteria::Page;
use crate::domain::dossier::DossierState;
use crate::domain::ids::DossierId;
use crate::domain::ins::Ins;

/// A record with the lines of its list that let somebody in, taken together.
#[derive(Debug, Clone)]
pub struct Authorised {
    pub dossier: DossierId,
    pub state: DossierState,
    /// The latest of the lines.
    pub since: Timestamp,
    pub is_medecin_traitant: bool,
    /// The current one first.
    pub ins: Vec<Ins>,
}

/// Open records with a line in force at `now` that began at `since` or later, the latest first; how many, and a page.
pub async fn list(
    tx: &mut Tx<'_>,
    of: &AuthorisationsOf,
    since: Timestamp,
    now: Timestamp,
    page: Page,
) -> Result<(u64, Vec<Authorised>), Error> {
    let mut count = Composer::new("-- store::authorisation::count\nSELECT COUNT(*) FROM (SELECT d.dossier_id");
    push_matching(&mut count, of, since, now);
    count.push(") AS matching");
    let rows = count.fetch_all(tx).await?;
    let total = rows.first().map_or(Ok(0), |row| row.integer(0))?;
    let total = u64::try_from(total).map_err(|error| Error::inconsistent("consent", error))?;
    if total <= page.offset || page.size == 0 {
        return Ok((total, Vec::new()));
    }
    let mut list = Composer::new("-- store::authorisation::list\nSELECT d.dossier_id, d.state, d.closed_us, ");
    list.push("MAX(c.since_us) AS latest_us, MAX(CASE WHEN c.kind = 'medecin_traitant' THEN 1 ELSE 0 END)");
    push_matching(&mut list, of, since, now);
    list.push(" ORDER BY latest_us DESC, d.dossier_id LIMIT ");
    list.push_param(page.size.into());
    list.push(" OFFSET ");
    list.push_param(Param::Integer(i64::try_from(page.offset).unwrap_or(i64::MAX)));
    let rows = list.fetch_all(tx).await?;
    let mut names = names_of(tx, &rows).await?;
    Ok((total, rows.iter().map(|row| read(row, &mut names)).collect::<Result<_, _>>()?))
}

/// The records, one a group.
fn push_matching(list: &mut Composer, of: &AuthorisationsOf, since: Timestamp, now: Timestamp) {
    list.push("\nFROM consent c JOIN dossier d ON d.dossier_id = c.dossier_id WHERE ");
    push_lines_of(list, of);
    list.push(" AND d.state <> 'closed' AND c.since_us <= ");
    list.push_param(now.into());
    list.push(" AND (c.until_us IS NULL OR c.until_us > ");
    list.push_param(now.into());
    list.push(")");
    push_not_blocked(list, of, now);
    list.push(" GROUP BY d.dossier_id, d.state, d.closed_us HAVING MAX(c.since_us) >= ");
    list.push_param(since.into());
}

fn push_lines_of(list: &mut Composer, of: &AuthorisationsOf) {
    match of {
        AuthorisationsOf::Professional(id) => {
            list.push("c.grantee_kind = 'ps' AND c.kind IN ('authorisation', 'medecin_traitant') AND c.grantee = ");
            list.push_param(id.as_str().into());
        }
        AuthorisationsOf::Structure(id) | AuthorisationsOf::StructureSince(id) => {
            list.push("c.kind = 'authorisation' AND ((c.grantee_kind = 'struct' AND c.grantee = ");
            list.push_param(id.as_str().into());
            list.push(") OR c.declared_at = ");
            list.push_param(id.as_str().into());
            list.push(")");
        }
    }
}

/// A block outdoes every other line.
fn push_not_blocked(list: &mut Composer, of: &AuthorisationsOf, now: Timestamp) {
    if let AuthorisationsOf::Professional(id) = of {
        list.push(" AND NOT EXISTS (SELECT 1 FROM consent b WHERE b.dossier_id = c.dossier_id AND b.kind = 'block'");
        list.push(" AND b.grantee = ");
        list.push_param(id.as_str().into());
        list.push(" AND b.since_us <= ");
        list.push_param(now.into());
        list.push(" AND (b.until_us IS NULL OR b.until_us > ");
        list.push_param(now.into());
        list.push("))");
    }
}

/// Every INS of the records of these rows.
async fn names_of(tx: &mut Tx<'_>, rows: &[Row]) -> Result<HashMap<String, Vec<Ins>>, Error> {
    let mut names: HashMap<String, Vec<Ins>> = HashMap::new();
    let ids = rows.iter().map(|row| row.text(0)).collect::<Result<Vec<_>, _>>()?;
    let mut list = Composer::new(LIST_INS);
    list.push_list(ids.into_iter().map(Param::from));
    list.push(") ORDER BY dossier_id, position");
    for row in list.fetch_all(tx).await? {
        let ins = Ins::parse(&row.text(2)?, &row.text(1)?);
        let ins = ins.map_err(|error| Error::inconsistent("dossier_ins", error))?;
        names.entry(row.text(0)?).or_default().push(ins);
    }
    Ok(names)
}

fn read(row: &Row, names: &mut HashMap<String, Vec<Ins>>) -> Result<Authorised, Error> {
    let dossier = row.text(0)?;
    Ok(Authorised {
        dossier: dossier.parse().map_err(|error| Error::inconsistent("dossier", error))?,
        state: read_state(&row.text(1)?, row.integer_or_null(2)?)?,
        since: instant("consent", row.integer(3)?)?,
        is_medecin_traitant: row.integer(4)? == 1,
        ins: names.remove(&dossier).unwrap_or_default(),
    })
}

const LIST_INS: &str = "-- store::authorisation::list_ins
SELECT dossier_id, authority, matricule FROM dossier_ins WHERE dossier_id IN (";
