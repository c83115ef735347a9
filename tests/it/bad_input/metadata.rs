//! Metadata that are missing, unknown or untrue. A scan has no header from which anything could be completed.

use serde_json::{Value, json};

use crate::support::{Desk, Document, Sent};

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_with_all_its_metadata_is_accepted() {
    let desk = Desk::open().await;
    desk.hospital.deposited(&Document::scan()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mandatory_metadata_of_a_scan_is_asked_for_by_name() {
    let desk = Desk::open().await;
    for (missing, element) in [
        ("/type", "type"),
        ("/masterIdentifier", "masterIdentifier"),
        ("/author", "author"),
        ("/context/facilityType", "context.facilityType"),
        ("/context/practiceSetting", "context.practiceSetting"),
        ("/content/0/attachment/title", "content[0].attachment.title"),
        ("/content/0/attachment/language", "content[0].attachment.language"),
        ("/content/0/attachment/creation", "content[0].attachment.creation"),
    ] {
        let bundle = Document::scan().bundle_with(|bundle| {
            let (parent, key) = missing.rsplit_once('/').unwrap();
            let reference = &mut bundle["entry"][1]["resource"];
            reference.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key).unwrap();
        });
        let place = format!("Bundle.entry[1].resource.{element}");
        desk.refuses(Sent::bundle(&bundle), 422, "missing-metadata", &place).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_missing_is_told_at_once() {
    let desk = Desk::open().await;
    let bundle = Document::scan().bundle_with(|bundle| {
        let reference = bundle["entry"][1]["resource"].as_object_mut().unwrap();
        for element in ["type", "masterIdentifier", "author", "context"] {
            reference.remove(element).unwrap();
        }
    });
    let place = "Bundle.entry[1].resource.masterIdentifier";
    let answer = desk.refuses(Sent::bundle(&bundle), 422, "missing-metadata", place).await;
    assert_eq!(answer.rules(), ["missing-metadata"; 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_without_content_or_status_is_no_document_reference() {
    let desk = Desk::open().await;
    for element in ["content", "status"] {
        let bundle = Document::scan().bundle_with(|bundle| {
            bundle["entry"][1]["resource"].as_object_mut().unwrap().remove(element).unwrap();
        });
        let place = format!("Bundle.entry[1].resource.{element}");
        desk.refuses(Sent::bundle(&bundle), 400, "fhir-structure", &place).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_of_no_value_set_is_refused() {
    let desk = Desk::open().await;
    let format = "Bundle.entry[1].resource.content[0].format";
    for (pointer, code, place) in [
        ("/type", concept("http://loinc.org", "00000-0"), "Bundle.entry[1].resource.type"),
        ("/content/0/format", coding("urn:oid:1.2.250.1.213.1.1.4.2.282", "urn:rien"), format),
        (
            "/context/facilityType",
            concept("urn:oid:1.2.250.1.71.4.2.4", "SA99"),
            "Bundle.entry[1].resource.context.facilityType",
        ),
        (
            "/context/practiceSetting",
            concept("urn:oid:1.2.250.1.213.1.1.4.9", "GARAGE"),
            "Bundle.entry[1].resource.context.practiceSetting",
        ),
        (
            "/securityLabel",
            json!([concept("http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "U")]),
            "Bundle.entry[1].resource.securityLabel[0]",
        ),
    ] {
        let bundle = scan_with(pointer, code);
        desk.refuses(Sent::bundle(&bundle), 422, "unknown-code", place).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_code_under_another_system_is_unknown() {
    let desk = Desk::open().await;
    let bundle = scan_with("/type", concept("urn:oid:1.2.3", "11490-0"));
    desk.refuses(Sent::bundle(&bundle), 422, "unknown-code", "Bundle.entry[1].resource.type").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hash_or_a_size_that_lies_is_refused() {
    let desk = Desk::open().await;
    let attachment = "Bundle.entry[1].resource.content[0].attachment";
    let hash = scan_with("/content/0/attachment/hash", "2jmj7l5rSw0yVb/vlWAYkK/YBwk=".into());
    desk.refuses(Sent::bundle(&hash), 422, "hash-mismatch", &format!("{attachment}.hash")).await;
    let size = scan_with("/content/0/attachment/size", 3.into());
    desk.refuses(Sent::bundle(&size), 422, "size-mismatch", &format!("{attachment}.size")).await;
    let no_hash = scan_with("/content/0/attachment/hash", "QUJD".into());
    desk.refuses(Sent::bundle(&no_hash), 422, "metadata-value", &format!("{attachment}.hash")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_negative_size_is_refused() {
    let desk = Desk::open().await;
    let bundle = scan_with("/content/0/attachment/size", (-1).into());
    let place = "Bundle.entry[1].resource.content[0].attachment.size";
    desk.refuses(Sent::bundle(&bundle), 400, "fhir-structure", place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_document_is_refused() {
    let desk = Desk::open().await;
    for change in [json!(""), Value::Null] {
        let bundle = Document::scan().bundle_with(|bundle| {
            let binary = bundle["entry"][2]["resource"].as_object_mut().unwrap();
            binary.remove("data");
            if change.is_string() {
                binary.insert("data".to_owned(), change);
            }
        });
        let answer = desk.send(Sent::bundle(&bundle)).await;
        assert_eq!(answer.status, http::StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text());
        assert_eq!(answer.rule(), "empty-document", "{}", answer.text());
    }
    desk.is_well_with(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pdf_that_is_none_is_refused() {
    let desk = Desk::open().await;
    let place = "Bundle.entry[1].resource.content[0].attachment.contentType";
    for content in ["MZ\u{90}\0program", "Bonjour", "<html/>"] {
        let bundle = scan_with_bytes(content.as_bytes());
        desk.refuses(Sent::bundle(&bundle), 422, "mime-type-mismatch", place).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_media_type_that_nobody_may_deposit_is_refused() {
    let desk = Desk::open().await;
    let bundle = Document::scan().bundle_with(|bundle| {
        bundle["entry"][1]["resource"]["content"][0]["attachment"]["contentType"] = "text/html".into();
        bundle["entry"][2]["resource"]["contentType"] = "text/html".into();
    });
    let place = "Bundle.entry[1].resource.content[0].attachment.contentType";
    desk.refuses(Sent::bundle(&bundle), 422, "mime-type-mismatch", place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_title_that_is_too_long_is_not_repeated() {
    let desk = Desk::open().await;
    let bundle = scan_with("/content/0/attachment/title", "Lettre ".repeat(30).into());
    let place = "Bundle.entry[1].resource.content[0].attachment.title";
    desk.refuses(Sent::bundle(&bundle), 422, "metadata-value", place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unique_id_that_is_none_is_refused() {
    let desk = Desk::open().await;
    for value in ["urn:oid:1.2.x", "urn:oid:1.2.3^4", "lettre-42", "urn:uuid:abcd"] {
        let bundle = scan_with("/masterIdentifier", json!({ "system": "urn:ietf:rfc:3986", "value": value }));
        let place = "Bundle.entry[1].resource.masterIdentifier.value";
        desk.refuses(Sent::bundle(&bundle), 422, "unique-id-form", place).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_no_deposit_has_is_refused() {
    let desk = Desk::open().await;
    let bundle = scan_with("/status", "entered-in-error".into());
    desk.refuses(Sent::bundle(&bundle), 422, "metadata-value", "Bundle.entry[1].resource.status").await;
}

fn scan_with(pointer: &str, value: Value) -> Value {
    Document::scan().bundle_with(|bundle| {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let reference = &mut bundle["entry"][1]["resource"];
        reference.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(key.to_owned(), value);
    })
}

fn scan_with_bytes(content: &[u8]) -> Value {
    let data = base64_simd::STANDARD.encode_to_string(content);
    Document::scan().bundle_with(|bundle| bundle["entry"][2]["resource"]["data"] = data.into())
}

fn concept(system: &str, code: &str) -> Value {
    json!({ "coding": [coding(system, code)] })
}

fn coding(system: &str, code: &str) -> Value {
    json!({ "system": system, "code": code })
}
