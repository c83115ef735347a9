//! `GET /metadata`: a CapabilityStatement made from the same tables that serve, so that it tells the truth.

use super::answer::{Answer, Handled};
use super::audit_event;
use super::face::Face;
use super::negotiate::Format;
use super::parameter::PARAMETERS;
use super::resource::capability_statement::{
    CapabilityStatement, Implementation, Interaction, Resource, Rest, SearchParam, Security, Software,
};
use super::resource::{datatype::CodeableConcept, document_reference};
use super::routes::ROUTES;

pub fn answer(face: &Face) -> Handled {
    Ok(Answer::resource(&statement(face.writing().base))?)
}

fn statement(base: &str) -> CapabilityStatement<'_> {
    let interactions = || ROUTES.iter().filter_map(|route| route.operation.interaction());
    let mut types: Vec<&'static str> = interactions().filter_map(|(resource, _)| resource).collect();
    types.sort_unstable();
    types.dedup();
    let mut system: Vec<_> =
        interactions().filter(|(resource, _)| resource.is_none()).map(|(_, code)| Interaction { code }).collect();
    system.dedup_by_key(|interaction| interaction.code);
    CapabilityStatement {
        status: "active",
        date: SINCE,
        kind: "instance",
        instantiates: INSTANTIATES,
        software: Software { name: "Carnet", version: env!("CARGO_PKG_VERSION") },
        implementation: Implementation { description: "Passerelle et dépôt de documents du DMP", url: base },
        fhir_version: "4.0.1",
        format: Format::NAMES,
        implementation_guide: ["https://interop.esante.gouv.fr/ig/fhir/pdsm/ImplementationGuide/ans.fhir.fr.pdsm"],
        rest: [Rest {
            mode: "server",
            security: Security {
                cors: false,
                service: [CodeableConcept::of(SECURITY_SYSTEM, "Certificates")],
                description: "Mutual TLS with certificates of IGC-Santé; purpose of use in X-Purpose-Of-Use. A certificate or \
                              structure over its share of the server gets 429 with Retry-After",
            },
            resource: types.into_iter().map(resource).collect(),
            interaction: system,
        }],
    }
}

fn resource(kind: &'static str) -> Resource {
    let of_kind = ROUTES.iter().filter_map(|route| route.operation.interaction()).filter(|(of, _)| *of == Some(kind));
    let mut codes: Vec<&'static str> = of_kind.map(|(_, code)| code).collect();
    codes.sort_unstable();
    codes.dedup();
    let (supported_profile, versioning, search_param) = match kind {
        "DocumentReference" => (Some([document_reference::PROFILE]), "versioned", document_reference_parameters()),
        "Patient" => (None, "no-version", vec![patient_parameter("identifier")]),
        "AuditEvent" => (None, "no-version", audit_event_parameters()),
        "Consent" => (None, "no-version", vec![patient_parameter("patient.identifier")]),
        _ => (None, "versioned", Vec::new()),
    };
    let interaction = codes.into_iter().map(|code| Interaction { code }).collect();
    Resource { kind, supported_profile, interaction, versioning, search_param }
}

/// Aliases are served and told too: a client finds the name that its guide uses.
fn document_reference_parameters() -> Vec<SearchParam> {
    let filters = PARAMETERS.iter().filter_map(|parameter| parameter.kind.map(|kind| (parameter, kind)));
    let params = filters.flat_map(|(parameter, kind)| {
        let names = std::iter::once(&parameter.name).chain(parameter.aliases);
        // A colon separates a modifier: those spellings are no names of their own in a statement.
        let names = names.filter(|name| !name.contains(':'));
        names.map(move |name| SearchParam { name, kind: kind.code(), documentation: parameter.documentation })
    });
    params.collect()
}

fn audit_event_parameters() -> Vec<SearchParam> {
    let filters = audit_event::PARAMETERS.iter();
    filters
        .filter_map(|&(name, kind, documentation, _)| Some(SearchParam { name, kind: kind?, documentation }))
        .collect()
}

fn patient_parameter(name: &'static str) -> SearchParam {
    SearchParam { name, kind: "token", documentation: "INS with the OID that assigned it" }
}

/// Day of the last change to what this file says.
const SINCE: &str = "2026-11-21";
const SECURITY_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/restful-security-service";
const INSTANTIATES: [&str; 2] = [
    "https://interop.esante.gouv.fr/ig/fhir/pdsm/CapabilityStatement/PDSm-GestionnaireDePartageDeDocuments",
    "https://profiles.ihe.net/ITI/MHD/CapabilityStatement/IHE.MHD.DocumentResponder",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn json() -> serde_json::Value {
        let text = serde_json::to_string(&statement("https://localhost:8443/fhir")).unwrap();
        fhirkit::from_json_strict::<fhirkit::r4::CapabilityStatement>(&text).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn every_route_is_told_and_nothing_else() {
        let rest = &json()["rest"][0];
        let told: usize =
            rest["resource"].as_array().unwrap().iter().map(|r| r["interaction"].as_array().unwrap().len()).sum();
        let told = told + rest["interaction"].as_array().map_or(0, Vec::len);
        let mut served: Vec<_> = ROUTES.iter().filter_map(|route| route.operation.interaction()).collect();
        served.sort_unstable();
        served.dedup();
        assert_eq!(told, served.len());
    }

    #[test]
    fn the_names_of_the_guides_are_told() {
        let text = json().to_string();
        for name in ["PDSm_DocumentReference_period-start", "patient.identifier", "security-label", "4.0.1"] {
            assert!(text.contains(name), "{name}");
        }
    }
}
