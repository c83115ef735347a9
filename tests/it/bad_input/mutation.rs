//! Good messages with anything at all done to them: each is taken or refused, none breaks the server.
//!
//! Short by default; `CARNET_MUTATIONS=5000` for the long form.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::support::xml::xml_of;
use crate::support::{Desk, Document, Sent};

#[derive(Clone, Debug)]
struct Mutation {
    /// Which of the values of the message.
    at: prop::sample::Index,
    change: Change,
}

#[derive(Clone, Debug)]
enum Change {
    Delete,
    Replace(Value),
    /// Put beside it again: into the same list, or under another name.
    Duplicate(String),
    /// With the value of another place.
    Swap(prop::sample::Index),
}

#[tokio::test(flavor = "multi_thread")]
async fn no_mutation_of_a_good_message_breaks_the_server() {
    let desk = Desk::open().await;
    let mut runner = runner();
    let mutations = prop::collection::vec(mutation(), 1..4);
    let outcome = tokio::task::block_in_place(|| {
        runner.run(&(0..4_usize, mutations), |(form, mutations)| {
            let sent = mutated(form, &mutations);
            let answer = tokio::runtime::Handle::current().block_on(desk.send(sent));
            let status = answer.status;
            prop_assert!(status.is_success() || status.is_client_error(), "{status}: {}", answer.text());
            if status.is_client_error() {
                prop_assert!(!answer.rules().is_empty(), "{}", answer.text());
                prop_assert!(!answer.text().contains("279035121518989"), "{}", answer.text());
            }
            Ok(())
        })
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    desk.hospital.deposited(&Document::discharge_letter()).await;
    let verdict = desk.gateway.gateway().verify_journal().await.expect("journal");
    assert!(matches!(verdict, carnet::journal::verify::Verdict::Intact { .. }), "{verdict:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_in_xml_is_accepted() {
    let desk = Desk::open().await;
    let answer = desk.send(Sent::xml(xml_of(&Document::discharge_letter().bundle()))).await;
    assert_eq!(answer.status, http::StatusCode::OK, "{}", answer.text());
    assert_eq!(desk.stored().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_cut_or_changed_byte_of_a_good_message_breaks_the_server() {
    let desk = Desk::open().await;
    let bundle = Document::scan().bundle();
    let texts = [bundle.to_string().into_bytes(), xml_of(&bundle)];
    let mut runner = runner();
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, any::<u8>()), 1..4);
    let outcome = tokio::task::block_in_place(|| {
        runner.run(&(0..2_usize, edits), |(format, edits)| {
            let mut text = texts[format].clone();
            for (at, edit, byte) in edits {
                let at = at.index(text.len().max(1)).min(text.len().saturating_sub(1));
                match edit {
                    0 => text.truncate(at),
                    1 => text.insert(at, byte),
                    2 if !text.is_empty() => drop(text.remove(at)),
                    _ => text.iter_mut().skip(at).take(1).for_each(|it| *it = byte),
                }
            }
            let sent = if format == 0 { Sent::json(text) } else { Sent::xml(text) };
            let answer = tokio::runtime::Handle::current().block_on(desk.send(sent));
            prop_assert!(answer.status.is_success() || answer.status.is_client_error(), "{}", answer.text());
            Ok(())
        })
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    desk.hospital.deposited(&Document::discharge_letter()).await;
}

fn runner() -> TestRunner {
    let cases = std::env::var_os("CARNET_MUTATIONS").and_then(|text| text.to_str()?.parse().ok()).unwrap_or(150);
    TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() })
}

fn mutated(form: usize, mutations: &[Mutation]) -> Sent {
    let mut message = match form {
        0 => Document::discharge_letter().bundle(),
        1 => Document::blood_test().bundle(),
        2 => Document::scan().bundle(),
        _ => Document::blood_test().simplified(),
    };
    for mutation in mutations {
        apply(&mut message, mutation);
    }
    if form == 3 { Sent::publish(&message) } else { Sent::bundle(&message) }
}

fn apply(message: &mut Value, mutation: &Mutation) {
    let mut pointers = Vec::new();
    list_pointers(message, "", &mut pointers);
    if pointers.is_empty() {
        return;
    }
    let pointer = mutation.at.get(&pointers[..]).as_str();
    let (parent, key) = pointer.rsplit_once('/').expect("below the root");
    let value = message.pointer(pointer).cloned().expect("listed");
    match &mutation.change {
        Change::Replace(other) => *message.pointer_mut(pointer).expect("listed") = other.clone(),
        Change::Swap(other) => {
            let other = message.pointer(other.get(&pointers[..]).as_str()).cloned().expect("listed");
            *message.pointer_mut(pointer).expect("listed") = other;
        }
        Change::Delete => match message.pointer_mut(parent).expect("listed") {
            Value::Object(members) => drop(members.remove(&unescaped(key))),
            Value::Array(items) => drop(items.remove(key.parse().expect("index"))),
            _ => {}
        },
        Change::Duplicate(name) => match message.pointer_mut(parent).expect("listed") {
            Value::Object(members) => drop(members.insert(name.clone(), value)),
            Value::Array(items) => items.push(value),
            _ => {}
        },
    }
}

fn list_pointers(value: &Value, at: &str, pointers: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(key, child)| (escaped(key), child)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(index, child)| (index.to_string(), child)).collect(),
        _ => Vec::new(),
    };
    for (key, child) in children {
        let pointer = format!("{at}/{key}");
        list_pointers(child, &pointer, pointers);
        pointers.push(pointer);
    }
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn unescaped(key: &str) -> String {
    key.replace("~1", "/").replace("~0", "~")
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let values = prop_oneof![
        "\\PC{0,30}".prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
        Just(json!([])),
        Just(json!({})),
        Just(json!("279035121518989")),
        Just(json!("urn:oid:1.2.250.1.213.1.4.10|279035121518989")),
        Just(json!("SGVsbG8=")),
        Just(json!("#x")),
        Just(json!("\u{0}\u{1f}")),
        Just(json!({ "resourceType": "Patient" })),
        Just(json!("x".repeat(5_000))),
    ];
    let change = prop_oneof![
        Just(Change::Delete),
        values.prop_map(Change::Replace),
        "data|id|resourceType|[a-zA-Z_~/]{1,12}|279035121518989".prop_map(Change::Duplicate),
        any::<prop::sample::Index>().prop_map(Change::Swap),
    ];
    (any::<prop::sample::Index>(), change).prop_map(|(at, change)| Mutation { at, change })
}
