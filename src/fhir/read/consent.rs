//! Consent -> a line of the patient's list, or a label of one document (TD0.3, TD3.3a, TD3.3b by FHIR).
//!
//! No guide defines these resources yet; this is the form that this server reads:
//!
//! | `provision` | is |
//! |---|---|
//! | permit, one actor PS_IdNat or Struct_IdNat | authorisation |
//! | permit, one actor PS_IdNat of role PCP (v3-ParticipationFunction) | médecin traitant |
//! | permit, one actor of [`DELEGATE_SYSTEM`] and role GUARD or CAREGIVER (v3-RoleClass) | legal representative, aidant |
//! | permit, both emergency purposes, security label MASQUE_PS | masked documents are seen in emergencies |
//! | deny, one actor PS_IdNat | block |
//! | deny, one purpose `bris_de_glace` or `centre_15` of TRE_R248 | opposition |
//! | deny, one class DocumentReference | documents are masked as they come |
//! | deny, one data `DocumentReference/ID`, at most one security label of TRE_A07 | that label, or MASQUE_PS |
//!
//! Anything beside these in a provision would change what it means, and is refused. Source: contract 4; F.2, C.4.

use fhirkit::r4::{Coding, Consent, ConsentProvision, Reference, Resource};

use super::Message;
use super::parties::Subject;
use super::reading::{Reading, Scope, Text as _, system_and_value};
use crate::domain::author::Identifier;
use crate::domain::confidentiality::{VISIBILITY_OID, VisibilityLabel};
use crate::domain::consent::{ConsentKind, Delegate, DelegateRole, Grantee};
use crate::domain::dtm::Dtm;
use crate::domain::ids::{ConsentId, LogicalId};
use crate::domain::ins::Ins;
use crate::domain::national_id::{PS_ID_NAT_OID, STRUCT_ID_NAT_OID};
use crate::domain::value_set::Terminology;
use crate::operation::outcome::{ConsentProvision as Provision, ConsentRequest, ConsentState};
use crate::refusal::{Failure, Refusal, Rule};

/// Reads a Consent; `id` is the one of the URL when a line is changed (PUT).
pub fn read_consent(
    message: Message,
    id: Option<ConsentId>,
    terminology: &Terminology,
) -> Result<ConsentRequest, Failure> {
    let Message { resource, documents } = message;
    let Resource::Consent(consent) = resource else {
        let found = format!("a {}", resource.resource_type());
        return Err(Refusal::new(Rule::FhirStructure, "resourceType", found, "a Consent").into());
    };
    let mut reading = Reading::new(terminology);
    for refusal in documents.refuse_rest("no document in a Consent") {
        reading.add(refusal);
    }
    let request = reading.consent(&consent, id);
    // A part is missing only where a refusal says so.
    let missing = Refusal::new(Rule::ConsentForm, "Consent", "an incomplete Consent", "patient and provision");
    reading.finish(request)?.ok_or_else(|| missing.into())
}

impl Reading<'_> {
    fn consent(&mut self, consent: &Consent, id: Option<ConsentId>) -> Option<ConsentRequest> {
        let state = match consent.status.text() {
            Some("active") => ConsentState::Active,
            Some("inactive" | "entered-in-error") => ConsentState::Inactive,
            _ => {
                let expected = "active, inactive or entered-in-error";
                self.refuse(Rule::ConsentForm, "Consent.status", "another status", expected);
                ConsentState::Inactive
            }
        };
        let mut scopes = consent.scope.iter().flat_map(|scope| &scope.coding);
        if !scopes.any(|coding| coding.code.text() == Some("patient-privacy")) {
            self.refuse(Rule::ConsentForm, "Consent.scope", "another scope", "patient-privacy");
        }
        if let (Some(id), Some(sent)) = (id, consent.id.as_deref())
            && sent.parse() != Ok(id)
        {
            self.refuse(Rule::ConsentForm, "Consent.id", "another id", "the id of the URL");
        }
        let patient = self.consent_patient(consent);
        let Some(provision) = &consent.provision else {
            self.refuse(Rule::ConsentForm, "Consent.provision", "nothing", "one provision");
            return None;
        };
        let period = provision.period.as_ref();
        let start = period.and_then(|period| self.time(period.start.text(), "Consent.provision.period.start"));
        let end = period.and_then(|period| self.time(period.end.text(), "Consent.provision.period.end"));
        let read = self.provision(provision, Scope::alone(&consent.contained, "Consent"));
        if matches!(read, Some(Provision::Label { .. })) && period.is_some() {
            let expected = "no period: a label stays until it is taken away; INVISIBLE_PATIENT has the law's month";
            self.refuse(Rule::ConsentForm, "Consent.provision.period", "a period", expected);
        }
        Some(ConsentRequest {
            patient: patient?,
            id,
            provision: read?,
            state,
            since: start.map(Dtm::from),
            // The end of a FHIR period belongs to it: a day as a whole.
            until: end.map(Dtm::to),
        })
    }

    fn consent_patient(&mut self, consent: &Consent) -> Option<Ins> {
        let place = "Consent.patient";
        let subject = consent.patient.as_ref().map_or(Subject::Elsewhere, |patient| {
            self.subject(patient, place, Scope::alone(&consent.contained, "Consent"))
        });
        match subject {
            Subject::Known(ins) => Some(ins),
            Subject::Refused => None,
            Subject::Elsewhere => {
                let expected = "Patient?identifier=urn:oid:…|… with an INS, an identifier, or a contained Patient";
                self.refuse(Rule::InsMissing, place, "no INS", expected);
                None
            }
        }
    }

    fn provision(&mut self, provision: &ConsentProvision, scope: Scope<'_>) -> Option<Provision> {
        let others = [
            !provision.action.is_empty(),
            !provision.code.is_empty(),
            !provision.provision.is_empty(),
            provision.data_period.is_some(),
        ];
        let actors_and_purposes = (provision.actor.len(), provision.purpose.len());
        let (labels, class) = (provision.security_label.len(), provision.class.len());
        let permits = match provision.type_.text() {
            Some("permit") => true,
            Some("deny") => false,
            _ => {
                self.refuse(Rule::ConsentForm, "Consent.provision.type", "another type", "permit or deny");
                return None;
            }
        };
        match (permits, actors_and_purposes, provision.data.len(), labels, class) {
            _ if others.contains(&true) => self.unreadable(),
            (_, (1, 0), 0, 0, 0) => self.line_about_actor(provision, permits, scope).map(Provision::List),
            (true, (0, 2), 0, 1, 0) => self.masked_in_emergencies(provision).map(Provision::List),
            (false, (0, 1), 0, 0, 0) => self.opposition(provision).map(Provision::List),
            (false, (0, 0), 0, 0, 1) => self.mask_by_default(provision).map(Provision::List),
            (false, (0, 0), 1, 0 | 1, 0) => self.label_of_document(provision),
            _ => self.unreadable(),
        }
    }

    fn unreadable<T>(&mut self) -> Option<T> {
        let expected = "permit or deny with one actor; permit with both emergency purposes and MASQUE_PS; deny with one \
                        purpose, with class DocumentReference, or with one data reference and at most one label; and \
                        nothing else";
        self.refuse(Rule::ConsentForm, "Consent.provision", "another combination", expected);
        None
    }

    fn line_about_actor(
        &mut self,
        provision: &ConsentProvision,
        permits: bool,
        scope: Scope<'_>,
    ) -> Option<ConsentKind> {
        const PLACE: &str = "Consent.provision.actor[0].reference";
        let actor = provision.actor.first()?;
        let reference = actor.reference.as_ref()?;
        let role_is = |code| {
            let codings = || actor.role.iter().flat_map(|role| &role.coding);
            codings().any(|coding| coding.code.text() == Some(code))
        };
        for (code, role) in DELEGATES {
            if permits && role_is(code) {
                return self.delegation(reference, role, PLACE);
            }
        }
        let author = self.author(reference, PLACE, scope)?;
        let ids = [author.person.and_then(|person| person.id), author.institution.and_then(|it| it.id)];
        let named = ids.into_iter().flatten().find_map(|id| grantee_of(&id));
        match (permits, role_is("PCP"), named) {
            (true, true, Some(Grantee::Professional(ps))) => Some(ConsentKind::MedecinTraitant(ps)),
            (true, false, Some(grantee)) => Some(ConsentKind::Authorisation(grantee)),
            (false, false, Some(Grantee::Professional(ps))) => Some(ConsentKind::Block(ps)),
            _ => {
                let expected = "a PS_IdNat (1.2.250.1.71.4.2.1); for an authorisation also a Struct_IdNat \
                                (1.2.250.1.71.4.2.2)";
                self.refuse(Rule::ConsentForm, PLACE, "no such identifier, or a role that does not fit", expected);
                None
            }
        }
    }

    fn opposition(&mut self, provision: &ConsentProvision) -> Option<ConsentKind> {
        match self.purpose(provision.purpose.first()?) {
            Some("bris_de_glace") => Some(ConsentKind::OppositionBrisDeGlace),
            Some("centre_15") => Some(ConsentKind::OppositionCentre15),
            _ => {
                let expected = "bris_de_glace or centre_15 of TRE_R248";
                self.refuse(Rule::ConsentForm, "Consent.provision.purpose[0]", "another purpose", expected);
                None
            }
        }
    }

    /// The code of a purpose of TRE_R248.
    fn purpose<'p>(&self, purpose: &'p Coding) -> Option<&'p str> {
        let system = self.system(purpose.system.text().unwrap_or_default());
        let known_system = PURPOSE_OIDS.contains(&system.as_str()) || system.contains("TRE_R248");
        purpose.code.text().filter(|_| known_system)
    }

    fn delegation(&mut self, reference: &Reference, role: DelegateRole, place: &str) -> Option<ConsentKind> {
        let identifier = reference.identifier.as_deref().and_then(system_and_value);
        let id = identifier.filter(|(system, _)| *system == DELEGATE_SYSTEM).and_then(|(_, value)| value.parse().ok());
        if id.is_none() {
            let expected = format!("an identifier of {DELEGATE_SYSTEM}: 1 to 64 letters, digits and ._:-");
            self.refuse(Rule::ConsentForm, place, "another identifier", expected);
        }
        id.map(|id| ConsentKind::Delegation(Delegate { role, id }))
    }

    /// Both purposes, for the switch is one (F.2, MASKED).
    fn masked_in_emergencies(&mut self, provision: &ConsentProvision) -> Option<ConsentKind> {
        let mut purposes: Vec<_> = provision.purpose.iter().filter_map(|purpose| self.purpose(purpose)).collect();
        purposes.sort_unstable();
        let label = self.label(provision.security_label.first()?)?;
        if purposes == ["bris_de_glace", "centre_15"] && label == VisibilityLabel::MasquePs {
            Some(ConsentKind::MaskedInEmergencies)
        } else {
            self.unreadable()
        }
    }

    fn mask_by_default(&mut self, provision: &ConsentProvision) -> Option<ConsentKind> {
        if provision.class.first()?.code.text() == Some("DocumentReference") {
            return Some(ConsentKind::MaskByDefault);
        }
        self.refuse(Rule::ConsentForm, "Consent.provision.class[0]", "another class", "DocumentReference");
        None
    }

    fn label_of_document(&mut self, provision: &ConsentProvision) -> Option<Provision> {
        let document = self.labelled_document(provision);
        let label = match provision.security_label.first() {
            Some(coding) => self.label(coding),
            None => Some(VisibilityLabel::MasquePs),
        };
        Some(Provision::Label { document: document?, label: label? })
    }

    fn label(&mut self, coding: &Coding) -> Option<VisibilityLabel> {
        let of_visibility = self.system(coding.system.text().unwrap_or_default()) == VISIBILITY_OID;
        let label = coding.code.text().filter(|_| of_visibility).and_then(VisibilityLabel::from_code);
        if label.is_none() {
            let expected = "MASQUE_PS, INVISIBLE_PATIENT or INVISIBLE_REPRESENTANTS_LEGAUX of TRE_A07";
            self.refuse(Rule::ConsentForm, "Consent.provision.securityLabel[0]", "another label", expected);
        }
        label
    }

    fn labelled_document(&mut self, provision: &ConsentProvision) -> Option<LogicalId> {
        let reference = provision.data.first()?.reference.as_ref().and_then(|reference| reference.reference.text());
        let id = reference.and_then(|text| text.rsplit_once("DocumentReference/")).and_then(|(_, id)| id.parse().ok());
        if id.is_none() {
            let place = "Consent.provision.data[0].reference";
            self.refuse(Rule::ConsentForm, place, "another reference", "DocumentReference/ID of this server");
        }
        id
    }
}

/// Whom a national identifier names: its system says whether a person or a structure.
fn grantee_of(id: &Identifier) -> Option<Grantee> {
    match id.system.as_str() {
        PS_ID_NAT_OID => id.value.parse().ok().map(Grantee::Professional),
        STRUCT_ID_NAT_OID => id.value.parse().ok().map(Grantee::Structure),
        _ => None,
    }
}

/// System of the ids by which the portal knows legal representatives and aidants.
pub const DELEGATE_SYSTEM: &str = "urn:carnet:delegate";

/// Codes of v3-RoleClass.
pub const DELEGATES: [(&str, DelegateRole); 2] =
    [("GUARD", DelegateRole::LegalRepresentative), ("CAREGIVER", DelegateRole::Aidant)];

/// Real messages carry the first, the published terminology has the second (T-2).
const PURPOSE_OIDS: [&str; 2] = ["1.2.250.1.213.1.1.4.248", "1.2.250.1.213.1.1.4.336"];

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::cut::Cutter;
    use super::super::{Documents, json as structure};
    use super::*;
    use crate::config::Limits;
    use crate::spool::SpoolSettings;

    const PS: &str = "899700218896";
    const DOCUMENT: &str = "0198c0de-0000-7000-8000-000000000001";

    fn consent(provision: &Value) -> Value {
        json!({
            "resourceType": "Consent", "status": "active",
            "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
            "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
            "patient": {"identifier": {"system": "urn:oid:1.2.250.1.213.1.4.10", "value": "207058575627097"}},
            "provision": provision
        })
    }

    fn actor(system: &str, value: &str, role: &str) -> Value {
        json!([{"role": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationFunction", "code": role}]},
                "reference": {"identifier": {"system": format!("urn:oid:{system}"), "value": value}}}])
    }

    fn read_with(consent: &Value, id: Option<ConsentId>) -> Result<ConsentRequest, Vec<Refusal>> {
        let settings =
            SpoolSettings { directory: std::sync::Arc::new(std::env::temp_dir()), memory_bytes_max: 1 << 20 };
        let mut cutter = Cutter::new(&Limits::default(), settings);
        let read = || {
            cutter.push(consent.to_string().as_bytes())?;
            let cut = cutter.finish()?;
            let resource = structure::read_resource(&cut)?;
            let message = Message { resource, documents: Documents::new(cut.documents) };
            read_consent(message, id, &Terminology::load().unwrap())
        };
        read().map_err(|failure| match failure {
            Failure::Refused(refusals) | Failure::Journaled(refusals) => refusals,
            Failure::Fault(fault) => panic!("{fault}"),
        })
    }

    fn read(provision: &Value) -> Result<Provision, Vec<Refusal>> {
        read_with(&consent(provision), None).map(|request| request.provision)
    }

    fn place_of_refusal(provision: &Value) -> String {
        let mut refusals = read(provision).unwrap_err();
        assert_eq!((refusals.len(), refusals[0].rule), (1, Rule::ConsentForm), "{refusals:?}");
        refusals.remove(0).place
    }

    #[test]
    fn lines_about_a_professional_or_a_structure_are_read() {
        let ps = || PS.parse().unwrap();
        for (provision, kind) in [
            (
                json!({"type": "permit", "actor": actor(PS_ID_NAT_OID, PS, "PRCP")}),
                ConsentKind::Authorisation(Grantee::Professional(ps())),
            ),
            (
                json!({"type": "permit", "actor": actor(STRUCT_ID_NAT_OID, "1750803447", "PRCP")}),
                ConsentKind::Authorisation(Grantee::Structure("1750803447".parse().unwrap())),
            ),
            (json!({"type": "permit", "actor": actor(PS_ID_NAT_OID, PS, "PCP")}), ConsentKind::MedecinTraitant(ps())),
            (json!({"type": "deny", "actor": actor(PS_ID_NAT_OID, PS, "PRCP")}), ConsentKind::Block(ps())),
        ] {
            assert_eq!(read(&provision), Ok(Provision::List(kind)), "{provision}");
        }
    }

    #[test]
    fn oppositions_are_read_under_both_numbers_of_their_table() {
        for oid in PURPOSE_OIDS {
            for (code, kind) in
                [("bris_de_glace", ConsentKind::OppositionBrisDeGlace), ("centre_15", ConsentKind::OppositionCentre15)]
            {
                let purpose = json!([{"system": format!("urn:oid:{oid}"), "code": code}]);
                assert_eq!(read(&json!({"type": "deny", "purpose": purpose})), Ok(Provision::List(kind)));
            }
        }
        let normal = json!([{"system": "urn:oid:1.2.250.1.213.1.1.4.248", "code": "normal"}]);
        assert_eq!(place_of_refusal(&json!({"type": "deny", "purpose": normal})), "Consent.provision.purpose[0]");
    }

    #[test]
    fn delegates_are_read_by_their_role_and_by_the_portals_own_id() {
        for (code, role) in DELEGATES {
            let provision = |system: &str, id: &str| {
                json!({"type": "permit", "actor": [{"role": {"coding": [{"code": code}]},
                       "reference": {"identifier": {"system": system, "value": id}}}]})
            };
            let kind = ConsentKind::Delegation(Delegate { role, id: "ens-42".parse().unwrap() });
            assert_eq!(read(&provision(DELEGATE_SYSTEM, "ens-42")), Ok(Provision::List(kind)));
            for bad in [provision("urn:oid:1.2.3", "ens-42"), provision(DELEGATE_SYSTEM, "a b")] {
                assert_eq!(place_of_refusal(&bad), "Consent.provision.actor[0].reference");
            }
        }
    }

    #[test]
    fn the_switches_of_masked_documents_are_read() {
        let purpose = |code: &str| json!({"system": format!("urn:oid:{}", PURPOSE_OIDS[0]), "code": code});
        let masked = json!([{"system": format!("urn:oid:{VISIBILITY_OID}"), "code": "MASQUE_PS"}]);
        let both = json!([purpose("centre_15"), purpose("bris_de_glace")]);
        let permit = |purposes: &Value| json!({"type": "permit", "purpose": purposes, "securityLabel": masked});
        assert_eq!(read(&permit(&both)), Ok(Provision::List(ConsentKind::MaskedInEmergencies)));
        let twice = json!([purpose("centre_15"), purpose("centre_15")]);
        assert_eq!(place_of_refusal(&permit(&twice)), "Consent.provision");
        let class = |code: &str| {
            let system = "http://hl7.org/fhir/resource-types";
            json!({"type": "deny", "class": [{"system": system, "code": code}]})
        };
        assert_eq!(read(&class("DocumentReference")), Ok(Provision::List(ConsentKind::MaskByDefault)));
        assert_eq!(place_of_refusal(&class("Observation")), "Consent.provision.class[0]");
    }

    #[test]
    fn a_denied_document_bears_a_label() {
        let data =
            json!([{"meaning": "instance", "reference": {"reference": format!("DocumentReference/{DOCUMENT}")}}]);
        let labelled = |label| Ok(Provision::Label { document: DOCUMENT.parse().unwrap(), label });
        assert_eq!(read(&json!({"type": "deny", "data": data})), labelled(VisibilityLabel::MasquePs));
        for label in VisibilityLabel::ALL {
            let security = json!([{"system": format!("urn:oid:{VISIBILITY_OID}"), "code": label.code()}]);
            assert_eq!(read(&json!({"type": "deny", "data": data, "securityLabel": security})), labelled(label));
        }
        let unknown = json!([{"system": format!("urn:oid:{VISIBILITY_OID}"), "code": "N"}]);
        let place = place_of_refusal(&json!({"type": "deny", "data": data, "securityLabel": unknown}));
        assert_eq!(place, "Consent.provision.securityLabel[0]");
        assert_eq!(place_of_refusal(&json!({"type": "permit", "data": data})), "Consent.provision");
        let other = json!([{"meaning": "instance", "reference": {"reference": "DocumentReference/x"}}]);
        assert_eq!(place_of_refusal(&json!({"type": "deny", "data": other})), "Consent.provision.data[0].reference");
    }

    #[test]
    fn what_this_form_does_not_know_is_refused() {
        let by = |extra: Value| {
            let mut provision = json!({"type": "deny", "actor": actor(PS_ID_NAT_OID, PS, "PRCP")});
            provision.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            place_of_refusal(&provision)
        };
        assert_eq!(by(json!({"class": [{"system": "urn:x", "code": "y"}]})), "Consent.provision");
        assert_eq!(by(json!({"provision": [{"type": "permit"}]})), "Consent.provision");
        assert_eq!(by(json!({"type": "maybe"})), "Consent.provision.type");
        let place = "Consent.provision.actor[0].reference";
        assert_eq!(by(json!({"actor": actor(STRUCT_ID_NAT_OID, "1750803447", "PRCP")})), place);
        assert_eq!(by(json!({"actor": actor(PS_ID_NAT_OID, "x", "PRCP")})), place);
        assert_eq!(place_of_refusal(&json!({"type": "permit"})), "Consent.provision");
    }

    #[test]
    fn a_period_ends_with_its_last_day() {
        let period = json!({"start": "2026-01-01T08:00:00+01:00", "end": "2026-01-31"});
        let provision = json!({"type": "deny", "actor": actor(PS_ID_NAT_OID, PS, "PRCP"), "period": period});
        let request = read_with(&consent(&provision), None).unwrap();
        assert_eq!(request.since.unwrap().to_string(), "2026-01-01T07:00:00Z");
        assert_eq!(request.until.unwrap().to_string(), "2026-02-01T00:00:00Z");
    }

    #[test]
    fn an_end_is_told_by_the_status_and_the_id_must_be_that_of_the_url() {
        let id: ConsentId = DOCUMENT.parse().unwrap();
        let mut body = consent(&json!({"type": "deny", "actor": actor(PS_ID_NAT_OID, PS, "PRCP")}));
        body["status"] = json!("inactive");
        body["id"] = json!(DOCUMENT);
        let request = read_with(&body, Some(id)).unwrap();
        assert_eq!((request.id, request.state), (Some(id), ConsentState::Inactive));
        body["id"] = json!("0198c0de-0000-7000-8000-000000000002");
        assert_eq!(read_with(&body, Some(id)).unwrap_err()[0].place, "Consent.id");
        body["status"] = json!("draft");
        assert_eq!(read_with(&body, None).unwrap_err()[0].place, "Consent.status");
    }
}
