//! Existence of a record, and a record that one was let into -> Patient (TD0.2, TD0.4).
//!
//! No identity trait ever: a caller must not show those that come from the DMP (RG_0320), so none leaves.
//! The extensions bear the names of the guide; their definitions are not published yet, so their URLs are
//! ours until they are. Source: domain E.3, "TD0.2 output".

use serde::Serialize;

use super::datatype::{Extension, Identifier, Value, ins_identifier};
use crate::domain::dossier::DossierState;
use crate::domain::ins::Ins;
use crate::operation::outcome::{AuthorisationStatus, AuthorisedDossier, Existence};

const FERMETURE: &str = "urn:carnet:extension:dmp-fermeture";
const RATTACHEMENT_MES: &str = "urn:carnet:extension:dmp-rattachement-mes";
const MEDECIN_TRAITANT: &str = "urn:carnet:extension:dmp-medecin-traitant";
const AUTORISATION: &str = "urn:carnet:extension:dmp-autorisation";
const DATE_AUTORISATION: &str = "urn:carnet:extension:dmp-date-autorisation";

#[derive(Debug, Serialize)]
#[serde(tag = "resourceType")]
pub struct Patient<'a> {
    extension: Vec<Extension<'a>>,
    identifier: Vec<Identifier<'a>>,
    active: bool,
}

pub fn write(existence: &Existence) -> Patient<'_> {
    let activated = Extension::of(RATTACHEMENT_MES, Value::Boolean(existence.state == DossierState::Activated));
    let mut extension = vec![
        activated,
        Extension::of(MEDECIN_TRAITANT, Value::Boolean(existence.is_medecin_traitant)),
        Extension::of(AUTORISATION, Value::Code(authorisation_code(existence.authorisation))),
    ];
    if let DossierState::Closed { at } = existence.state {
        let date = Extension::of("dateFermeture", Value::DateTime(at.to_string()));
        extension.push(Extension::nested(FERMETURE, vec![date]));
    }
    let identifier = identifiers(&existence.ins);
    Patient { extension, identifier, active: !matches!(existence.state, DossierState::Closed { .. }) }
}

/// One of the records of TD0.4.
pub fn write_authorised(dossier: &AuthorisedDossier) -> Patient<'_> {
    let extension = vec![
        Extension::of(RATTACHEMENT_MES, Value::Boolean(dossier.state == DossierState::Activated)),
        Extension::of(MEDECIN_TRAITANT, Value::Boolean(dossier.is_medecin_traitant)),
        Extension::of(AUTORISATION, Value::Code(authorisation_code(AuthorisationStatus::Valid))),
        Extension::of(DATE_AUTORISATION, Value::DateTime(dossier.authorised_since.to_string())),
    ];
    Patient { extension, identifier: identifiers(&dossier.ins), active: true }
}

/// The current one first, the others as what they were.
fn identifiers(ins: &[Ins]) -> Vec<Identifier<'_>> {
    let mut identifiers: Vec<_> = ins.iter().map(ins_identifier).collect();
    for historical in identifiers.iter_mut().skip(1) {
        historical.usage = Some("old");
    }
    identifiers
}

fn authorisation_code(status: AuthorisationStatus) -> &'static str {
    match status {
        AuthorisationStatus::Valid => "VALIDE",
        AuthorisationStatus::None => "AUCUNE",
        AuthorisationStatus::NotApplicable => "SANS_OBJET",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::resource::sample;
    use jiff::Timestamp;

    fn json(state: DossierState) -> serde_json::Value {
        let existence = Existence {
            ins: vec![sample::ins()],
            state,
            authorisation: AuthorisationStatus::Valid,
            is_medecin_traitant: true,
        };
        let text = serde_json::to_string(&write(&existence)).unwrap();
        fhirkit::from_json_strict::<fhirkit::r4::Patient>(&text).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn no_identity_trait_leaves() {
        let json = json(DossierState::Activated);
        for name in ["name", "gender", "birthDate", "address", "telecom"] {
            assert!(json[name].is_null(), "{name}");
        }
        assert_eq!(json["active"], true);
    }

    #[test]
    fn a_closed_record_says_since_when() {
        let json = json(DossierState::Closed { at: Timestamp::UNIX_EPOCH });
        assert_eq!(json["active"], false);
        let closed = json["extension"].as_array().unwrap().iter().find(|one| one["url"] == FERMETURE).unwrap();
        assert_eq!(closed["extension"][0]["valueDateTime"], "1970-01-01T00:00:00Z");
    }
}
