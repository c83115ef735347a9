//! The names that ebRIM gives to objects, attributes and associations. Source: D.1.

use crate::domain::association::RelationKind;

pub(super) const LCM: &str = "urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0";
pub(super) const RIM: &str = "urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0";

/// `objectType` of a document that exists (stable), the only kind the DMP knows.
pub(super) const STABLE_DOCUMENT: &str = "urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1";
pub(super) const SUBMISSION_SET: &str = "urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd";

pub(super) const HAS_MEMBER: &str = "urn:oasis:names:tc:ebxml-regrep:AssociationType:HasMember";

/// Classifications and external identifiers of a document entry.
pub(super) mod document {
    pub(in crate::ebrim) const AUTHOR: &str = "urn:uuid:93606bcf-9494-43ec-9b4e-a7748d1a838d";
    pub(in crate::ebrim) const CLASS: &str = "urn:uuid:41a5887f-8865-4c09-adf7-e362475b143a";
    pub(in crate::ebrim) const TYPE: &str = "urn:uuid:f0306f51-975f-434e-a61c-c59651d33983";
    pub(in crate::ebrim) const CONFIDENTIALITY: &str = "urn:uuid:f4f85eac-e6cb-4883-b524-f2705394840f";
    pub(in crate::ebrim) const EVENT: &str = "urn:uuid:2c6b8cb7-8b2a-4051-b291-b1ae6a575ef4";
    pub(in crate::ebrim) const FORMAT: &str = "urn:uuid:a09d5840-386c-46f2-b5ad-9c3699a4309d";
    pub(in crate::ebrim) const FACILITY: &str = "urn:uuid:f33fb8ac-18af-42cc-ae0e-ed0b0bdb91e1";
    pub(in crate::ebrim) const PRACTICE: &str = "urn:uuid:cccf5598-8b07-4b77-a05e-ae952c785ead";
    pub(in crate::ebrim) const PATIENT_ID: &str = "urn:uuid:58a6f841-87b3-4a3e-92fd-a8ffeff98427";
    pub(in crate::ebrim) const UNIQUE_ID: &str = "urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab";
}

/// Classifications and external identifiers of a submission set.
pub(super) mod submission_set {
    pub(in crate::ebrim) const AUTHOR: &str = "urn:uuid:a7058bb9-b4e4-4307-ba5b-e3f0ab85e12d";
    pub(in crate::ebrim) const CONTENT_TYPE: &str = "urn:uuid:aa543740-bdda-424e-8c96-df4873be8500";
    pub(in crate::ebrim) const PATIENT_ID: &str = "urn:uuid:6b5aea1a-874d-4603-a4bc-96a0a7b38446";
    pub(in crate::ebrim) const SOURCE_ID: &str = "urn:uuid:554ac39e-e3fe-47fe-b233-965d2a147832";
    pub(in crate::ebrim) const UNIQUE_ID: &str = "urn:uuid:96fdda7c-d067-4183-912e-bf5ee74998a8";
}

pub(super) const REFERENCE_ID_LIST: &str = "urn:ihe:iti:xds:2013:referenceIdList";
/// Ours: XDS has no custodian, FHIR does; without a slot it would be lost on the way (contract 7.3).
pub(super) const CUSTODIAN: &str = "urn:x-carnet:custodian";

/// Format of the XAdES signature that goes with a submission (D.3).
pub(super) const SIGNATURE_FORMAT: &str = "http://www.w3.org/2000/09/xmldsig#";

/// What an association between documents says; `XFRM_RPLC` says two things, other types none.
pub(super) fn relations_of(association_type: &str) -> &'static [RelationKind] {
    use RelationKind::{Appends, Replaces, Signs, Transforms};
    let Some((_, word)) = association_type.rsplit_once(":AssociationType:") else {
        return &[];
    };
    match word {
        "RPLC" => &[Replaces],
        "APND" => &[Appends],
        "XFRM" => &[Transforms],
        "XFRM_RPLC" => &[Transforms, Replaces],
        "signs" => &[Signs],
        _ => &[],
    }
}

pub(super) fn association_type(kind: RelationKind) -> &'static str {
    match kind {
        RelationKind::Replaces => "urn:ihe:iti:2007:AssociationType:RPLC",
        RelationKind::Appends => "urn:ihe:iti:2007:AssociationType:APND",
        RelationKind::Transforms => "urn:ihe:iti:2007:AssociationType:XFRM",
        RelationKind::Signs => "urn:ihe:iti:2007:AssociationType:signs",
    }
}
