//! HTTP: bodies that break off or do not end, headers, methods, paths and search parameters.

use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::caller::search_path;
use crate::support::desk::is_a_refusal;
use crate::support::gateway::patient;
use crate::support::{Desk, Document, Sent, TestGateway};

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_stores_nothing_and_is_written_down() {
    let desk = Desk::open().await;
    let body = Document::discharge_letter().bundle().to_string();
    let half = &body[..body.len() / 2];
    let head = "POST /fhir HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/fhir+json\r\n";
    for broken in [
        format!("{head}Content-Length: {}\r\n\r\n{half}", body.len()),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{half}", body.len()),
    ] {
        let stored = desk.stored().await;
        let lines = desk.gateway.journal_lines().await;
        let mut stream = desk.hospital.connect().await;
        stream.write_all(broken.as_bytes()).await.unwrap();
        // The end of what the client has to say: the server may answer or hang up.
        stream.shutdown().await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
        wait_for_line(&desk, lines + 1).await;
        desk.is_well_with(stored).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_is_none_is_refused() {
    let desk = Desk::open().await;
    let mut stream = desk.hospital.connect().await;
    let head = "POST /fhir HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/fhir+json\r\n";
    let text = format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n{{}}\r\n0\r\n\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("body-incomplete"), "{answer}");
    desk.is_well_with(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_refused_with_its_length_announced_or_not() {
    let desk = Desk::of(TestGateway::builder().configured(|config| {
        config.limits.body_bytes_max = 100_000;
        config.limits.document_bytes_max = 100_000;
    }))
    .await;
    let body = Document::scan().with_content(vec![b'x'; 3_000_000]).bundle().to_string();
    let expected = "at most 100000 bytes";
    let answer = desk.refuses(Sent::json(body.clone()), 413, "body-too-large", "body").await;
    assert!(answer.text().contains(expected), "{}", answer.text());
    let (stored, lines) = (desk.stored().await, desk.gateway.journal_lines().await + 1);
    let answer = desk.hospital.send_in_chunks(&body).await;
    assert_eq!(desk.gateway.journal_lines().await, lines);
    is_a_refusal(&answer, 413, "body-too-large", "body");
    desk.is_well_with(stored).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announced_length_over_the_limit_is_refused_before_the_body_is_sent() {
    let desk = Desk::open().await;
    let mut stream = desk.hospital.connect().await;
    let head = "POST /fhir HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/fhir+json\r\n";
    let text = format!("{head}Content-Length: 99999999999\r\nExpect: 100-continue\r\n\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_and_http_1_refuse_alike() {
    let desk = Desk::open().await;
    let (headers, body) = ([("content-type", "application/fhir+json")], "{\"resourceType\":\"Bundle\",\"type\":1}");
    let over_http2 = desk.hospital.send_over_http2("", &headers, body).await;
    is_a_refusal(&over_http2, 400, "fhir-structure", "Bundle.type");
    let over_http1 = desk.refuses(Sent::json(body), 400, "fhir-structure", "Bundle.type").await;
    assert_eq!(over_http2.without_id(), over_http1.without_id());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_content_type_or_none_is_refused() {
    let desk = Desk::open().await;
    let body = Document::discharge_letter().bundle().to_string();
    for content_type in [
        "text/plain",
        "application/fhir+json; fhirVersion=3.0",
        "application/json; charset=iso-8859-1",
        "application/x-www-form-urlencoded",
        "",
    ] {
        desk.refuses(Sent::post("", content_type, body.clone()), 415, "media-type", "header Content-Type").await;
    }
    let without = Sent { body: body.into(), ..Sent::without_body(Method::POST, "") };
    desk.refuses(without, 415, "media-type", "header Content-Type").await;
    let search = Sent::post("/DocumentReference/_search", "application/json", "{}");
    desk.refuses(search, 415, "media-type", "header Content-Type").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_another_coding_is_refused() {
    let desk = Desk::open().await;
    let sent = Sent::json(b"\x1f\x8b\x08".to_vec()).with("content-encoding", "gzip");
    desk.refuses(sent, 415, "media-type", "header Content-Encoding").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_under_the_name_of_xml_is_refused() {
    let desk = Desk::open().await;
    desk.refuses(Sent::xml("{\"resourceType\":\"Bundle\"}"), 400, "xml-syntax", "line 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_given_is_refused() {
    let desk = Desk::open().await;
    let search = || Sent::get(&search_path(&patient(), ""));
    desk.refuses(search().with("accept", "text/csv"), 406, "not-acceptable", "header Accept").await;
    desk.refuses(search().with("accept", "application/fhir+json;q=0"), 406, "not-acceptable", "header Accept").await;
    let format = Sent::get(&search_path(&patient(), "&_format=turtle"));
    desk.refuses(format, 406, "not-acceptable", "parameter _format").await;
    let deposit = Sent::bundle(&Document::discharge_letter().bundle()).with("accept", "application/pdf");
    desk.refuses(deposit, 406, "not-acceptable", "header Accept").await;
    let id = desk.hospital.deposited(&Document::discharge_letter()).await;
    let doctor = desk.gateway.authorised_doctor("810000000011").await;
    let read = doctor.send(Method::GET, &format!("/Binary/{id}"), &[("accept", "application/pdf")], "").await;
    is_a_refusal(&read, 406, "not-acceptable", "header Accept");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_search_parameter_is_refused_with_the_nearest_known_one() {
    let desk = Desk::open().await;
    for (parameter, nearest) in [("statut=current", "status"), ("auteur.family=x", "author.family")] {
        let sent = Sent::get(&search_path(&patient(), &format!("&{parameter}")));
        let name = parameter.split('=').next().unwrap();
        let place = format!("parameter {name}");
        let answer = desk.refuses(sent, 400, "unknown-search-parameter", &place).await;
        assert!(answer.text().contains(nearest), "{}", answer.text());
    }
    let form = Sent::post("/DocumentReference/_search", "application/x-www-form-urlencoded", "couleur=bleu");
    desk.refuses(form, 400, "unknown-search-parameter", "parameter couleur").await;
    let named_like_an_ins = Sent::get(&search_path(&patient(), "&279035121518989=1"));
    desk.refuses(named_like_an_ins, 400, "unknown-search-parameter", "parameter 2************89").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_without_a_patient_is_refused() {
    let desk = Desk::open().await;
    for query in ["", "?status=current", "?patient.identifier="] {
        let sent = Sent::get(&format!("/DocumentReference{query}"));
        desk.refuses(sent, 400, "search-parameter-missing", "parameter patient.identifier").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_a_parameter_cannot_have_is_refused() {
    let desk = Desk::open().await;
    for (parameter, place) in [
        ("date=hier", "date"),
        ("date=zz2026", "date"),
        ("creation=2026-02-30", "creation"),
        ("status=rouge", "status"),
        ("_count=-1", "_count"),
        ("_count=99999999999999999999", "_count"),
        ("_page=x", "_page"),
        ("_sort=couleur", "_sort"),
        ("_summary=text", "_summary"),
        ("isArchived=peut-etre", "isArchived"),
        ("type=a%7Cb%7Cc", "type"),
        ("type=a,,b", "type"),
        ("type:missing=true", "type"),
        ("patient.identifier=urn:oid:1.2.250.1.213.1.4.10%7C277076322082910", "patient.identifier"),
    ] {
        let sent = Sent::get(&search_path(&patient(), &format!("&{parameter}")));
        desk.refuses(sent, 400, "search-parameter-value", &format!("parameter {place}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_for_an_ins_that_is_none_is_refused() {
    let desk = Desk::open().await;
    for (token, rule) in [
        ("urn:oid:1.2.250.1.213.1.4.10%7C279035121518988", "ins-key"),
        ("urn:oid:1.2.250.1.213.1.4.10%7C2790", "ins-form"),
        ("279035121518989", "ins-form"),
        ("urn:oid:1.2.250.1.213.1.4.8%7C279035121518989", "ins-domain"),
    ] {
        let place = "parameter patient.identifier";
        let sent = Sent::get(&format!("/DocumentReference?patient.identifier={token}"));
        desk.refuses(sent, 422, rule, place).await;
        let sent = Sent::get(&format!("/Patient?identifier={token}"));
        desk.refuses(sent, 422, rule, "parameter identifier").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_a_form_that_was_never_given_is_not_found() {
    let desk = Desk::open().await;
    let id = desk.hospital.deposited(&Document::discharge_letter()).await;
    let shouted = id.to_uppercase();
    for id in ["1", "..%2f..%2fetc%2fpasswd", "%00", "279035121518989", shouted.as_str(), &"x".repeat(5_000)] {
        for kind in ["DocumentReference", "Binary", "Consent"] {
            desk.refuses(Sent::get(&format!("/{kind}/{id}")), 404, "not-found", "").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_is_not_served_names_those_that_are() {
    let desk = Desk::open().await;
    let id = desk.hospital.deposited(&Document::discharge_letter()).await;
    let reference = format!("/DocumentReference/{id}");
    for (method, path, allowed) in [
        (Method::DELETE, reference.as_str(), "GET, HEAD"),
        (Method::PUT, &reference, "GET, HEAD"),
        (Method::PATCH, &reference, "GET, HEAD"),
        (Method::POST, &format!("/Binary/{id}"), "GET, HEAD"),
        (Method::DELETE, "/DocumentReference", "POST, GET, HEAD"),
        (Method::GET, "", "POST"),
        (Method::PUT, "/metadata", "GET, HEAD"),
        (Method::OPTIONS, "/metadata", "GET, HEAD"),
    ] {
        let answer = desk.turns_away(Sent::without_body(method, path), 405, "method", "http.method").await;
        assert_eq!(answer.headers["allow"], allowed, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_nobody_serves_is_told_as_such() {
    let desk = Desk::open().await;
    let uri = "http.request-uri";
    for path in ["/Observation", "/Patient/1", "/DocumentReference/1/2/3", "/$validate", "/..", "x"] {
        desk.turns_away(Sent::get(path), 404, "route-unknown", uri).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purpose_that_nobody_has_is_refused() {
    let desk = Desk::open().await;
    let sent = Sent::get(&search_path(&patient(), "")).with("x-purpose-of-use", "curiosite");
    desk.refuses(sent, 400, "header-value", "header X-Purpose-Of-Use").await;
}

/// Waits until the journal has that many lines: a condition, not a time.
async fn wait_for_line(desk: &Desk, lines: usize) {
    let written = async {
        while desk.gateway.journal_lines().await < lines {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), written).await.expect("a journal line");
    assert_eq!(desk.gateway.journal_lines().await, lines);
}
