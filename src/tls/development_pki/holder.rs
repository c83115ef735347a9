//! Holders of the development PKI's certificates: the layouts of their subjects, their extensions, their keys' uses.
//! Source: B.1.

use jiff::{Timestamp, tz::TimeZone};
use rcgen::{CustomExtension, ExtendedKeyUsagePurpose, KeyUsagePurpose};
use serde::{Deserialize, Serialize};

use super::{DAY_S, Lifetime, moved, subject};
use crate::domain::national_id::{PsIdNat, StructIdNat};

/// Whom a certificate is for.
#[derive(Debug, Clone)]
pub enum Holder {
    Professional {
        ps_id: PsIdNat,
        family: String,
        given: String,
        /// TRE_G15: 10 médecin, 21 pharmacien, 60 infirmier...
        profession: u8,
        /// SM26...
        savoir_faire: Vec<String>,
    },
    /// CPE without a name.
    Employee {
        /// `3310000017/42`: type digit and number of the structure, an id within it.
        id: PsIdNat,
        organisation: String,
    },
    Organisation {
        struct_id: StructIdNat,
        name: String,
        application: String,
    },
}

/// Which card of a professional; other holders have one kind only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CardKind {
    /// IGC-Santé, a test card.
    Test,
    /// IGC-Santé, marked as real: only a development root tells that it is not.
    Real,
    /// IGC-CPS: GN, SN and CN each alone, the profession in OU. A test card.
    OldTest,
}

/// What the key may do: the two are never interchangeable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyUse {
    Auth,
    Sign,
}

impl KeyUse {
    pub(super) fn usages(self) -> (Vec<KeyUsagePurpose>, Vec<ExtendedKeyUsagePurpose>) {
        match self {
            Self::Auth => (
                vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment],
                vec![ExtendedKeyUsagePurpose::ClientAuth],
            ),
            Self::Sign => (
                vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::ContentCommitment],
                vec![ExtendedKeyUsagePurpose::EmailProtection],
            ),
        }
    }
}

impl Holder {
    pub(super) fn id(&self) -> String {
        match self {
            Self::Professional { ps_id: id, .. } | Self::Employee { id, .. } => id.to_string(),
            Self::Organisation { struct_id, .. } => struct_id.to_string(),
        }
    }

    pub(super) fn subject(&self, card: CardKind) -> Vec<u8> {
        use subject::{COMMON_NAME, COUNTRY, GIVEN_NAME, ORGANISATION, ORGANISATIONAL_UNIT, STATE, SURNAME, TITLE};
        match self {
            Self::Professional { ps_id, family, given, profession, .. } if card == CardKind::OldTest => {
                let mut name = vec![vec![(COUNTRY, "FR")], vec![(ORGANISATION, "GIP-CPS")]];
                name.extend(title(*profession).map(|title| vec![(ORGANISATIONAL_UNIT, title)]));
                name.extend(
                    [(COMMON_NAME, ps_id.as_str()), (SURNAME, family), (GIVEN_NAME, given)].map(|one| vec![one]),
                );
                subject::encode(&name)
            }
            Self::Professional { ps_id, family, given, profession, .. } => {
                let mut name = vec![vec![(COUNTRY, "FR")]];
                name.extend(title(*profession).map(|title| vec![(TITLE, title)]));
                name.push(vec![(COMMON_NAME, ps_id.as_str()), (SURNAME, family), (GIVEN_NAME, given)]);
                subject::encode(&name)
            }
            Self::Employee { id, organisation } => subject::encode(&[
                vec![(COUNTRY, "FR")],
                vec![(ORGANISATION, organisation)],
                vec![(COMMON_NAME, id.as_str())],
            ]),
            Self::Organisation { struct_id, name, application } => subject::encode(&[
                vec![(COUNTRY, "FR")],
                vec![(STATE, "Paris (75)")],
                vec![(ORGANISATION, name)],
                vec![(ORGANISATIONAL_UNIT, struct_id.as_str())],
                vec![(COMMON_NAME, application)],
            ]),
        }
    }

    /// The card's own extensions; structures have none.
    pub(super) fn extensions(&self, card: CardKind) -> Vec<CustomExtension> {
        let of_card =
            |arc: u64, content: Vec<u8>| CustomExtension::from_oid_content(&[1, 2, 250, 1, 71, 1, 2, arc], content);
        let on_card = |card_type: u8| {
            vec![
                of_card(2, subject::encode_integer(0)),
                of_card(3, subject::encode_printable(CARD_ID)),
                of_card(5, subject::encode_octet(card_type)),
            ]
        };
        match self {
            Self::Organisation { .. } => Vec::new(),
            Self::Employee { .. } => on_card(TEST_CARD_OF_EMPLOYEE),
            Self::Professional { profession, savoir_faire, .. } => {
                let mut extensions = on_card(if card == CardKind::Real { REAL_CARD } else { TEST_CARD });
                extensions.push(of_card(7, subject::encode_integer(*profession)));
                if !savoir_faire.is_empty() {
                    let content = subject::encode_texts(savoir_faire);
                    extensions.push(CustomExtension::from_oid_content(&[1, 2, 250, 1, 71, 4, 2, 5], content));
                }
                extensions
            }
        }
    }

    /// A card's signature key stops signing a month before its certificate ends.
    pub(super) fn key_period(&self, key_use: KeyUse, lifetime: Lifetime) -> Option<CustomExtension> {
        if key_use == KeyUse::Auth || matches!(self, Self::Organisation { .. }) {
            return None;
        }
        let text = |at: Timestamp| at.to_zoned(TimeZone::UTC).strftime("%Y%m%d%H%M%SZ").to_string();
        let content = subject::encode_period(&text(lifetime.from), &text(moved(lifetime.until, -30 * DAY_S)));
        Some(CustomExtension::from_oid_content(&[2, 5, 29, 16], content))
    }
}

/// Texts that the title of a card shows, for the professions of J65 that have one.
fn title(profession: u8) -> Option<&'static str> {
    Some(match profession {
        10 => "Médecin",
        21 => "Pharmacien",
        35 => "Aide-soignant",
        40 => "Chirurgien-dentiste",
        50 => "Sage-femme",
        60 => "Infirmier",
        70 => "Masseur-kinésithérapeute",
        80 => "Pédicure-podologue",
        _ => return None,
    })
}

const CARD_ID: &str = "8025000001/2500577253";
const REAL_CARD: u8 = 0x00;
const TEST_CARD: u8 = 0x80;
/// One of the types that test certificates bear; which card bears which is published nowhere.
const TEST_CARD_OF_EMPLOYEE: u8 = 0x82;
