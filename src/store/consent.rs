//! Statements on the patient's list.

use jiff::Timestamp;

use super::dossier::instant;
use super::error::Error;
use super::executor::{Row, Tx};
use crate::domain::consent::{Consent, ConsentKind, DeclaredBy, Grantee};
use crate::domain::ids::DossierId;

/// Writes a line, or rewrites the line of the same id. The caller holds the permit for it.
pub async fn upsert(tx: &mut Tx<'_>, dossier: DossierId, consent: &Consent) -> Result<(), Error> {
    let (grantee_kind, grantee) = grantee_of(&consent.kind);
    let (declared_by_kind, declared_by) = match &consent.declared_by {
        DeclaredBy::Patient => ("patient", ""),
        DeclaredBy::Professional(ps) => ("ps", ps.as_str()),
    };
    let params = vec![
        consent.id.to_string().into(),
        dossier.to_string().into(),
        consent.kind.word().into(),
        grantee_kind.into(),
        grantee.into(),
        declared_by_kind.into(),
        declared_by.into(),
        consent.since.into(),
        consent.until.into(),
    ];
    tx.execute(UPSERT, params).await.map(drop)
}

fn grantee_of(kind: &ConsentKind) -> (&'static str, &str) {
    match kind {
        ConsentKind::Authorisation(Grantee::Professional(ps))
        | ConsentKind::Block(ps)
        | ConsentKind::MedecinTraitant(ps) => ("ps", ps.as_str()),
        ConsentKind::Authorisation(Grantee::Structure(structure)) => ("struct", structure.as_str()),
        ConsentKind::OppositionBrisDeGlace | ConsentKind::OppositionCentre15 => ("none", ""),
    }
}

/// Reads a line as `dossier` selects it, its id in the second column.
pub(super) fn read(row: &Row) -> Result<Consent, Error> {
    let bad = |problem: &str| Error::inconsistent("consent", problem);
    let (kind, grantee_kind, grantee) = (row.text(2)?, row.text(3)?, row.text(4)?);
    let ps = || grantee.parse().map_err(|error| Error::inconsistent("consent", error));
    let kind = match (kind.as_str(), grantee_kind.as_str()) {
        ("authorisation", "ps") => ConsentKind::Authorisation(Grantee::Professional(ps()?)),
        ("authorisation", "struct") => {
            let structure = grantee.parse().map_err(|error| Error::inconsistent("consent", error))?;
            ConsentKind::Authorisation(Grantee::Structure(structure))
        }
        ("block", _) => ConsentKind::Block(ps()?),
        ("medecin_traitant", _) => ConsentKind::MedecinTraitant(ps()?),
        ("opposition_bris_de_glace", _) => ConsentKind::OppositionBrisDeGlace,
        ("opposition_centre_15", _) => ConsentKind::OppositionCentre15,
        _ => return Err(bad("kind")),
    };
    let declared_by = match row.text(5)?.as_str() {
        "patient" => DeclaredBy::Patient,
        "ps" => DeclaredBy::Professional(row.text(6)?.parse().map_err(|error| Error::inconsistent("consent", error))?),
        _ => return Err(bad("declared_by_kind")),
    };
    let until: Option<Timestamp> = row.integer_or_null(8)?.map(|us| instant("consent", us)).transpose()?;
    let id = row.text(1)?.parse().map_err(|error| Error::inconsistent("consent", error))?;
    Ok(Consent { id, kind, since: instant("consent", row.integer(7)?)?, until, declared_by })
}

const UPSERT: &str = "-- store::consent::upsert
INSERT INTO consent (consent_id, dossier_id, kind, grantee_kind, grantee, declared_by_kind, declared_by, since_us, until_us)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (consent_id) DO UPDATE SET
  kind = excluded.kind, grantee_kind = excluded.grantee_kind, grantee = excluded.grantee,
  since_us = excluded.since_us, until_us = excluded.until_us";
