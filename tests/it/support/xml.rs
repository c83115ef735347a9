//! Messages in XML, written as JSON.

use serde_json::{Value, json};

/// A message of FHIR as its XML.
pub(crate) fn xml_of(message: &Value) -> Vec<u8> {
    carnet::fhir::read::json_to_xml(type_first(message).as_bytes()).expect("FHIR")
}

/// The XML writer wants to know first which resource it writes.
fn type_first(value: &Value) -> String {
    let list = |parts: Vec<String>| parts.join(",");
    match value {
        Value::Object(members) => {
            let (first, rest): (Vec<_>, Vec<_>) = members.iter().partition(|(key, _)| *key == "resourceType");
            let all = first.into_iter().chain(rest);
            format!("{{{}}}", list(all.map(|(key, member)| format!("{}:{}", json!(key), type_first(member))).collect()))
        }
        Value::Array(items) => format!("[{}]", list(items.iter().map(type_first).collect())),
        other => other.to_string(),
    }
}
