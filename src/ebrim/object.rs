//! Registry objects as a tree: who contains what, nothing of what it means.
//!
//! Classifications and identifiers may be nested in their object or lie beside it and point at it; nested
//! ones may lack the pointer (T-6). Here both become nested. Unknown elements are passed over.

use std::collections::HashMap;

use super::urn::{LCM, RIM};
use crate::refusal::{Refusal, Rule};
use crate::xml::{Element, Token, Tokens, XmlLimits};

/// ITI-42, ITI-41 and METADATA.XML all carry one of these.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubmitObjectsRequest {
    pub extrinsic_objects: Vec<RegistryObject>,
    pub registry_packages: Vec<RegistryObject>,
    pub associations: Vec<Association>,
}

/// An `ExtrinsicObject` or a `RegistryPackage`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistryObject {
    /// A UUID in URN form, or a name that holds within the request.
    pub id: String,
    pub object_type: Option<String>,
    pub mime_type: Option<String>,
    pub status: Option<String>,
    pub name: Option<String>,
    pub description: Option<String>,
    pub slots: Vec<Slot>,
    pub classifications: Vec<Classification>,
    pub external_identifiers: Vec<ExternalIdentifier>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slot {
    pub name: String,
    pub values: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Classification {
    /// The attribute that is classified.
    pub scheme: Option<String>,
    /// The kind of object that a package is.
    pub node: Option<String>,
    pub classified_object: Option<String>,
    pub node_representation: Option<String>,
    pub name: Option<String>,
    pub slots: Vec<Slot>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExternalIdentifier {
    pub scheme: String,
    pub value: String,
    pub registry_object: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Association {
    pub association_type: String,
    pub source_object: String,
    pub target_object: String,
    pub slots: Vec<Slot>,
}

impl SubmitObjectsRequest {
    /// Reads a document whose root is a `SubmitObjectsRequest`.
    ///
    /// Errors: `XmlSyntax`, `XmlForbidden`, `Nesting`, `BodyTooLarge` with the line; `PackageForm` for
    /// another root; `ReferenceUnresolved` for a classification of something that is not there.
    pub fn read(xml: &[u8]) -> Result<Self, Refusal> {
        let mut tokens = Tokens::new(xml, LIMITS)?;
        match tokens.pull()? {
            Token::Open(root) if root.namespace == LCM && root.name == "SubmitObjectsRequest" => {}
            _ => {
                return Err(Refusal::new(
                    Rule::PackageForm,
                    tokens.place(),
                    "another root element",
                    "SubmitObjectsRequest of ebRIM 3.0",
                ));
            }
        }
        let mut reading = Reading::default();
        while let Some(element) = next_child(&mut tokens)? {
            if element.namespace == RIM && element.name == "RegistryObjectList" {
                reading.read_list(&mut tokens)?;
            } else {
                tokens.skip()?;
            }
        }
        tokens.pull()?;
        reading.assembled()
    }
}

/// The values of a slot, wherever its name occurs; blank ones do not count.
pub(super) fn slot_values<'s>(slots: &'s [Slot], name: &str) -> impl Iterator<Item = &'s str> {
    let named = slots.iter().filter(move |slot| slot.name == name);
    named.flat_map(|slot| &slot.values).map(|value| value.trim()).filter(|value| !value.is_empty())
}

/// What has been read so far, with what still has to find its object.
#[derive(Default)]
struct Reading {
    request: SubmitObjectsRequest,
    loose_classifications: Vec<Classification>,
    loose_identifiers: Vec<ExternalIdentifier>,
    objects: usize,
}

impl Reading {
    fn read_list(&mut self, tokens: &mut Tokens<'_>) -> Result<(), Refusal> {
        while let Some(element) = next_child(tokens)? {
            self.objects += 1;
            if self.objects > OBJECTS_MAX {
                return Err(tokens.too_large("more objects", &format!("at most {OBJECTS_MAX} objects")));
            }
            match (element.namespace.as_str(), element.name.as_str()) {
                (RIM, "ExtrinsicObject") => {
                    self.request.extrinsic_objects.push(read_registry_object(tokens, element)?);
                }
                (RIM, "RegistryPackage") => {
                    self.request.registry_packages.push(read_registry_object(tokens, element)?);
                }
                (RIM, "Classification") => self.loose_classifications.push(read_classification(tokens, element)?),
                (RIM, "ExternalIdentifier") => self.loose_identifiers.push(read_identifier(tokens, element)?),
                (RIM, "Association") => self.request.associations.push(read_association(tokens, element)?),
                _ => tokens.skip()?,
            }
        }
        Ok(())
    }

    fn assembled(self) -> Result<SubmitObjectsRequest, Refusal> {
        let Self { mut request, loose_classifications, loose_identifiers, .. } = self;
        let mut objects: HashMap<String, &mut RegistryObject> = HashMap::new();
        for object in request.extrinsic_objects.iter_mut().chain(&mut request.registry_packages) {
            let id = object.id.clone();
            if objects.insert(id.clone(), object).is_some() {
                return Err(Refusal::new(Rule::MetadataValue, "@id", id, "an id that one object has"));
            }
        }
        for classification in loose_classifications {
            let id = classification.classified_object.clone().unwrap_or_default();
            let object = objects.get_mut(&id).ok_or_else(|| unresolved("Classification/@classifiedObject", &id))?;
            object.classifications.push(classification);
        }
        for identifier in loose_identifiers {
            let id = identifier.registry_object.clone().unwrap_or_default();
            let object = objects.get_mut(&id).ok_or_else(|| unresolved("ExternalIdentifier/@registryObject", &id))?;
            object.external_identifiers.push(identifier);
        }
        Ok(request)
    }
}

fn unresolved(place: &str, id: &str) -> Refusal {
    let found = if id.is_empty() { "nothing" } else { id };
    Refusal::new(Rule::ReferenceUnresolved, place, found, "the id of an object of this request")
}

/// The next element inside the one that is open; `None` once that one has closed.
fn next_child(tokens: &mut Tokens<'_>) -> Result<Option<Element>, Refusal> {
    loop {
        match tokens.pull()? {
            Token::Open(element) => return Ok(Some(element)),
            Token::Text(_) => {}
            Token::Close | Token::End => return Ok(None),
        }
    }
}

fn read_registry_object(tokens: &mut Tokens<'_>, mut element: Element) -> Result<RegistryObject, Refusal> {
    let id = element.take("id");
    let mut object = RegistryObject {
        id: id.ok_or_else(|| Refusal::missing(format!("{}, {}/@id", tokens.place(), element.name), "an id"))?,
        object_type: element.take("objectType"),
        mime_type: element.take("mimeType"),
        status: element.take("status"),
        ..RegistryObject::default()
    };
    while let Some(child) = next_child(tokens)? {
        match (child.namespace.as_str(), child.name.as_str()) {
            (RIM, "Slot") => push_slot(&mut object.slots, tokens, child)?,
            (RIM, "Name") => object.name = read_international(tokens)?,
            (RIM, "Description") => object.description = read_international(tokens)?,
            (RIM, "Classification") => object.classifications.push(read_classification(tokens, child)?),
            (RIM, "ExternalIdentifier") => object.external_identifiers.push(read_identifier(tokens, child)?),
            _ => tokens.skip()?,
        }
    }
    Ok(object)
}

fn read_classification(tokens: &mut Tokens<'_>, mut element: Element) -> Result<Classification, Refusal> {
    let mut classification = Classification {
        scheme: element.take("classificationScheme"),
        node: element.take("classificationNode"),
        classified_object: element.take("classifiedObject"),
        node_representation: element.take("nodeRepresentation"),
        ..Classification::default()
    };
    while let Some(child) = next_child(tokens)? {
        match (child.namespace.as_str(), child.name.as_str()) {
            (RIM, "Slot") => push_slot(&mut classification.slots, tokens, child)?,
            (RIM, "Name") => classification.name = read_international(tokens)?,
            _ => tokens.skip()?,
        }
    }
    Ok(classification)
}

fn read_identifier(tokens: &mut Tokens<'_>, mut element: Element) -> Result<ExternalIdentifier, Refusal> {
    let identifier = ExternalIdentifier {
        scheme: element.take("identificationScheme").unwrap_or_default(),
        value: element.take("value").unwrap_or_default(),
        registry_object: element.take("registryObject"),
    };
    tokens.skip()?;
    Ok(identifier)
}

fn read_association(tokens: &mut Tokens<'_>, mut element: Element) -> Result<Association, Refusal> {
    let mut association = Association {
        association_type: element.take("associationType").unwrap_or_default(),
        source_object: element.take("sourceObject").unwrap_or_default(),
        target_object: element.take("targetObject").unwrap_or_default(),
        slots: Vec::new(),
    };
    while let Some(child) = next_child(tokens)? {
        match (child.namespace.as_str(), child.name.as_str()) {
            (RIM, "Slot") => push_slot(&mut association.slots, tokens, child)?,
            _ => tokens.skip()?,
        }
    }
    Ok(association)
}

fn push_slot(slots: &mut Vec<Slot>, tokens: &mut Tokens<'_>, mut element: Element) -> Result<(), Refusal> {
    if slots.len() == SLOTS_MAX {
        return Err(tokens.too_large("more slots", &format!("at most {SLOTS_MAX} in one object")));
    }
    let mut slot = Slot { name: element.take("name").unwrap_or_default(), values: Vec::new() };
    while let Some(child) = next_child(tokens)? {
        if child.namespace == RIM && child.name == "ValueList" {
            read_values(&mut slot.values, tokens)?;
        } else {
            tokens.skip()?;
        }
    }
    slots.push(slot);
    Ok(())
}

fn read_values(values: &mut Vec<String>, tokens: &mut Tokens<'_>) -> Result<(), Refusal> {
    while let Some(child) = next_child(tokens)? {
        if child.namespace != RIM || child.name != "Value" {
            tokens.skip()?;
            continue;
        }
        if values.len() == VALUES_MAX {
            return Err(tokens.too_large("more values", &format!("at most {VALUES_MAX} in one slot")));
        }
        values.push(tokens.text_to_close(VALUE_BYTES_MAX)?);
    }
    Ok(())
}

/// The first text of a `Name` or `Description`: the DMP has one language.
fn read_international(tokens: &mut Tokens<'_>) -> Result<Option<String>, Refusal> {
    let mut text = None;
    while let Some(mut child) = next_child(tokens)? {
        if child.namespace == RIM && child.name == "LocalizedString" && text.is_none() {
            text = child.take("value");
        }
        tokens.skip()?;
    }
    Ok(text)
}

/// A lot of a thousand documents takes about 10 MiB.
const LIMITS: XmlLimits = XmlLimits { message: "metadata", bytes_max: 32 * 1024 * 1024 };
const OBJECTS_MAX: usize = 50_000;
const SLOTS_MAX: usize = 200;
const VALUES_MAX: usize = 1_000;
const VALUE_BYTES_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(list: &str) -> String {
        format!(
            "<q:SubmitObjectsRequest xmlns:q=\"{LCM}\" xmlns:r=\"{RIM}\" xmlns=\"urn:other\">\
             <r:RegistryObjectList>{list}</r:RegistryObjectList></q:SubmitObjectsRequest>"
        )
    }

    fn read(list: &str) -> Result<SubmitObjectsRequest, Rule> {
        SubmitObjectsRequest::read(request(list).as_bytes()).map_err(|refusal| refusal.rule)
    }

    #[test]
    fn nested_and_loose_classifications_become_the_same_tree() {
        let nested = read(
            "<r:ExtrinsicObject id='d'><r:Classification classificationScheme='s' classifiedObject='d'/>\
             <r:ExternalIdentifier identificationScheme='i' value='v' registryObject='d'/></r:ExtrinsicObject>",
        );
        let loose = read(
            "<r:ExternalIdentifier identificationScheme='i' value='v' registryObject='d'/>\
             <r:ExtrinsicObject id='d'/><r:Classification classificationScheme='s' classifiedObject='d'/>",
        );
        assert_eq!(nested, loose);
        assert_eq!(nested.unwrap().extrinsic_objects[0].external_identifiers[0].value, "v");
    }

    #[test]
    fn a_nested_classification_may_lack_its_pointer() {
        let read = read("<r:ExtrinsicObject id='d'><r:Classification classificationScheme='s'/></r:ExtrinsicObject>");
        assert_eq!(read.unwrap().extrinsic_objects[0].classifications[0].scheme.as_deref(), Some("s"));
    }

    #[test]
    fn elements_of_other_namespaces_are_passed_over() {
        let read =
            read("<ExtrinsicObject id='d'/><r:ExtrinsicObject id='e'><Slot name='n'/></r:ExtrinsicObject>").unwrap();
        assert_eq!(read.extrinsic_objects.len(), 1);
        assert!(read.extrinsic_objects[0].slots.is_empty());
    }

    #[test]
    fn values_keep_their_text_whole() {
        let list = "<r:ExtrinsicObject id='d'><r:Slot name='n'><r:ValueList><r:Value> a&amp;<![CDATA[b^]]>&#233;<!-- c -->\
                    </r:Value><r:Value/></r:ValueList></r:Slot></r:ExtrinsicObject>";
        assert_eq!(read(list).unwrap().extrinsic_objects[0].slots[0].values, [" a&b^é", ""]);
    }

    #[test]
    fn what_points_at_nothing_is_refused() {
        assert_eq!(read("<r:Classification classifiedObject='d'/>"), Err(Rule::ReferenceUnresolved));
        assert_eq!(read("<r:ExtrinsicObject id='d'/><r:RegistryPackage id='d'/>"), Err(Rule::MetadataValue));
        assert_eq!(read("<r:ExtrinsicObject/>"), Err(Rule::MissingMetadata));
    }

    #[test]
    fn floods_of_objects_slots_and_values_are_refused() {
        for list in [
            "<r:ObjectRef/>".repeat(OBJECTS_MAX + 1),
            format!("<r:ExtrinsicObject id='d'>{}</r:ExtrinsicObject>", "<r:Slot/>".repeat(SLOTS_MAX + 1)),
            format!(
                "<r:ExtrinsicObject id='d'><r:Slot><r:ValueList>{}</r:ValueList></r:Slot></r:ExtrinsicObject>",
                "<r:Value/>".repeat(VALUES_MAX + 1)
            ),
            format!(
                "<r:ExtrinsicObject id='d'><r:Slot><r:ValueList><r:Value>{}</r:Value></r:ValueList></r:Slot></r:ExtrinsicObject>",
                "v".repeat(VALUE_BYTES_MAX + 1)
            ),
        ] {
            assert_eq!(read(&list), Err(Rule::BodyTooLarge));
        }
    }

    #[test]
    fn another_root_is_refused() {
        let refusal = SubmitObjectsRequest::read(b"<ClinicalDocument xmlns='urn:hl7-org:v3'/>").unwrap_err();
        assert_eq!(refusal.rule, Rule::PackageForm);
        assert_eq!(refusal.place, "metadata, line 1");
    }
}
