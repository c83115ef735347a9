//! FHIR XML: what its parsers are attacked with.

use crate::support::{Desk, Sent};

const HEAD: &str = "<Bundle xmlns=\"http://hl7.org/fhir\"><type value=\"transaction\"/>";

#[tokio::test(flavor = "multi_thread")]
async fn a_doctype_is_refused_with_or_without_entities() {
    let desk = Desk::open().await;
    let bomb = "<!DOCTYPE b [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;\">]>";
    let external = "<!DOCTYPE b [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>";
    for doctype in ["<!DOCTYPE Bundle>", bomb, external] {
        let text = format!("{doctype}{HEAD}</Bundle>");
        desk.refuses(Sent::xml(text), 400, "xml-forbidden", "line 1").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entity_is_refused_in_a_value_and_between_elements() {
    let desk = Desk::open().await;
    for inside in ["<id value=\"&x;\"/>", "&x;", "<id value=\"&#0;\"/>"] {
        desk.refuses(Sent::xml(format!("{HEAD}{inside}</Bundle>")), 400, "xml-forbidden", "line 1").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn xml_nested_a_hundred_thousand_deep_is_refused() {
    let desk = Desk::open().await;
    let text = format!("{HEAD}{}", "<entry>".repeat(100_000));
    desk.refuses(Sent::xml(text), 400, "nesting-too-deep", "line 1").await;
    let narrative = format!("{HEAD}<text><div xmlns=\"http://www.w3.org/1999/xhtml\">{}", "<p>".repeat(100_000));
    desk.refuses(Sent::xml(narrative), 400, "nesting-too-deep", "line 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_thousand_attributes_are_refused() {
    let desk = Desk::open().await;
    let attributes: Vec<String> = (0..40_000).map(|i| format!(" a{i}=\"\"")).collect();
    let text = format!("{HEAD}\n<id{}/></Bundle>", attributes.concat());
    desk.refuses(Sent::xml(text), 400, "nesting-too-deep", "line 2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_roots_no_root_and_a_cut_message_are_refused() {
    let desk = Desk::open().await;
    let two = format!("{HEAD}</Bundle>{HEAD}</Bundle>");
    for text in [two.as_str(), "", "<?xml version=\"1.0\"?>", HEAD, "<Bundle xmlns=\"http://hl7.org/fhir\"><ty", "text"]
    {
        desk.refuses(Sent::xml(text.to_owned()), 400, "xml-syntax", "line 1").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fhir_has_no_place_for_is_refused() {
    let desk = Desk::open().await;
    let in_bundle = |inside: &str| Sent::xml(format!("{HEAD}{inside}</Bundle>"));
    desk.refuses(in_bundle("<![CDATA[x]]>"), 400, "xml-forbidden", "line 1").await;
    desk.refuses(in_bundle("<?php x?>"), 400, "xml-forbidden", "line 1").await;
    desk.refuses(in_bundle("<id valeur=\"x\"/>"), 400, "fhir-unknown-element", "line 1").await;
    desk.refuses(in_bundle("<couleur value=\"x\"/>"), 400, "fhir-unknown-element", "Bundle").await;
    desk.refuses(in_bundle("<x xmlns=\"urn:autre\"/>"), 400, "xml-syntax", "line 1").await;
    desk.refuses(Sent::xml("<Bundle/>"), 400, "xml-syntax", "line 1").await;
    desk.refuses(Sent::xml(b"<Bundle>\xe9".to_vec()), 400, "xml-syntax", "byte 8").await;
    let latin = format!("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>{HEAD}</Bundle>");
    desk.refuses(Sent::xml(latin), 400, "xml-syntax", "line 1").await;
}
