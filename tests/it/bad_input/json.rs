//! Messages that are no JSON, no FHIR, or too much of it.

use serde_json::{Value, json};

use crate::support::{Desk, Document, Sent, TestGateway};

#[tokio::test(flavor = "multi_thread")]
async fn broken_json_is_refused_with_line_and_column() {
    let desk = Desk::open().await;
    let text = "{\"resourceType\": \"Bundle\",\n  \"type\": transaction}";
    desk.refuses(Sent::json(text), 400, "json-syntax", "line 2, column 11").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_body_is_refused() {
    let desk = Desk::open().await;
    desk.refuses(Sent::json(""), 400, "json-syntax", "line 1, column 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_cut_anywhere_is_refused() {
    let desk = Desk::open().await;
    let text = Document::discharge_letter().bundle().to_string();
    for part in [1, 2, 10] {
        let answer = desk.send(Sent::json(text[..text.len() / 10 * part - part].to_owned())).await;
        assert_eq!((answer.status.as_u16(), answer.rule().as_str()), (400, "json-syntax"), "{}", answer.text());
    }
    desk.is_well_with(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_utf8_are_refused() {
    let desk = Desk::open().await;
    let text = b"{\"resourceType\":\"Bundle\",\"type\":\"\xe9\"}".to_vec();
    desk.refuses(Sent::json(text), 400, "json-syntax", "byte 33 of the message without its documents").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_another_type_is_refused_at_its_path() {
    let desk = Desk::open().await;
    for (pointer, value, place) in [
        ("/type", json!(1), "Bundle.type"),
        ("/entry", json!({ "resource": 1 }), "Bundle.entry"),
        ("/entry/1/resource/content", json!("x"), "Bundle.entry[1].resource.content"),
        ("/entry/1/resource/status", json!(true), "Bundle.entry[1].resource.status"),
        ("/entry/1/resource/subject", json!([]), "Bundle.entry[1].resource.subject"),
        (
            "/entry/1/resource/content/0/attachment/title",
            json!({ "value": "x" }),
            "Bundle.entry[1].resource.content[0].attachment.title",
        ),
        ("/entry/0/resource/date", json!("le 3 mars"), "Bundle.entry[0].resource.date"),
        ("/entry/2/resource", json!("Binary"), "Bundle.entry[2].resource"),
    ] {
        let bundle = changed(pointer, value);
        desk.refuses(Sent::bundle(&bundle), 400, "fhir-structure", place).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_element_is_refused_at_the_root_inside_and_in_what_is_contained() {
    let desk = Desk::open().await;
    let contained = json!([{ "resourceType": "Patient", "id": "p", "couleur": "bleu" }]);
    for (pointer, value, place) in [
        ("/couleur", json!("bleu"), "Bundle.couleur"),
        (
            "/entry/1/resource/content/0/attachment/couleur",
            json!(1),
            "Bundle.entry[1].resource.content[0].attachment.couleur",
        ),
        ("/entry/1/resource/contained", contained, "Bundle.entry[1].resource.contained[0].couleur"),
    ] {
        let bundle = changed(pointer, value);
        desk.refuses(Sent::bundle(&bundle), 400, "fhir-unknown-element", place).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_element_named_like_an_ins_is_not_told_in_full() {
    let desk = Desk::open().await;
    let bundle = changed("/279035121518989", json!(1));
    desk.refuses(Sent::bundle(&bundle), 400, "fhir-unknown-element", "Bundle.2************89").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_there_twice_is_refused() {
    let desk = Desk::open().await;
    let text = Document::discharge_letter().bundle().to_string();
    let text = text.replacen("\"type\":\"transaction\"", "\"type\":\"transaction\",\"type\":\"batch\"", 1);
    desk.refuses(Sent::json(text), 400, "fhir-structure", "Bundle.type").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extension_that_changes_the_meaning_is_refused() {
    let desk = Desk::open().await;
    let bundle = changed("/entry/1/resource/modifierExtension", json!([{ "url": "urn:x", "valueBoolean": true }]));
    let place = "Bundle.entry[1].resource.modifierExtension";
    desk.refuses(Sent::bundle(&bundle), 400, "fhir-structure", place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_nested_a_hundred_thousand_deep_is_refused() {
    let desk = Desk::open().await;
    let arrays = format!("{{\"resourceType\":\"Bundle\",\"entry\":{}", "[".repeat(100_000));
    let place = format!("Bundle.entry{}", "[0]".repeat(63));
    desk.refuses(Sent::json(arrays), 400, "nesting-too-deep", &place[..200.min(place.len())]).await;
    let objects = "{\"a\":".repeat(100_000);
    let place = format!("resource{}", ".a".repeat(64));
    desk.refuses(Sent::json(objects), 400, "nesting-too-deep", &place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_values_than_a_message_needs_are_refused() {
    let desk = Desk::open().await;
    let text = format!("{{\"resourceType\":\"Bundle\",\"entry\":[{}1]}}", "1,".repeat(60_000));
    desk.refuses(Sent::json(text), 413, "body-too-large", "Bundle.entry[49999]").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn base64_with_other_characters_or_without_its_padding_is_refused() {
    let desk = Desk::open().await;
    for data in ["SGVs*G8=", "SGVsbG8", "SGV=sbG8", "SGVsbG8=é"] {
        let bundle = changed("/entry/2/resource/data", data.into());
        desk.refuses(Sent::bundle(&bundle), 400, "base64", "Bundle.entry[2].resource.data").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_another_kind_is_refused() {
    let desk = Desk::open().await;
    let patient = json!({ "resourceType": "Patient" });
    desk.refuses(Sent::bundle(&patient), 422, "bundle-type", "resourceType").await;
    desk.refuses(Sent::bundle(&changed("/type", "batch".into())), 422, "bundle-type", "Bundle.type").await;
    desk.refuses(Sent::publish(&patient), 400, "fhir-structure", "resourceType").await;
    desk.refuses(Sent::json("[]"), 400, "fhir-structure", "Resource").await;
    desk.refuses(Sent::json("{\"resourceType\":\"Ordonnance\"}"), 400, "fhir-structure", "Ordonnance").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_over_its_limit_is_refused() {
    let builder = TestGateway::builder().configured(|config| config.limits.document_bytes_max = 50_000);
    let desk = Desk::of(builder).await;
    let bundle = Document::scan().with_content(vec![b'x'; 50_001]).bundle();
    desk.refuses(Sent::bundle(&bundle), 413, "body-too-large", "Bundle.entry[2].resource.data").await;
}

/// A good bundle with one value put where the pointer says.
fn changed(pointer: &str, value: Value) -> Value {
    Document::discharge_letter().bundle_with(|bundle| {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        bundle.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(key.to_owned(), value);
    })
}
