//! Bundle: results of a search, and the answer to a transaction.

use serde::Serialize;

use super::datatype::Meta;

pub const FIND_RESPONSE_PROFILE: &str = "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/pdsm-find-documentreferences-comprehensive-response";
pub const PROVIDE_RESPONSE_PROFILE: &str =
    "https://profiles.ihe.net/ITI/MHD/StructureDefinition/IHE.MHD.ProvideDocumentBundleResponse";

#[derive(Debug, Serialize)]
#[serde(tag = "resourceType")]
pub struct Bundle<R> {
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta: Option<Meta<'static>>,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub link: Vec<Link>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entry: Vec<Entry<R>>,
}

#[derive(Debug, Serialize)]
pub struct Link {
    pub relation: &'static str,
    pub url: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry<R> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<R>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<Search>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<Response>,
}

#[derive(Debug, Serialize)]
pub struct Search {
    pub mode: &'static str,
}

/// What became of one entry of a transaction.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    pub last_modified: String,
}

impl<R> Entry<R> {
    pub fn matching(full_url: String, resource: R) -> Self {
        let search = Some(Search { mode: "match" });
        Self { full_url: Some(full_url), resource: Some(resource), search, response: None }
    }

    pub fn answering(response: Response) -> Self {
        Self { full_url: None, resource: None, search: None, response: Some(response) }
    }
}

pub fn meta_of(profile: &'static str) -> Meta<'static> {
    Meta { version_id: None, last_updated: None, profile: vec![profile] }
}
