//! The authorities of the development PKI: their names, their files, who issues whom.

use rcgen::{DistinguishedName, DnType, DnValue};
use serde::{Deserialize, Serialize};

use super::DEVELOPMENT_MARK;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Authority {
    Racine,
    Personnes,
    Organisations,
    /// Apart: no client certificate hangs under it, and no client trusts the others for servers.
    Serveurs,
}

impl Authority {
    /// Issuers before those they issue.
    pub(super) const ALL: [Self; 4] = [Self::Racine, Self::Personnes, Self::Organisations, Self::Serveurs];

    pub(super) fn common_name(self) -> &'static str {
        match self {
            Self::Racine => "TEST AC RACINE CARNET DEVELOPMENT",
            Self::Personnes => "TEST AC CARNET DEVELOPMENT PERSONNES",
            Self::Organisations => "TEST AC CARNET DEVELOPMENT ORGANISATIONS",
            Self::Serveurs => "TEST AC CARNET DEVELOPMENT SERVEURS",
        }
    }

    fn file_stem(self) -> &'static str {
        match self {
            Self::Racine => "racine",
            Self::Personnes => "personnes",
            Self::Organisations => "organisations",
            Self::Serveurs => "serveurs",
        }
    }

    pub(super) fn certificate_file(self) -> String {
        format!("ca/{}.pem", self.file_stem())
    }

    pub(super) fn key_file(self) -> String {
        format!("ca/{}.key", self.file_stem())
    }

    /// Clients do not look for a CRL of the server's authority.
    pub(super) fn crl_file(self) -> Option<String> {
        (self != Self::Serveurs).then(|| format!("crl/{}.pem", self.file_stem()))
    }

    pub(super) fn name(self) -> DistinguishedName {
        let mut name = DistinguishedName::new();
        if let Ok(country) = "FR".try_into() {
            name.push(DnType::CountryName, DnValue::PrintableString(country));
        }
        name.push(DnType::OrganizationName, "CARNET");
        name.push(DnType::OrganizationalUnitName, DEVELOPMENT_MARK);
        name.push(DnType::CommonName, self.common_name());
        name
    }
}
