//! CapabilityStatement: the shape only; [`crate::fhir::capability`] fills it from the tables that serve.

use serde::Serialize;

use super::datatype::CodeableConcept;

#[derive(Debug, Serialize)]
#[serde(tag = "resourceType", rename_all = "camelCase")]
pub struct CapabilityStatement<'a> {
    pub status: &'static str,
    pub date: &'static str,
    pub kind: &'static str,
    pub instantiates: [&'static str; 2],
    pub software: Software,
    pub implementation: Implementation<'a>,
    pub fhir_version: &'static str,
    pub format: [&'static str; 4],
    pub implementation_guide: [&'static str; 1],
    pub rest: [Rest; 1],
}

#[derive(Debug, Serialize)]
pub struct Software {
    pub name: &'static str,
    pub version: &'static str,
}

#[derive(Debug, Serialize)]
pub struct Implementation<'a> {
    pub description: &'static str,
    pub url: &'a str,
}

#[derive(Debug, Serialize)]
pub struct Rest {
    pub mode: &'static str,
    pub security: Security,
    pub resource: Vec<Resource>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interaction: Vec<Interaction>,
}

#[derive(Debug, Serialize)]
pub struct Security {
    pub cors: bool,
    pub service: [CodeableConcept<'static>; 1],
    pub description: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    #[serde(rename = "type")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supported_profile: Option<[&'static str; 1]>,
    pub interaction: Vec<Interaction>,
    pub versioning: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub search_param: Vec<SearchParam>,
}

#[derive(Debug, Serialize)]
pub struct Interaction {
    pub code: &'static str,
}

#[derive(Debug, Serialize)]
pub struct SearchParam {
    pub name: &'static str,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub documentation: &'static str,
}
