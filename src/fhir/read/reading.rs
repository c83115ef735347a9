//! What every reader of a resource needs: values, codes and references, and the list of what is wrong with them.

use fhirkit::Primitive;
use fhirkit::r4::{CodeableConcept, Coding, Extension, ExtensionValue, Identifier, Reference, Resource};

use crate::domain::code::Code;
use crate::domain::dtm::Dtm;
use crate::domain::value_set::Terminology;
use crate::refusal::{Failure, Refusal, Rule};

/// One message being read: problems are collected, so that a sender can mend them all at once.
pub(super) struct Reading<'a> {
    terminology: &'a Terminology,
    refusals: Vec<Refusal>,
}

/// A resource of the Bundle that is read.
pub(super) struct BundleResource<'a> {
    /// Index of its entry.
    pub(super) entry: usize,
    pub(super) full_url: Option<&'a str>,
    pub(super) resource: &'a Resource,
    pub(super) place: String,
}

/// Where the references of one resource may lead to.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) entries: &'a [BundleResource<'a>],
    pub(super) contained: &'a [Resource],
    /// Of the resource that contains them.
    pub(super) place: &'a str,
}

/// Where a reference led to.
pub(super) struct Found<'a> {
    pub(super) resource: &'a Resource,
    pub(super) place: String,
    pub(super) scope: Scope<'a>,
    /// `None` for a contained resource.
    pub(super) entry: Option<usize>,
}

/// The text of a primitive that may be absent.
pub(super) trait Text {
    fn text(&self) -> Option<&str>;
}

impl Text for Option<Primitive<String>> {
    fn text(&self) -> Option<&str> {
        self.as_ref()?.value.as_deref()
    }
}

impl<'a> Reading<'a> {
    pub(super) fn new(terminology: &'a Terminology) -> Self {
        Self { terminology, refusals: Vec::new() }
    }

    pub(super) fn refuse(
        &mut self,
        rule: Rule,
        place: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) {
        self.add(Refusal::new(rule, place, found, expected));
    }

    pub(super) fn add(&mut self, refusal: Refusal) {
        if self.refusals.len() < REFUSALS_MAX && !self.refusals.contains(&refusal) {
            self.refusals.push(refusal);
        }
    }

    /// The value, if nothing at all was wrong.
    pub(super) fn finish<T>(self, value: T) -> Result<T, Failure> {
        if self.refusals.is_empty() { Ok(value) } else { Err(Failure::Refused(self.refusals)) }
    }

    pub(super) fn system(&self, system: &str) -> String {
        self.terminology.canonical_system(system)
    }

    /// The first coding that has a code: XDS keeps one code per attribute.
    pub(super) fn code(&mut self, concept: &CodeableConcept, place: &str) -> Option<Code> {
        let Some(index) = concept.coding.iter().position(|coding| coding.code.text().is_some()) else {
            self.refuse(Rule::MissingMetadata, format!("{place}.coding"), "no code", "a code with its system");
            return None;
        };
        self.coding(&concept.coding[index], &format!("{place}.coding[{index}]"))
    }

    pub(super) fn coding(&mut self, coding: &Coding, place: &str) -> Option<Code> {
        let (Some(system), Some(code)) = (coding.system.text(), coding.code.text()) else {
            self.refuse(Rule::MissingMetadata, place, "a code or a system alone", "a code with its system");
            return None;
        };
        let code = Code::new(&self.system(system), code);
        Some(match coding.display.text() {
            Some(display) => code.with_display(display),
            None => code,
        })
    }

    pub(super) fn time(&mut self, text: Option<&str>, place: &str) -> Option<Dtm> {
        let parsed = Dtm::from_fhir(text?);
        parsed
            .map_err(|error| {
                self.refuse(Rule::MetadataValue, place, "a date that does not exist or is too fine", error.to_string());
            })
            .ok()
    }
}

impl<'a> Scope<'a> {
    /// Of a resource that came alone.
    pub(super) fn alone(contained: &'a [Resource], place: &'a str) -> Self {
        Self { entries: &[], contained, place }
    }

    /// Follows a reference inside the message: `#id`, the fullUrl of an entry, or `Type/id` of one.
    pub(super) fn find(self, reference: &str) -> Option<Found<'a>> {
        if let Some(id) = reference.strip_prefix('#') {
            let index = self.contained.iter().position(|resource| resource.id() == Some(id))?;
            let place = format!("{}.contained[{index}]", self.place);
            return Some(Found { resource: &self.contained[index], place, scope: self, entry: None });
        }
        let same_url = self.entries.iter().find(|entry| entry.full_url == Some(reference));
        let found = same_url.or_else(|| {
            let (kind, id) = reference.split_once('/')?;
            let suffix = format!("/{reference}");
            self.entries.iter().find(|entry| {
                entry.full_url.is_some_and(|url| url.ends_with(&suffix))
                    || (entry.resource.resource_type() == kind && entry.resource.id() == Some(id))
            })
        })?;
        let scope = Self { entries: self.entries, contained: contained_in(found.resource), place: &found.place };
        Some(Found { resource: found.resource, place: found.place.clone(), scope, entry: Some(found.entry) })
    }
}

/// The extension of that definition; IHE changed the scheme of its URLs from http to https (T-16).
pub(super) fn extension<'a>(extensions: &'a [Extension], url: &str) -> Option<(usize, &'a ExtensionValue)> {
    let without_scheme = |url: &str| url.split_once("://").map_or_else(|| url.to_owned(), |(_, rest)| rest.to_owned());
    let index = extensions.iter().position(|extension| {
        extension.url.as_deref().is_some_and(|known| without_scheme(known) == without_scheme(url))
    })?;
    Some((index, extensions[index].value.as_ref()?))
}

/// `[base/]Type?identifier=system|value`: a conditional reference. The token, decoded.
pub(super) fn conditional_token(reference: &str, kind: &str) -> Option<String> {
    let (path, query) = reference.split_once('?')?;
    let token = query.strip_prefix("identifier=")?;
    (path == kind || path.ends_with(&format!("/{kind}"))).then(|| percent_decoded(token))
}

/// System and value of an identifier, or of the token that stands for it.
pub(super) fn system_and_value(identifier: &Identifier) -> Option<(&str, &str)> {
    Some((identifier.system.text().unwrap_or_default(), identifier.value.text()?))
}

/// Which type of resource a reference says that it leads to.
pub(super) fn referenced_type(reference: &Reference) -> Option<&str> {
    let kind = reference.type_.text();
    kind.or_else(|| reference.reference.text()?.rsplit('/').nth(1))
}

fn contained_in(resource: &Resource) -> &[Resource] {
    match resource {
        Resource::DocumentReference(it) => &it.contained,
        Resource::List(it) => &it.contained,
        Resource::Patient(it) => &it.contained,
        Resource::Practitioner(it) => &it.contained,
        Resource::PractitionerRole(it) => &it.contained,
        Resource::Organization(it) => &it.contained,
        Resource::Device(it) => &it.contained,
        _ => &[],
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *first == b'%');
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

const REFUSALS_MAX: usize = 20;
