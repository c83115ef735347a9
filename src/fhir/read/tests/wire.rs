//! How a message arrives: limits, formats, XML, and whatever bytes there are.

use super::*;

#[test]
fn bodies_over_the_limit_or_broken_off_are_refused() {
    let body = bundle().to_string();
    let limits = Limits { body_bytes_max: 100, xml_body_bytes_max: 100, ..Limits::default() };
    for format in [WireFormat::Json, WireFormat::Xml] {
        assert_eq!(refused(read_in(format, body.as_bytes(), &limits, 10)), at(Rule::BodyTooLarge, "message"));
    }
    let half = &body.as_bytes()[..body.len() / 2];
    assert_eq!(refused(read(WireFormat::Json, half)).0, Rule::JsonSyntax);
    let broken = Failure::from(Refusal::new(Rule::BodyIncomplete, "message", "half", "all"));
    let pieces = stream::iter([Ok(Bytes::from_static(b"{")), Err(broken)]);
    let result =
        block_on(read_message(WireFormat::Json, pieces, &Limits::default(), spool(), xml_bytes(&Limits::default())));
    assert_eq!(refused(result).0, Rule::BodyIncomplete);
}

#[test]
fn content_types_name_the_format() {
    for (text, format) in [
        ("application/fhir+json", WireFormat::Json),
        ("application/fhir+json; fhirVersion=4.0; charset=UTF-8", WireFormat::Json),
        ("Application/JSON", WireFormat::Json),
        ("application/fhir+xml;charset=\"utf-8\"", WireFormat::Xml),
    ] {
        assert_eq!(WireFormat::of_content_type(Some(text)), Ok(format));
    }
    for bad in
        [None, Some("text/plain"), Some("application/fhir+json;fhirVersion=5.0"), Some("text/xml;charset=latin1")]
    {
        assert_eq!(WireFormat::of_content_type(bad).unwrap_err().rule, Rule::MediaType);
    }
}

/// The bundle as an XML client would send it: prefixed, with schema location and narrative.
fn bundle_xml() -> String {
    let xml = String::from_utf8(json_to_xml(bundle().to_string().as_bytes()).unwrap()).unwrap();
    let body = xml.split_once("?>").map_or(xml.as_str(), |(_, body)| body);
    let body = body.replace("</", "</f:").replace('<', "<f:").replace("<f:/f:", "</f:");
    let body = body.replacen("xmlns=", "xmlns:f=", 1).replacen(
        "<f:Bundle ",
        "<f:Bundle xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:schemaLocation=\"http://hl7.org/fhir x.xsd\" ",
        1,
    );
    let narrative = "<f:text><f:status value=\"generated\"/><div xmlns=\"http://www.w3.org/1999/xhtml\" xml:lang=\"fr\">\
                     <p>Bonjour <b>tout</b> le monde &amp; &#233;</p></div></f:text>";
    let body = body.replacen("<f:List>", &format!("<f:List>{narrative}"), 1);
    format!("<?xml version=\"1.0\" encoding=\"utf-8\" standalone=\"yes\"?>\n<!-- c -->{body}\n")
}

#[test]
fn the_same_bundle_in_xml_is_the_same_deposit() {
    let message = read(WireFormat::Xml, bundle_xml().as_bytes()).unwrap();
    let from_xml = iti65::read_provided(message, &Terminology::load().unwrap()).unwrap();
    let from_json = provide(&bundle()).unwrap();
    assert_eq!(from_xml.entries, from_json.entries);
    assert_eq!(format!("{:?}", from_xml.request), format!("{:?}", from_json.request));
}

#[test]
fn xml_that_attacks_is_refused_before_the_converter_sees_it() {
    let resource = |inner: &str| format!("<Patient xmlns=\"http://hl7.org/fhir\">{inner}</Patient>");
    let deep = format!("{}{}", "<contained>".repeat(10_000), "</contained>".repeat(10_000));
    let wide = (0..40).map(|i| format!("a{i}=\"x\"")).collect::<Vec<_>>().join(" ");
    for (xml, rule) in [
        (format!("<!DOCTYPE x [<!ENTITY a \"b\">]>{}", resource("<id value=\"&a;\"/>")), Rule::XmlForbidden),
        (resource("<id value=\"&a;\"/>"), Rule::XmlForbidden),
        (resource("&a;"), Rule::XmlForbidden),
        (resource("<?php x?>"), Rule::XmlForbidden),
        (resource("<![CDATA[x]]>"), Rule::XmlForbidden),
        (resource(&deep), Rule::Nesting),
        (resource(&format!("<id {wide}/>")), Rule::Nesting),
        (resource(&"<name/>".repeat(60_000)), Rule::BodyTooLarge),
        (resource("text"), Rule::XmlSyntax),
        (resource("<id value=\"1\">"), Rule::XmlSyntax),
        (format!("{}{}", resource(""), resource("")), Rule::XmlSyntax),
        ("<Patient xmlns=\"http://hl7.org/fhir\"><active value=\"true\"/>".to_owned(), Rule::XmlSyntax),
        ("<Patient/>".to_owned(), Rule::XmlSyntax),
        (String::new(), Rule::XmlSyntax),
        (format!("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>{}", resource("")), Rule::XmlSyntax),
        (resource("<id value=\"1\" colour=\"red\"/>"), Rule::UnknownElement),
        (resource("<colour value=\"red\"/>"), Rule::UnknownElement),
        (resource("<photo><size value=\"5000000000\"/></photo>"), Rule::FhirStructure),
        (resource("<photo><data value=\"**\"/></photo>"), Rule::Base64),
    ] {
        assert_eq!(refused(read(WireFormat::Xml, xml.as_bytes())).0, rule, "{}", &xml[..xml.len().min(200)]);
    }
}

#[test]
fn base64_in_xml_may_be_broken_into_lines() {
    let xml = "<Binary xmlns=\"http://hl7.org/fhir\"><contentType value=\"text/plain\"/><data value=\"SGVs\n  bG8=\"/></Binary>";
    let message = read(WireFormat::Xml, xml.as_bytes()).unwrap();
    let received = message.documents.0[0].as_ref().unwrap();
    assert_eq!(received.content.in_memory().unwrap()[..], b"Hello"[..]);
    assert_eq!(received.place, "Binary.data");
}

#[test]
fn answers_are_written_as_xml() {
    let outcome = br#"{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid"}]}"#;
    let xml = String::from_utf8(json_to_xml(outcome).unwrap()).unwrap();
    assert!(xml.contains("<OperationOutcome xmlns=\"http://hl7.org/fhir\">"), "{xml}");
    assert!(xml.contains("<severity value=\"error\"/>"), "{xml}");
}

/// Every transaction Bundle of the published examples has a stated outcome.
#[test]
fn published_examples_are_read_or_refused_for_what_is_wrong_with_them() {
    let shared = std::env::var_os("CARNET_SHARED")
        .map_or_else(|| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), std::path::PathBuf::from);
    let folder = shared.join("corpus/mhd");
    if !folder.is_dir() {
        eprintln!("skipped: no {}", folder.display());
        return;
    }
    for (file, rules) in [
        ("pdsm4dmp/Bundle-example-td2-iti65-lot-soumission.json", &[Rule::InsKey][..]),
        ("pdsm4dmp/Bundle-example-td2-1-remplacement.json", &[Rule::InsKey, Rule::ReplaceTarget]),
        (
            "pdsm-next-iti65-replace/Bundle-bundle-exemple-comprehensiveprovidedocument-replace.json",
            &[Rule::ReplaceTarget],
        ),
        ("ihe-mhd-4.2.3/Bundle-ex-minimalProvideDocumentBundleSimple.json", &[Rule::InsMissing]),
        (
            "ihe-mhd-4.2.3/Bundle-ex-comprehensiveProvideDocumentBundleReplace.json",
            &[Rule::InsMissing, Rule::ReplaceTarget],
        ),
        (
            "ihe-mhd-4.2.3/Bundle-ex-unContainedComprehensiveProvideDocumentBundleComplete.json",
            &[Rule::InsMissing, Rule::ReferenceUnresolved, Rule::ReplaceTarget],
        ),
        ("ihe-mhd-4.2.3/Bundle-ex-ProvideDocumentBundle-addToFolder.json", &[Rule::BundleEntry]),
    ] {
        let body = std::fs::read(folder.join(file)).unwrap();
        let message = read(WireFormat::Json, &body).unwrap();
        let refusals = refusals(iti65::read_provided(message, &Terminology::load().unwrap()));
        for rule in rules {
            assert!(refusals.iter().any(|refusal| refusal.rule == *rule), "{file}: no {rule:?} in {refusals:#?}");
        }
        // Labels need the tables of the profiles; nothing else may be wrong with these files.
        let others: Vec<_> =
            refusals.iter().filter(|it| !rules.contains(&it.rule) && it.rule != Rule::UnknownCode).collect();
        assert!(others.is_empty() || file.starts_with("ihe"), "{file}: {others:#?}");
    }
    let body = std::fs::read(folder.join("pdsm4dmp/DocumentReference-example-td2-iti105-publication-simplifiee.json"))
        .unwrap();
    let message = read(WireFormat::Json, &body).unwrap();
    let refused = refused(iti105::read_publish(message, &Terminology::load().unwrap()));
    assert_eq!(refused, at(Rule::InsKey, "DocumentReference.subject.reference"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_mutated_message_is_read_or_refused_without_a_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        piece_bytes in 1_usize..4000,
        xml: bool,
    ) {
        let (format, text) = if xml { (WireFormat::Xml, bundle_xml()) } else { (WireFormat::Json, replacing_bundle().to_string()) };
        let mut body = text.into_bytes();
        for (index, byte) in changes {
            let index = index.index(body.len());
            body[index] = byte;
        }
        if let Ok(message) = read_in(format, &body, &Limits::default(), piece_bytes) {
            let _ = iti65::read_provided(message, &Terminology::load().unwrap());
        }
    }

    #[test]
    fn a_message_with_values_exchanged_is_read_or_refused_without_a_panic(
        from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>(), publish_it: bool,
    ) {
        let mut body = if publish_it { document_reference() } else { replacing_bundle() };
        let mut pointers = Vec::new();
        collect_pointers(&body, String::new(), &mut pointers);
        let value = body.pointer(&pointers[from.index(pointers.len())]).cloned().unwrap();
        *body.pointer_mut(&pointers[to.index(pointers.len())]).unwrap() = value;
        let terminology = Terminology::load().unwrap();
        if let Ok(message) = read(WireFormat::Json, body.to_string().as_bytes()) {
            let _ = iti105::read_publish(message, &terminology);
        }
        let _ = provide(&body);
    }

    #[test]
    fn any_bytes_are_read_or_refused_without_a_panic(body: Vec<u8>, text in "[<>/a-z \"=&;#?!\\[\\]-]{0,80}") {
        for format in [WireFormat::Json, WireFormat::Xml] {
            let _ = read(format, &body);
            let _ = read(format, text.as_bytes());
        }
    }
}

fn collect_pointers(value: &Value, at: String, pointers: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(key, value)| collect_pointers(value, format!("{at}/{key}"), pointers));
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, value)| collect_pointers(value, format!("{at}/{index}"), pointers));
        }
        _ => {}
    }
    pointers.push(at);
}

#[test]
fn xml_beyond_what_all_may_hold_is_asked_to_come_back_and_leaves_its_room_to_others() {
    let bytes = Arc::new(Semaphore::new(10));
    let read = |pieces: &[&'static [u8]]| {
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok(Bytes::from_static(piece))).collect();
        let (limits, bytes) = (Limits::default(), Arc::clone(&bytes));
        block_on(read_message(WireFormat::Xml, stream::iter(pieces), &limits, spool(), bytes))
    };
    assert_eq!(refused(read(&[b"<Bundle", b"/>"])).0, Rule::XmlSyntax);
    assert_eq!(refused(read(&[b"<Bundle", b" x=\"\"/>"])).0, Rule::Busy);
    assert_eq!(bytes.available_permits(), 10);
}
