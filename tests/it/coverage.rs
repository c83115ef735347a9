//! Every route for everybody who may not: the status, the rule and the journal line of each, over real TLS.
//!
//! `tests/coverage/routes.md` is the copy that a person reviewed; `CARNET_DECISION=write cargo test --test it coverage`
//! writes it anew. A route without a row in [`ROWS`] fails, and so does a row without a route.

mod scene;

use carnet::fhir::routes::ROUTES;
use http::Method;

use self::scene::{Cell, Column, Scene, Stage, about_patient};
use super::support::reviewed::{compare, table};
use super::support::{Document, Sent};

/// A route and a request of it that is in order, for whoever may make it.
struct Row {
    method: Method,
    path: &'static str,
    /// Which, where a route serves several transactions.
    transaction: &'static str,
    request: fn(&Scene) -> Sent,
}

/// To add a route: a line.
const ROWS: &[Row] = &[
    row(Method::GET, "/metadata", |_| Sent::get("/metadata")),
    row(Method::POST, "", |_| Sent::bundle(&Document::discharge_letter().bundle())),
    row(Method::POST, "/DocumentReference", |_| Sent::publish(&Document::discharge_letter().simplified())),
    row(Method::GET, "/DocumentReference", |_| Sent::get(&about_patient("/DocumentReference?patient.identifier="))),
    row(Method::POST, "/DocumentReference/_search", |_| {
        Sent::post(
            "/DocumentReference/_search",
            "application/x-www-form-urlencoded",
            about_patient("patient.identifier="),
        )
    }),
    row(Method::GET, "/DocumentReference/{id}", |scene| Sent::get(&format!("/DocumentReference/{}", scene.document))),
    row(Method::GET, "/Binary/{id}", |scene| Sent::get(&format!("/Binary/{}", scene.document))),
    row(Method::GET, "/Patient", |_| Sent::get(&about_patient("/Patient?identifier="))),
    one_of(Method::GET, "/Patient", "TD0.4", Scene::authorised_patients),
    row(Method::GET, "/Consent", |_| Sent::get(&about_patient("/Consent?patient.identifier="))),
    row(Method::GET, "/Consent/{id}", |scene| Sent::get(&format!("/Consent/{}", scene.line))),
    row(Method::POST, "/Consent", |scene| scene.own_authorisation(Method::POST, "/Consent")),
    one_of(Method::POST, "/Consent", "TD3.3a", Scene::mask),
    row(Method::PUT, "/Consent/{id}", |scene| {
        scene.own_authorisation(Method::PUT, &format!("/Consent/{}", scene.line))
    }),
    row(Method::GET, "/AuditEvent", |_| Sent::get(&about_patient("/AuditEvent?patient.identifier="))),
    row(Method::POST, "/AuditEvent/_search", |_| {
        Sent::post("/AuditEvent/_search", "application/x-www-form-urlencoded", about_patient("patient.identifier="))
    }),
];

const fn row(method: Method, path: &'static str, request: fn(&Scene) -> Sent) -> Row {
    one_of(method, path, "", request)
}

const fn one_of(method: Method, path: &'static str, transaction: &'static str, request: fn(&Scene) -> Sent) -> Row {
    Row { method, path, transaction, request }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_refuses_whoever_may_not_and_leaves_one_line() {
    for route in ROUTES {
        let has_row = ROWS.iter().any(|row| row.method == route.method && row.path == route.path);
        assert!(has_row, "no row for {} {}", route.method, route.path);
    }
    let cells: Vec<_> = ROWS.iter().map(|row| tokio::spawn(cells_of(row))).collect();
    let mut rows = Vec::new();
    for (route, cells) in ROWS.iter().zip(cells) {
        let cells = cells.await.expect("a row");
        // What is told of nobody's record leaves no line; everything else exactly one, done or refused.
        let expected = usize::from(route.path != "/metadata");
        for (column, cell) in Column::ALL.into_iter().zip(&cells) {
            assert_eq!(cell.lines, expected, "{} {}: lines of {}", route.method, route.path, column.name());
        }
        let path = if route.path.is_empty() { "/" } else { route.path };
        let name = format!("`{} {path}` {}", route.method, route.transaction).trim_end().to_owned();
        rows.push(std::iter::once(name).chain(cells.into_iter().map(|cell| cell.answer)).collect());
    }
    let header = std::iter::once("Route").chain(Column::ALL.map(Column::name)).map(str::to_owned);
    let meaning = |column: &Column| format!("- {}: {}", column.name(), column.meaning());
    let legend = Column::ALL.iter().map(meaning).collect::<Vec<_>>().join("\n");
    compare("coverage/routes.md", &format!("{HEAD}\n{legend}\n\n{}", table(&header.collect::<Vec<_>>(), &rows)));
}

#[test]
fn every_row_has_its_route() {
    for row in ROWS {
        let served = ROUTES.iter().filter(|route| row.method == route.method && row.path == route.path).count();
        assert_eq!(served, 1, "{} {}", row.method, row.path);
    }
    let mut named: Vec<_> = ROWS.iter().map(|row| (row.method.as_str(), row.path, row.transaction)).collect();
    named.sort_unstable();
    named.dedup();
    assert_eq!(named.len(), ROWS.len(), "a transaction of a route has two rows");
}

/// Each route has a gateway of its own: what one writes is not there for the next.
async fn cells_of(row: &'static Row) -> Vec<Cell> {
    let stage = Stage::open().await;
    let mut cells = Vec::new();
    for column in Column::ALL {
        let scene = stage.scene(column).await;
        cells.push(scene.ask(&stage, (row.request)(&scene)).await);
    }
    cells
}

const HEAD: &str = "# Every route, for whoever may and for whoever may not

The status of the answer, and of a refusal the rule. The request is in order and about a patient with one document, which
a laboratory deposited; `{id}` is that document, or the caller's own line of the patient's list where they have one. Each
of these left exactly one line in the journal, but for `/metadata`, which leaves none.
";
