//! How a Bundle hangs together: one submission set, one Binary for each document, nothing loose.

use serde_json::{Value, json};

use crate::support::{Desk, Document, Sent};

#[tokio::test(flavor = "multi_thread")]
async fn two_submission_sets_or_none_are_refused() {
    let desk = Desk::open().await;
    let two = Document::discharge_letter().bundle_with(|bundle| {
        let mut second = bundle["entry"][0].clone();
        second["fullUrl"] = "urn:uuid:00000000-0000-4000-8000-000000000001".into();
        entries(bundle).push(second);
    });
    desk.refuses(Sent::bundle(&two), 422, "submission-set-count", "Bundle.entry").await;
    let none = Document::discharge_letter().bundle_with(|bundle| drop(entries(bundle).remove(0)));
    desk.refuses(Sent::bundle(&none), 422, "submission-set-count", "Bundle.entry").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_without_a_document_is_refused() {
    let desk = Desk::open().await;
    let bundle = Document::discharge_letter().bundle_with(|bundle| {
        entries(bundle).truncate(1);
        bundle["entry"][0]["resource"].as_object_mut().unwrap().remove("entry");
    });
    desk.refuses(Sent::bundle(&bundle), 422, "bundle-entry", "Bundle.entry").await;
    let nothing = json!({ "resourceType": "Bundle", "type": "transaction" });
    desk.refuses(Sent::bundle(&nothing), 422, "bundle-entry", "Bundle.entry").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_to_a_binary_that_is_not_there_is_refused() {
    let desk = Desk::open().await;
    let place = "Bundle.entry[1].resource.content[0].attachment.url";
    let removed = Document::discharge_letter().bundle_with(|bundle| drop(entries(bundle).remove(2)));
    desk.refuses(Sent::bundle(&removed), 422, "reference-unresolved", place).await;
    for url in ["https://ailleurs.example/Binary/1", "Binary/1", "#b"] {
        let elsewhere = Document::discharge_letter().bundle_with(|bundle| {
            bundle["entry"][1]["resource"]["content"][0]["attachment"]["url"] = url.into();
        });
        desk.refuses(Sent::bundle(&elsewhere), 422, "reference-unresolved", place).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binary_that_nothing_refers_to_is_refused() {
    let desk = Desk::open().await;
    let bundle = Document::discharge_letter().bundle_with(|bundle| {
        let mut unused = bundle["entry"][2].clone();
        unused["fullUrl"] = "urn:uuid:00000000-0000-4000-8000-000000000002".into();
        entries(bundle).push(unused);
    });
    desk.refuses(Sent::bundle(&bundle), 422, "bundle-entry", "Bundle.entry[3].resource").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_the_set_does_not_name_is_refused() {
    let desk = Desk::open().await;
    let bundle = Document::discharge_letter().bundle_with(|bundle| {
        bundle["entry"][0]["resource"].as_object_mut().unwrap().remove("entry");
    });
    desk.refuses(Sent::bundle(&bundle), 422, "bundle-entry", "Bundle.entry[1].resource").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_names_a_document_that_is_not_there_is_refused() {
    let desk = Desk::open().await;
    let bundle = Document::discharge_letter().bundle_with(|bundle| {
        let members = bundle["entry"][0]["resource"]["entry"].as_array_mut().unwrap();
        members.push(json!({ "item": { "reference": "urn:uuid:00000000-0000-4000-8000-000000000003" } }));
    });
    desk.refuses(Sent::bundle(&bundle), 422, "reference-unresolved", "Bundle.entry[0].resource.entry[1].item").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unique_id_twice_in_one_bundle_is_refused() {
    let desk = Desk::open().await;
    let first = Document::discharge_letter();
    let twice = first.bundle_with(|bundle| {
        let (reference, binary) =
            ("urn:uuid:00000000-0000-4000-8000-000000000004", "urn:uuid:00000000-0000-4000-8000-000000000005");
        let mut copies = [bundle["entry"][1].clone(), bundle["entry"][2].clone()];
        copies[0]["fullUrl"] = reference.into();
        copies[0]["resource"]["content"][0]["attachment"]["url"] = binary.into();
        copies[1]["fullUrl"] = binary.into();
        entries(bundle).extend(copies);
        let members = bundle["entry"][0]["resource"]["entry"].as_array_mut().unwrap();
        members.push(json!({ "item": { "reference": reference } }));
    });
    let place = "Bundle.entry[3].resource.masterIdentifier";
    desk.refuses(Sent::bundle(&twice), 422, "unique-id-twice", place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unique_id_of_a_set_that_was_sent_before_is_refused() {
    let desk = Desk::open().await;
    let first = Document::discharge_letter();
    desk.hospital.deposited(&first).await;
    let again = Document::discharge_letter().bundle_with(|bundle| {
        bundle["entry"][0]["resource"]["identifier"] = first.bundle()["entry"][0]["resource"]["identifier"].clone();
    });
    let place = "Bundle.entry[0].resource.identifier";
    desk.refuses(Sent::bundle(&again), 409, "duplicate-unique-id", place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_of_another_kind_or_with_another_request_is_refused() {
    let desk = Desk::open().await;
    let bundle = json!({ "resourceType": "Bundle", "type": "batch" });
    for (pointer, value, place) in [
        ("/entry/1/request/method", json!("PUT"), "Bundle.entry[1].request.method"),
        ("/entry/1/request/url", json!("Binary"), "Bundle.entry[1].request.url"),
        ("/entry/2/resource", bundle, "Bundle.entry[2].resource"),
    ] {
        let bundle = Document::discharge_letter().bundle_with(|bundle| *bundle.pointer_mut(pointer).unwrap() = value);
        desk.refuses(Sent::bundle(&bundle), 422, "bundle-entry", place).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_that_no_deposit_holds_is_refused() {
    let desk = Desk::open().await;
    let bundle = Document::discharge_letter().bundle_with(|bundle| {
        let code = json!({ "text": "x" });
        bundle["entry"][2]["resource"] = json!({ "resourceType": "Observation", "status": "final", "code": code });
    });
    desk.refuses(Sent::bundle(&bundle), 400, "fhir-structure", "Bundle.entry[2].resource").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simplified_publish_without_its_document_is_refused() {
    let desk = Desk::open().await;
    let mut reference = Document::discharge_letter().simplified();
    reference["content"][0]["attachment"].as_object_mut().unwrap().remove("data");
    let place = "DocumentReference.content[0].attachment.data";
    desk.refuses(Sent::publish(&reference), 422, "empty-document", place).await;
}

fn entries(bundle: &mut Value) -> &mut Vec<Value> {
    bundle["entry"].as_array_mut().unwrap()
}
