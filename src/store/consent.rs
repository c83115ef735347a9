//! Statements on the patient's list.

use std::fmt::Display;
use std::str::FromStr;

use jiff::Timestamp;

use super::dossier::instant;
use super::error::Error;
use super::executor::{Row, Tx};
use crate::domain::consent::{Consent, ConsentKind, DeclaredBy, Delegate, DelegateRole, Grantee};
use crate::domain::ids::DossierId;
use crate::domain::national_id::StructIdNat;

/// Writes a line, or rewrites the line of the same id. The caller holds the permit for it.
pub async fn upsert(tx: &mut Tx<'_>, dossier: DossierId, consent: &Consent) -> Result<(), Error> {
    let (declared_by_kind, declared_by, declared_at) = match &consent.declared_by {
        DeclaredBy::Patient => ("patient", "", None),
        DeclaredBy::Professional { id, structure } => ("ps", id.as_str(), structure.as_ref().map(StructIdNat::as_str)),
    };
    let params = vec![
        consent.id.to_string().into(),
        dossier.to_string().into(),
        consent.kind.word().into(),
        grantee_kind(&consent.kind).into(),
        consent.kind.party().into(),
        declared_by_kind.into(),
        declared_by.into(),
        declared_at.into(),
        consent.since.into(),
        consent.until.into(),
        u32::from(consent.is_secret).into(),
    ];
    tx.execute(UPSERT, params).await.map(drop)
}

/// Forgets all but the last ended lines of a kind about one party: each request loads the list, and whoever declares and
/// ends without end must not make it long. The journal has them all.
pub async fn forget_ended(
    tx: &mut Tx<'_>,
    dossier: DossierId,
    kind: &ConsentKind,
    now: Timestamp,
) -> Result<(), Error> {
    let of = vec![dossier.to_string().into(), kind.word().into(), kind.party().into(), now.into(), ENDED_KEPT.into()];
    tx.execute(FORGET_ENDED, of).await.map(drop)
}

fn grantee_kind(kind: &ConsentKind) -> &'static str {
    match kind {
        ConsentKind::Authorisation(Grantee::Professional(_))
        | ConsentKind::Block(_)
        | ConsentKind::MedecinTraitant(_) => "ps",
        ConsentKind::Authorisation(Grantee::Structure(_)) => "struct",
        ConsentKind::Delegation(_) => "delegate",
        ConsentKind::OppositionBrisDeGlace
        | ConsentKind::OppositionCentre15
        | ConsentKind::MaskedInEmergencies
        | ConsentKind::MaskByDefault => "none",
    }
}

/// Reads a line as `dossier` selects it, its id in the second column.
pub(super) fn read(row: &Row) -> Result<Consent, Error> {
    let bad = |problem: &str| Error::inconsistent("consent", problem);
    let (kind, grantee_kind, grantee) = (row.text(2)?, row.text(3)?, row.text(4)?);
    let kind = match (kind.as_str(), grantee_kind.as_str()) {
        ("authorisation", "ps") => ConsentKind::Authorisation(Grantee::Professional(parse(&grantee)?)),
        ("authorisation", "struct") => ConsentKind::Authorisation(Grantee::Structure(parse(&grantee)?)),
        ("block", _) => ConsentKind::Block(parse(&grantee)?),
        ("medecin_traitant", _) => ConsentKind::MedecinTraitant(parse(&grantee)?),
        ("opposition_bris_de_glace", _) => ConsentKind::OppositionBrisDeGlace,
        ("opposition_centre_15", _) => ConsentKind::OppositionCentre15,
        ("masked_in_emergencies", _) => ConsentKind::MaskedInEmergencies,
        ("mask_by_default", _) => ConsentKind::MaskByDefault,
        (word, "delegate") => {
            let role = DelegateRole::from_word(word).ok_or_else(|| bad("kind"))?;
            ConsentKind::Delegation(Delegate { role, id: parse(&grantee)? })
        }
        _ => return Err(bad("kind")),
    };
    let declared_by = match row.text(5)?.as_str() {
        "patient" => DeclaredBy::Patient,
        "ps" => DeclaredBy::Professional {
            id: parse(&row.text(6)?)?,
            structure: row.text_or_null(10)?.map(|structure| parse(&structure)).transpose()?,
        },
        _ => return Err(bad("declared_by_kind")),
    };
    let until: Option<Timestamp> = row.integer_or_null(8)?.map(|us| instant("consent", us)).transpose()?;
    let is_secret = row.integer(11)? != 0;
    let since = instant("consent", row.integer(7)?)?;
    Ok(Consent { id: parse(&row.text(1)?)?, kind, since, until, declared_by, is_secret })
}

fn parse<T: FromStr<Err: Display>>(text: &str) -> Result<T, Error> {
    text.parse().map_err(|error| Error::inconsistent("consent", error))
}

const UPSERT: &str = "-- store::consent::upsert
INSERT INTO consent
  (consent_id, dossier_id, kind, grantee_kind, grantee, declared_by_kind, declared_by, declared_at, since_us, until_us,
   is_secret)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (consent_id) DO UPDATE SET
  kind = excluded.kind, grantee_kind = excluded.grantee_kind, grantee = excluded.grantee,
  declared_by_kind = excluded.declared_by_kind, declared_by = excluded.declared_by, declared_at = excluded.declared_at,
  since_us = excluded.since_us, until_us = excluded.until_us, is_secret = excluded.is_secret";

const FORGET_ENDED: &str = "-- store::consent::forget_ended
DELETE FROM consent WHERE dossier_id = $1 AND kind = $2 AND grantee = $3 AND until_us <= $4 AND consent_id NOT IN
  (SELECT c.consent_id FROM consent c WHERE c.dossier_id = $1 AND c.kind = $2 AND c.grantee = $3 AND c.until_us <= $4
   ORDER BY c.until_us DESC, c.consent_id LIMIT $5)";

/// Ended lines of one kind about one party that a list goes on showing.
const ENDED_KEPT: u32 = 20;
