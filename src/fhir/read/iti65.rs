//! ITI-65 Provide Document Bundle (TD2, TD2.1): a transaction Bundle -> a deposit.
//!
//! One List that is a submission set, DocumentReferences with a Binary each, and for a replacement the Parameters
//! entry that marks the older document superseded: it is held against `relatesTo`, which is what acts. Patient,
//! Practitioner, PractitionerRole, Organization and Device entries are read as context and not stored. Folders are
//! refused: the DMP has none (D.4).
//! Source: IHE MHD 4.2 ITI-65; PDSm 3.1.1; E.4.

use fhirkit::r4::{
    Bundle, BundleEntry, DocumentReference, List, Parameters, ParametersParameter, ParametersParameterValue, Resource,
};

use super::document_reference::Described;
use super::reading::{BundleResource, Reading, Scope, Text as _};
use super::submission_set::{ListKind, Member, kind_of};
use super::{Documents, Message};
use crate::domain::association::RelationKind;
use crate::domain::value_set::Terminology;
use crate::operation::draft::{DepositRequest, DocumentDraft};
use crate::refusal::{Failure, Refusal, Rule};

/// A deposit, and what each entry of its Bundle was: the answer has an entry for each, in order.
#[derive(Debug)]
pub struct Provided {
    pub request: DepositRequest,
    pub entries: Vec<ProvidedEntry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProvidedEntry {
    SubmissionSet,
    /// The DocumentReference of that document of the request.
    Document(usize),
    /// The Binary of that document of the request.
    Content(usize),
    /// The Parameters that mark superseded what that document of the request replaces.
    Supersession(usize),
    /// Read as context, not stored.
    Context,
}

/// Reads the message of a provide-document-bundle.
pub fn read_provided(message: Message, terminology: &Terminology) -> Result<Provided, Failure> {
    let Message { resource, mut documents } = message;
    let Resource::Bundle(bundle) = resource else {
        let found = format!("a {}", resource.resource_type());
        return Err(Refusal::new(Rule::BundleType, "resourceType", found, "a Bundle").into());
    };
    if bundle.type_.text() != Some("transaction") {
        return Err(Refusal::new(Rule::BundleType, "Bundle.type", "another type", "transaction").into());
    }
    if bundle.entry.len() > ENTRIES_MAX {
        let found = format!("{} entries", bundle.entry.len());
        let expected = format!("at most {ENTRIES_MAX} entries");
        return Err(Refusal::new(Rule::BundleEntry, "Bundle.entry", found, expected).into());
    }
    let mut reading = Reading::new(terminology);
    let provided = reading.provided(&bundle, &mut documents);
    for refusal in documents.refuse_rest("Binary entries that an attachment.url refers to, and no other documents") {
        reading.add(refusal);
    }
    reading.finish(provided)
}

impl Reading<'_> {
    fn provided(&mut self, bundle: &Bundle, documents: &mut Documents) -> Provided {
        let resources = self.resources(bundle);
        let mut kinds = vec![ProvidedEntry::Context; bundle.entry.len()];
        let mut described = Vec::new();
        for it in &resources {
            if let Resource::DocumentReference(resource) = it.resource {
                let scope = scope_of(&resources, &resource.contained, it);
                kinds[it.entry] = ProvidedEntry::Document(described.len());
                described.push((it, &**resource, self.document(resource, &it.place, scope)));
            }
        }
        if described.is_empty() {
            self.refuse(Rule::BundleEntry, "Bundle.entry", "no DocumentReference", "at least one document");
        }
        let members: Vec<_> =
            described.iter().map(|(it, resource, described)| member(it, resource, described)).collect();
        let submission_set = self.only_submission_set(&resources).map(|(it, list)| {
            kinds[it.entry] = ProvidedEntry::SubmissionSet;
            self.submission_set(list, &it.place, scope_of(&resources, &list.contained, it), &members)
        });
        for it in &resources {
            if let Resource::Parameters(parameters) = it.resource {
                let url = bundle.entry[it.entry].request.as_ref().and_then(|request| request.url.text());
                let all = described.iter().map(|(_, resource, _)| *resource);
                if let Some(document) = self.supersession(parameters, url, &it.place, all) {
                    kinds[it.entry] = ProvidedEntry::Supersession(document);
                }
            }
        }
        let mut drafts = Vec::new();
        for (index, (it, _, described)) in described.into_iter().enumerate() {
            let scope = Scope { entries: &resources, contained: &[], place: &it.place };
            drafts.extend(self.draft(index, &it.place, described, scope, &mut kinds, documents));
        }
        for it in &resources {
            if matches!(it.resource, Resource::Binary(_)) && kinds[it.entry] == ProvidedEntry::Context {
                let found = "a Binary that no attachment.url refers to";
                self.refuse(Rule::BundleEntry, &it.place, found, "one DocumentReference for each Binary");
            }
        }
        Provided { request: DepositRequest { submission_set, documents: drafts }, entries: kinds }
    }

    /// The entries that hold a resource; what is wrong with their outer form is refused here.
    fn resources<'b>(&mut self, bundle: &'b Bundle) -> Vec<BundleResource<'b>> {
        let mut resources: Vec<BundleResource<'b>> = Vec::new();
        for (index, entry) in bundle.entry.iter().enumerate() {
            let place = format!("Bundle.entry[{index}]");
            let full_url = entry.full_url.text();
            if full_url.is_some() && resources.iter().any(|it| it.full_url == full_url) {
                self.refuse(
                    Rule::BundleEntry,
                    format!("{place}.fullUrl"),
                    "a fullUrl that is there twice",
                    "another one",
                );
            }
            let Some(resource) = &entry.resource else {
                self.refuse(Rule::BundleEntry, format!("{place}.resource"), "nothing", "a resource");
                continue;
            };
            self.check_request(entry, resource, &place);
            resources.push(BundleResource { entry: index, full_url, resource, place: format!("{place}.resource") });
        }
        resources
    }

    fn check_request(&mut self, entry: &BundleEntry, resource: &Resource, place: &str) {
        let kind = resource.resource_type();
        let Some(request) = &entry.request else {
            self.refuse(Rule::BundleEntry, format!("{place}.request"), "nothing", "method and url");
            return;
        };
        let expected_method = if kind == "Parameters" { "PATCH" } else { "POST" };
        let is_context = ["Patient", "Practitioner", "PractitionerRole", "Organization", "Device"].contains(&kind);
        if !is_context && !["List", "DocumentReference", "Binary", "Parameters"].contains(&kind) {
            let expected = "List, DocumentReference, Binary; Parameters; Patient and other context";
            self.refuse(Rule::BundleEntry, format!("{place}.resource"), format!("a {kind}"), expected);
            return;
        }
        let method = request.method.text().unwrap_or_default();
        if method != expected_method && !(is_context && method == "PUT") {
            let place = format!("{place}.request.method");
            self.refuse(Rule::BundleEntry, place, method, format!("{expected_method} for a {kind}"));
        }
        let url = request.url.text().unwrap_or_default();
        let url_ok = match method {
            "POST" => url == kind,
            "PUT" => url.starts_with(kind),
            // Held against relatesTo later.
            _ => kind == "Parameters",
        };
        if method == expected_method && !url_ok {
            self.refuse(Rule::BundleEntry, format!("{place}.request.url"), url, format!("`{kind}`"));
        }
        let conditions = [&request.if_none_match, &request.if_match, &request.if_none_exist];
        if conditions.iter().any(|condition| condition.is_some()) || request.if_modified_since.is_some() {
            let place = format!("{place}.request");
            self.refuse(Rule::BundleEntry, place, "a condition", "no condition: a deposit is resent without harm");
        }
    }

    fn only_submission_set<'b>(
        &mut self,
        resources: &'b [BundleResource<'b>],
    ) -> Option<(&'b BundleResource<'b>, &'b List)> {
        let mut sets = Vec::new();
        for it in resources {
            let Resource::List(list) = it.resource else { continue };
            match kind_of(list) {
                ListKind::SubmissionSet => sets.push((it, &**list)),
                ListKind::Folder => {
                    let expected = "no folder: the DMP has none";
                    self.refuse(Rule::BundleEntry, &it.place, "a folder", expected);
                }
                ListKind::Other => {
                    let expected = "the code submissionset of MHDlistTypes";
                    self.refuse(Rule::BundleEntry, format!("{}.code", it.place), "another List", expected);
                }
            }
        }
        if sets.len() != 1 {
            let found = format!("{} submission sets", sets.len());
            self.refuse(Rule::SubmissionSetCount, "Bundle.entry", found, "exactly one List of code submissionset");
        }
        sets.into_iter().next()
    }

    /// Which document replaces what this entry marks superseded.
    fn supersession<'b>(
        &mut self,
        parameters: &Parameters,
        url: Option<&str>,
        place: &str,
        documents: impl Iterator<Item = &'b DocumentReference>,
    ) -> Option<usize> {
        if !marks_superseded(parameters) {
            let expected = "one operation: replace DocumentReference.status by superseded";
            self.refuse(Rule::BundleEntry, place, "another patch", expected);
            return None;
        }
        let target = url.and_then(local_name);
        let replacing = documents.into_iter().position(|document| {
            let replaced = document
                .relates_to
                .iter()
                .filter(|it| it.code.text().and_then(RelationKind::from_code) == Some(RelationKind::Replaces))
                .filter_map(|it| it.target.as_ref()?.reference.text());
            target.is_some() && replaced.map(local_name).any(|name| name == target)
        });
        if replacing.is_none() {
            let found = "a patch of a document that nothing here replaces";
            let expected = "a DocumentReference of this Bundle whose relatesTo replaces the same document";
            self.refuse(Rule::BundleEntry, place, found, expected);
        }
        replacing
    }

    /// Joins a description with the bytes of its Binary.
    fn draft(
        &mut self,
        index: usize,
        place: &str,
        described: Described<'_>,
        scope: Scope<'_>,
        kinds: &mut [ProvidedEntry],
        documents: &mut Documents,
    ) -> Option<DocumentDraft> {
        let (attachment, at) = described.attachment?;
        if attachment.data.is_some() {
            let expected = "attachment.url that names a Binary of the Bundle";
            self.refuse(Rule::BundleEntry, format!("{at}.data"), "the document itself", expected);
        }
        let found = attachment.url.text().and_then(|url| scope.find(url));
        let (Some((entry, binary)), Some(found)) = (
            found.as_ref().and_then(|found| match found.resource {
                Resource::Binary(binary) => Some((found.entry?, binary)),
                _ => None,
            }),
            &found,
        ) else {
            let what = if attachment.url.is_some() { "a reference to no Binary of the Bundle" } else { "nothing" };
            self.refuse(Rule::ReferenceUnresolved, format!("{at}.url"), what, "the fullUrl of a Binary of the Bundle");
            return None;
        };
        if kinds[entry] != ProvidedEntry::Context {
            let what = "a Binary that another document has";
            self.refuse(Rule::BundleEntry, format!("{at}.url"), what, "one Binary for each document");
            return None;
        }
        kinds[entry] = ProvidedEntry::Content(index);
        let (declared, actual) = (attachment.content_type.text(), binary.content_type.text());
        if declared.is_some() && declared != actual {
            let place = format!("{at}.contentType");
            self.refuse(Rule::MimeTypeMismatch, place, "another type than its Binary", "Binary.contentType");
        }
        let Some(received) = binary.data.text().and_then(|data| documents.take(data)) else {
            self.refuse(Rule::EmptyDocument, format!("{}.data", found.place), "nothing", "the document in base64");
            return None;
        };
        Some(DocumentDraft {
            place: place.to_owned(),
            metadata: described.metadata,
            content: received.content,
            declared_hash: described.declared_hash,
            declared_size: described.declared_size,
            relations: described.relations,
        })
    }
}

fn scope_of<'a>(entries: &'a [BundleResource<'a>], contained: &'a [Resource], of: &'a BundleResource<'a>) -> Scope<'a> {
    Scope { entries, contained, place: &of.place }
}

fn member<'m>(it: &'m BundleResource<'_>, resource: &'m DocumentReference, described: &'m Described<'_>) -> Member<'m> {
    Member {
        entry: it.entry,
        place: &it.place,
        subject: resource.subject.as_ref().and_then(|subject| subject.reference.text()),
        patient: described.metadata.patient_id.as_ref(),
    }
}

/// FHIRPath Patch that replaces DocumentReference.status by superseded, and nothing else.
fn marks_superseded(parameters: &Parameters) -> bool {
    let [operation] = parameters.parameter.as_slice() else { return false };
    let part = |name: &str| {
        let mut parts = operation.part.iter().filter(|part| part.name.text() == Some(name));
        parts.next().and_then(parameter_text)
    };
    operation.name.text() == Some("operation")
        && operation.part.len() == 3
        && part("type") == Some("replace")
        && matches!(part("path"), Some("DocumentReference.status" | "status"))
        && part("value") == Some("superseded")
}

fn parameter_text(parameter: &ParametersParameter) -> Option<&str> {
    match parameter.value.as_ref()? {
        ParametersParameterValue::Code(text) | ParametersParameterValue::String(text) => text.value.as_deref(),
        _ => None,
    }
}

/// `DocumentReference/id` or `DocumentReference?…`, without the base and the version.
fn local_name(url: &str) -> Option<&str> {
    let at = url.rfind("DocumentReference")?;
    url[at..].split("/_history/").next()
}

/// A hundred documents, each with its Binary and its patch, and what explains them.
const ENTRIES_MAX: usize = 400;
