//! Who plays in the demo. Fictitious persons and structures, all of them.

use crate::domain::national_id::NationalIdError;
use crate::tls::development_pki::Holder;

/// One caller with a certificate of their own.
pub(super) struct Member {
    /// Name of the certificate files, and key in `demo.json`.
    pub(super) name: &'static str,
    pub(super) role: &'static str,
    pub(super) id: &'static str,
    part: Part,
}

enum Part {
    Professional { family: &'static str, given: &'static str, profession: u8, speciality: Option<&'static str> },
    Structure { name: &'static str, application: &'static str },
}

pub(super) const CAST: [Member; 8] = [
    structure("hospital", "hospital, deposits in indirect mode", "1350000899", "CHU DU VAL FICTIF", "DPI VAL"),
    structure("laboratory", "laboratory, deposits in indirect mode", "1350001111", "LABORATOIRE DES TROIS RIVIERES", "SGL RIVIERES"),
    structure("radiology", "radiology system, deposits in indirect mode", "1350002222", "IMAGERIE DU PARC", "RIS PARC"),
    structure("portal", "patient portal: carries the patient's own acts", "2990000045", "PORTAIL PATIENT DEMO", "PORTAIL"),
    structure("insurer", "insurer: no right of access exists for it", "2990000052", "MUTUELLE EXEMPLE", "EXTRANET"),
    professional("martin", "médecin traitant", "810000000011", "MARTIN", "Claire", 10, Some("SM54")),
    professional("bernard", "cardiologist, blocked by the patient", "810000000029", "BERNARD", "Paul", 10, Some("SM04")),
    professional("petit", "nurse, authorised by the patient", "810000000037", "PETIT", "Julie", 60, None),
];

const fn structure(
    name: &'static str,
    role: &'static str,
    id: &'static str,
    legal_name: &'static str,
    application: &'static str,
) -> Member {
    Member { name, role, id, part: Part::Structure { name: legal_name, application } }
}

const fn professional(
    name: &'static str,
    role: &'static str,
    id: &'static str,
    family: &'static str,
    given: &'static str,
    profession: u8,
    speciality: Option<&'static str>,
) -> Member {
    Member { name, role, id, part: Part::Professional { family, given, profession, speciality } }
}

impl Member {
    pub(super) fn is_professional(&self) -> bool {
        matches!(self.part, Part::Professional { .. })
    }

    /// How the development PKI names them.
    pub(super) fn holder(&self) -> Result<Holder, NationalIdError> {
        Ok(match &self.part {
            Part::Professional { family, given, profession, speciality } => Holder::Professional {
                ps_id: self.id.parse()?,
                family: (*family).to_owned(),
                given: (*given).to_owned(),
                profession: *profession,
                savoir_faire: speciality.iter().map(|code| (*code).to_owned()).collect(),
            },
            Part::Structure { name, application } => Holder::Organisation {
                struct_id: self.id.parse()?,
                name: (*name).to_owned(),
                application: (*application).to_owned(),
            },
        })
    }
}
