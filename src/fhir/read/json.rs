//! The structure of a message: is it JSON, and is it FHIR R4?
//!
//! Decision (2026): the structure definitions come from `fhirkit`, pinned exactly: it reports every problem with its
//! FHIRPath, and its typed resources are what the readers beside this file work on, so a message is parsed once.
//! Refused: own tables (a second copy of the standard), fhirbolt's types (no paths, 7 minutes of build). Cost: some
//! 100 µs per message. What fhirkit does not look at (empty objects, modifier extensions) is looked at here, and so
//! is the length of lists: the readers look one item up among others.
//!
//! Its messages quote values of the sender; nothing of them is passed on but types and names of the standard.
//! Source: FHIR R4 json.html, extensibility.html#modifierExtension.

use std::fmt::Write as _;

use fhirkit::Json;
use fhirkit::r4::Resource;

use super::cut::{Cut, KEY_BYTES_MAX};
use crate::domain::text::is_text;
use crate::refusal::{Failure, Refusal, Rule};

/// Reads the skeleton of a message as a resource of FHIR R4.
pub(super) fn read_resource(cut: &Cut) -> Result<Resource, Failure> {
    let text = std::str::from_utf8(&cut.skeleton).map_err(|error| {
        let place = format!("byte {} of the message without its documents", error.valid_up_to());
        Refusal::new(Rule::JsonSyntax, place, "bytes that are no UTF-8", "JSON in UTF-8")
    })?;
    let json = Json::parse(text).map_err(|error| {
        let place = cut.place_of(error.line, error.column);
        let expected = error.message.strip_prefix("expected ").unwrap_or(&error.message);
        Refusal::new(Rule::JsonSyntax, place, "text that is no JSON", expected)
    })?;
    let root = json.get("resourceType").and_then(Json::as_str).filter(|name| name.len() <= KEY_BYTES_MAX);
    let root = root.unwrap_or("resource");
    let mut walk = Walk { root, steps: Vec::new(), refusals: Vec::new() };
    walk.check(&json);
    let mut refusals = walk.refusals;
    let (resource, issues) = fhirkit::decode_json::<Resource>(&json);
    for refusal in issues.iter().take(REFUSALS_MAX).map(refusal_of) {
        // A key that is there twice is also reported as unknown.
        if refusals.len() < REFUSALS_MAX && refusals.iter().all(|known| known.place != refusal.place) {
            refusals.push(refusal);
        }
    }
    match resource {
        Some(resource) if refusals.is_empty() => Ok(resource),
        _ if refusals.is_empty() => {
            Err(Refusal::new(Rule::FhirStructure, root, "no resource", "a resource of FHIR R4").into())
        }
        _ => Err(Failure::Refused(refusals)),
    }
}

/// Looks for empty objects, lists that are too long, characters that no text has, and what would change the meaning of everything around it.
struct Walk<'j> {
    root: &'j str,
    /// From the root to where the walk is: written out only where something is refused.
    steps: Vec<Step<'j>>,
    refusals: Vec<Refusal>,
}

enum Step<'j> {
    Member(&'j str),
    Item(usize),
}

impl<'j> Walk<'j> {
    fn check(&mut self, json: &'j Json) {
        if self.refusals.len() >= REFUSALS_MAX {
            return;
        }
        match json {
            Json::Object(members) if members.is_empty() => {
                self.refuse("an empty object", "at least one element; an empty one is left out");
            }
            Json::Object(members) => {
                for (key, value) in members {
                    self.steps.push(Step::Member(key));
                    if MEANING_CHANGERS.contains(&key.as_str()) {
                        self.refuse("an element", "no such element: this server understands none of its values");
                    } else {
                        self.check(value);
                    }
                    self.steps.pop();
                }
            }
            Json::Array(items) if items.len() > ITEMS_MAX => {
                self.refuse(format!("{} items", items.len()), format!("at most {ITEMS_MAX} items in one list"));
            }
            Json::String(text) if !text.chars().all(is_text) => {
                let expected = "no control characters but tab and line ends, and no non-characters";
                self.refuse("a character that no text has", expected);
            }
            Json::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.steps.push(Step::Item(index));
                    self.check(item);
                    self.steps.pop();
                }
            }
            _ => {}
        }
    }

    fn refuse(&mut self, found: impl Into<String>, expected: impl Into<String>) {
        let mut place = self.root.to_owned();
        for step in &self.steps {
            // Writing to a String cannot fail.
            let _ = match step {
                Step::Member(key) => write!(place, ".{key}"),
                Step::Item(index) => write!(place, "[{index}]"),
            };
        }
        self.refusals.push(Refusal::new(Rule::FhirStructure, shortened(&place), found, expected));
    }
}

fn refusal_of(issue: &fhirkit::Issue) -> Refusal {
    let place = shortened(&issue.path);
    let message = issue.message.as_str();
    let structure = |found: &str, expected: &str| Refusal::new(Rule::FhirStructure, place.clone(), found, expected);
    if message == "unknown element" {
        let expected = "an element that FHIR R4 defines here";
        return Refusal::new(Rule::UnknownElement, place, "an unknown element", expected);
    }
    if message == "required element missing" {
        return structure("nothing", "this element: it is required");
    }
    if let Some((expected, found)) = message.strip_prefix("expected ").and_then(|text| text.rsplit_once(", found ")) {
        let found = if JSON_TYPES.contains(&found) { found } else { "another value" };
        return structure(found, expected);
    }
    // "… is not a valid date", "… is not a FHIR integer": the head quotes the value.
    for infix in [" is not a valid ", " is not a FHIR ", " is not a ", " is not an ", " is outside the "] {
        if let Some((_, form)) = message.rsplit_once(infix) {
            if form.contains("resource type") {
                return structure("another type of resource", "a type of resource that this server reads");
            }
            return structure("a value of another form", form);
        }
    }
    let known =
        ["the key appears more than once", "an empty ", "null ", "only one type may be given", "has ", "needs "];
    let found = if known.iter().any(|start| message.starts_with(start)) { message } else { "something else" };
    structure(found, "the form that FHIR R4 defines here")
}

fn shortened(place: &str) -> String {
    place.chars().take(PLACE_CHARS_MAX).collect()
}

const MEANING_CHANGERS: [&str; 2] = ["modifierExtension", "implicitRules"];

const JSON_TYPES: [&str; 6] = ["null", "a boolean", "a number", "a string", "an array", "an object"];

/// Enough to mend a message; more would make the answer larger than the question.
const REFUSALS_MAX: usize = 20;

const PLACE_CHARS_MAX: usize = 200;

/// A Bundle of a deposit has up to 400 entries; no other list of a real message comes near.
const ITEMS_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::cut::Cutter;
    use super::*;
    use crate::config::Limits;
    use crate::spool::SpoolSettings;

    fn read(text: &str) -> Result<Resource, Vec<Refusal>> {
        let settings = SpoolSettings { directory: Arc::new(std::env::temp_dir()), memory_bytes_max: 1 << 20 };
        let mut cutter = Cutter::new(&Limits::default(), settings);
        let cut = cutter.push(text.as_bytes()).and_then(|()| cutter.finish());
        match cut.and_then(|cut| read_resource(&cut)) {
            Ok(resource) => Ok(resource),
            Err(Failure::Refused(refusals) | Failure::Journaled(refusals)) => Err(refusals),
            Err(fault) => panic!("{fault}"),
        }
    }

    /// Rule, place, found and expected of the only refusal.
    fn refused(text: &str) -> (Rule, String, String, String) {
        let mut refusals = read(text).unwrap_err();
        assert_eq!(refusals.len(), 1, "{refusals:?}");
        let refusal = refusals.remove(0);
        (refusal.rule, refusal.place, refusal.found, refusal.expected)
    }

    fn rule_and_place(text: &str) -> (Rule, String) {
        let (rule, place, ..) = refused(text);
        (rule, place)
    }

    #[test]
    fn a_sound_resource_is_read() {
        let text = r#"{"resourceType":"Bundle","type":"transaction","entry":[{"resource":
            {"resourceType":"Binary","contentType":"text/plain","data":"QQ=="}}]}"#;
        assert_eq!(read(text).unwrap().resource_type(), "Bundle");
    }

    #[test]
    fn broken_json_is_refused_with_line_and_column() {
        let (rule, place, ..) = refused("{\"resourceType\":\"Patient\",\n  \"active\": tru }");
        assert_eq!((rule, place.as_str()), (Rule::JsonSyntax, "line 2, column 13"));
        for broken in ["", "{", "{\"a\":1", "{}x", "[1,]", "nul", "{\"resourceType\":\"Patient\"}{}"] {
            assert_eq!(rule_and_place(broken).0, Rule::JsonSyntax, "{broken}");
        }
    }

    #[test]
    fn bytes_that_are_no_utf8_are_refused() {
        let settings = SpoolSettings { directory: Arc::new(std::env::temp_dir()), memory_bytes_max: 1 << 20 };
        let mut cutter = Cutter::new(&Limits::default(), settings);
        cutter.push(b"{\"resourceType\":\"\xff\"}").unwrap();
        let failure = read_resource(&cutter.finish().unwrap()).unwrap_err();
        assert!(matches!(failure, Failure::Refused(refusals) if refusals[0].rule == Rule::JsonSyntax));
    }

    #[test]
    fn a_character_that_no_text_has_is_refused_where_it_is() {
        for character in [r"\u0000", r"\u001b", r"\ufffe"] {
            let text = format!(r#"{{"resourceType":"Patient","name":[{{"family":"D{character}"}}]}}"#);
            assert_eq!(rule_and_place(&text), (Rule::FhirStructure, "Patient.name[0].family".to_owned()));
        }
        assert!(read(r#"{"resourceType":"Patient","name":[{"family":"D\té\n"}]}"#).is_ok());
    }

    #[test]
    fn an_unknown_element_is_named_by_its_path() {
        let text = r#"{"resourceType":"Bundle","type":"transaction","entry":[{"resource":
            {"resourceType":"DocumentReference","status":"current","content":[{"attachment":{"bad":1}}]}}]}"#;
        let expected = "Bundle.entry[0].resource.content[0].attachment.bad".to_owned();
        assert_eq!(rule_and_place(text), (Rule::UnknownElement, expected));
        let comment = r#"{"resourceType":"Patient","colour":["x"]}"#;
        assert_eq!(rule_and_place(comment), (Rule::UnknownElement, "Patient.colour".to_owned()));
    }

    #[test]
    fn wrong_types_say_what_was_found_and_what_was_expected() {
        let text = r#"{"resourceType":"Patient","active":"yes"}"#;
        let (rule, place, found, expected) = refused(text);
        assert_eq!((rule, place.as_str()), (Rule::FhirStructure, "Patient.active"));
        assert_eq!((found.as_str(), expected.as_str()), ("a string", "true or false"));
        let array = r#"{"resourceType":"DocumentReference","status":"current","content":{"attachment":{"title":"t"}}}"#;
        let (rule, place, found, _) = refused_first(array);
        assert_eq!(
            (rule, place.as_str(), found.as_str()),
            (Rule::FhirStructure, "DocumentReference.content", "an object")
        );
    }

    fn refused_first(text: &str) -> (Rule, String, String, String) {
        let refusal = read(text).unwrap_err().remove(0);
        (refusal.rule, refusal.place, refusal.found, refusal.expected)
    }

    #[test]
    fn values_of_another_form_are_refused_without_being_quoted() {
        for (text, place) in [
            (r#"{"resourceType":"Patient","birthDate":"le 3 mai 1980"}"#, "Patient.birthDate"),
            (r#"{"resourceType":"Patient","gender":" male "}"#, "Patient.gender"),
            (r#"{"resourceType":"Patient","multipleBirthInteger":1980.5}"#, "Patient.multipleBirthInteger"),
            (r#"{"resourceType":"Patient","multipleBirthInteger":19805000000}"#, "Patient.multipleBirthInteger"),
        ] {
            let (rule, at, found, expected) = refused(text);
            assert_eq!((rule, at.as_str()), (Rule::FhirStructure, place));
            assert!(!format!("{found}{expected}").contains("80"), "{found} {expected}");
        }
    }

    #[test]
    fn what_is_required_what_is_empty_and_what_is_twice_there_is_refused() {
        for (text, place) in [
            (r#"{"resourceType":"DocumentReference","status":"current"}"#, "DocumentReference.content"),
            (r#"{"resourceType":"Patient","name":[]}"#, "Patient.name"),
            (r#"{"resourceType":"Patient","name":[{}]}"#, "Patient.name[0]"),
            (r#"{"resourceType":"Patient","language":""}"#, "Patient.language"),
            (r#"{"resourceType":"Patient","active":true,"active":true}"#, "Patient.active"),
            (r#"{"resourceType":"Patient","active":null}"#, "Patient.active"),
        ] {
            assert_eq!(rule_and_place(text), (Rule::FhirStructure, place.to_owned()), "{text}");
        }
    }

    #[test]
    fn elements_that_change_the_meaning_of_others_are_refused() {
        for (text, place) in [
            (r#"{"resourceType":"Patient","implicitRules":"urn:x"}"#, "Patient.implicitRules"),
            (r#"{"resourceType":"Patient","modifierExtension":[{"url":"urn:x"}]}"#, "Patient.modifierExtension"),
        ] {
            assert_eq!(rule_and_place(text), (Rule::FhirStructure, place.to_owned()));
        }
    }

    #[test]
    fn a_message_that_is_no_resource_is_refused() {
        for text in ["1", "[]", "null", r#"{"resourceType":"Patience"}"#, r#"{"resourceType":1}"#, r#"{"id":"a"}"#] {
            assert_eq!(rule_and_place(text).0, Rule::FhirStructure, "{text}");
        }
    }

    #[test]
    fn a_list_of_more_than_1000_items_is_refused() {
        let with = |items: usize| {
            let items = vec![r#"{"text":"a"}"#; items].join(",");
            read(&format!(r#"{{"resourceType":"Patient","name":[{items}]}}"#))
        };
        assert!(with(1_000).is_ok());
        let refusals = with(1_001).unwrap_err();
        assert_eq!((refusals[0].place.as_str(), refusals[0].found.as_str()), ("Patient.name", "1001 items"));
    }

    #[test]
    fn a_name_that_is_too_long_is_no_part_of_a_place() {
        let text = format!(r#"{{"resourceType":"{}","a":[{{}}]}}"#, "P".repeat(KEY_BYTES_MAX + 1));
        assert_eq!(read(&text).unwrap_err()[0].place, "resource.a[0]");
    }

    #[test]
    fn many_errors_make_a_short_answer() {
        let text = format!(r#"{{"resourceType":"Patient","name":[{}1]}}"#, "1,".repeat(900));
        assert_eq!(read(&text).unwrap_err().len(), REFUSALS_MAX);
    }
}
