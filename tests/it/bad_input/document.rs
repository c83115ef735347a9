//! The CDA itself: what it may not carry, and what it must be.

use crate::support::{Desk, Document, Sent};

const ROOT: &str = "<ClinicalDocument";

#[tokio::test(flavor = "multi_thread")]
async fn a_doctype_alone_is_refused() {
    is_refused("cda-forbidden", |text| text.replacen(ROOT, "<!DOCTYPE ClinicalDocument>\n<ClinicalDocument", 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_billion_laughs_are_refused() {
    let laughs = |i: usize| format!("<!ENTITY l{i} \"{}\">", format!("&l{};", i - 1).repeat(10));
    let entities: Vec<String> = (1..10).map(laughs).collect();
    let bomb = format!("<!DOCTYPE ClinicalDocument [<!ENTITY l0 \"ha\">{}]>", entities.concat());
    is_refused("cda-forbidden", |text| {
        text.replacen(ROOT, &format!("{bomb}{ROOT}"), 1).replacen("<title>", "<title>&l9;", 1)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_entity_is_refused() {
    const DOCTYPE: &str = "<!DOCTYPE ClinicalDocument [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>";
    is_refused("cda-forbidden", |text| {
        text.replacen(ROOT, &format!("{DOCTYPE}{ROOT}"), 1).replacen("<title>", "<title>&e;", 1)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entity_that_nobody_declared_is_refused() {
    is_refused("cda-forbidden", |text| text.replacen("<title>", "<title>&eacute;", 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_is_refused_wherever_it_hides() {
    for script in [
        "<script>alert(1)</script>",
        "<x:script xmlns:x=\"http://www.w3.org/1999/xhtml\"/>",
        "<s:SCRIPT xmlns:s=\"http://www.w3.org/2000/svg\"/>",
    ] {
        is_refused("cda-forbidden", |text| {
            text.replacen("</ClinicalDocument>", &format!("{script}</ClinicalDocument>"), 1)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_self_presenting_document_is_accepted_without_a_script_only() {
    let desk = Desk::open().await;
    let letter = Document::discharge_letter();
    let presented = self_presenting(&String::from_utf8(letter.content.clone()).unwrap(), "<html/>");
    desk.hospital.deposited(&letter.with_content(presented.into_bytes())).await;
    is_refused("cda-forbidden", |text| self_presenting(&text, "<html><script>alert(1)</script></html>")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_nested_ten_thousand_deep_is_refused() {
    let deep = format!("{}{}</ClinicalDocument>", "<a>".repeat(10_000), "</a>".repeat(10_000));
    is_refused("cda-limit", |text| text.replacen("</ClinicalDocument>", &deep, 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_is_cut_short_is_refused() {
    for part in [3, 7] {
        is_refused("cda-syntax", |text| {
            let mut end = text.len() / 10 * part;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text[..end].to_owned()
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_with_another_root_is_refused() {
    is_refused("cda-header", |_| "<html xmlns=\"http://www.w3.org/1999/xhtml\"><body/></html>".to_owned()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_root_is_refused() {
    is_refused("cda-syntax", |text| text + "<ClinicalDocument/>").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_encoding_than_it_says_is_refused() {
    is_refused("cda-syntax", |text| text.replacen("encoding=\"UTF-8\"", "encoding=\"UTF-16\"", 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_lacks_what_is_mandatory_is_refused() {
    is_refused("cda-header", |text| text.replacen("<languageCode code=\"fr-FR\"/>", "", 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_of_another_document_are_refused() {
    let desk = Desk::open().await;
    let bundle = Document::discharge_letter().bundle_with(|bundle| {
        bundle["entry"][1]["resource"]["type"]["coding"][0]["code"] = "11502-2".into();
    });
    desk.refuses(Sent::bundle(&bundle), 422, "cda-metadata-mismatch", "Bundle.entry[1].resource.type").await;
    let other = crate::support::document::new_unique_id();
    let bundle = Document::discharge_letter().bundle_with(|bundle| {
        bundle["entry"][1]["resource"]["masterIdentifier"]["value"] = other.to_urn().into();
    });
    let place = "Bundle.entry[1].resource.masterIdentifier";
    desk.refuses(Sent::bundle(&bundle), 422, "cda-metadata-mismatch", place).await;
}

fn self_presenting(text: &str, page: &str) -> String {
    let document = &text[text.find(ROOT).unwrap()..];
    format!(
        "<xsl:stylesheet xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\" version=\"1.0\">\
         <xsl:template match=\"/\">{page}</xsl:template>\
         <data:Contenu xmlns:data=\"urn:asip-sante:ci-sis\">{document}</data:Contenu></xsl:stylesheet>"
    )
}

/// Deposits the letter with its text changed, by both transactions; the place is inside the document.
async fn is_refused(rule: &str, change: impl Fn(String) -> String) {
    let desk = Desk::open().await;
    let letter = Document::discharge_letter();
    let content = change(String::from_utf8(letter.content.clone()).unwrap());
    let letter = letter.with_content(content.into_bytes());
    desk.refuses(Sent::bundle(&letter.bundle()), 422, rule, "Bundle.entry[1].resource").await;
    desk.refuses(Sent::publish(&letter.simplified()), 422, rule, "DocumentReference").await;
}
