//! Two gateways on one database: a change of a patient's list goes through one, and the very next request, through the
//! other, must obey it. An answer that does not is stale, and one is too many. Source: F.2, "effective on the next
//! request".

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use clap::Args;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Request, Response, StatusCode};
use serde_json::Value;
use tokio::task::JoinSet;

use super::amount;
use super::deposit::FHIR_JSON;
use super::figures::{Figures, Part};
use super::ground::{SEARCHED_SIZE, fill};
use super::options::EndingOptions;
use super::read::find;
use super::report::{Line, Report};
use super::scene::{GROUP_RECORDS, GROUPS, Running, Scene, doctor_id};
use super::traffic::{Pieces, succeed};
use crate::cli::bench::facts_of;
use crate::cli::client::Client;
use crate::cli::message::{consent, provision_for, provision_mask};
use crate::domain::ins::Ins;

#[derive(Args)]
pub(super) struct Arguments {
    /// How long to change rights
    #[arg(long, default_value = "10", value_parser = amount::seconds)]
    seconds: Duration,
    /// Records whose rights change at one time
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=RECORDS_MAX))]
    clients: u16,
    #[command(flatten)]
    pub(super) ending: EndingOptions,
}

/// Errors of the report: stale answers, and whatever else was not as it must be.
pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<Report> {
    let scene = arguments.ending.scene()?;
    let clients = usize::from(arguments.clients);
    let gateways = [scene.start_gateway(clients).await?, scene.start_gateway_beside(clients).await?];
    let portal = scene.portal()?.client()?;
    let sides = Arc::new(gateways.each_ref().map(|gateway| Side::of(gateway, &portal)));
    let records: Vec<Ins> = (0..GROUPS).flat_map(Scene::records).take(clients).collect();
    fill(&gateways[0].target, &records, SEARCHED_SIZE, 1).await?;
    let mut listed = Vec::new();
    for patient in records {
        let found = find(&gateways[0].target, &patient, 1).await?;
        let document = found["entry"][0]["resource"]["id"].as_str().context("a record without a document")?.to_owned();
        listed.push(Listed { patient, document, sides: Arc::clone(&sides), turn: 0 });
    }
    let end = Instant::now() + arguments.seconds;
    let mut changing = JoinSet::new();
    for record in listed {
        changing.spawn(record.change_until(end));
    }
    let (mut figures, mut stale) = (Figures::over(arguments.seconds), 0);
    while let Some(tally) = changing.join_next().await {
        let tally = tally?;
        figures.join(tally.figures);
        stale += tally.stale;
    }
    let settings = vec![("seconds", arguments.seconds.as_secs_f64().into()), ("clients", clients.into())];
    let outcomes = vec![("changes", figures.summary().count.into()), ("stale", stale.into())];
    let lines = vec![Line { name: "change", figures, against: None, per_core: None }];
    let (server, warning) = (Some(facts_of(&gateways[0])), arguments.ending.warning());
    Ok(Report { bench: "rights", settings, lines, outcomes, server, warning })
}

/// One gateway as its callers see it.
struct Side {
    fhir_url: String,
    doctor: Client,
    portal: Client,
}

/// A record whose list changes, again and again.
struct Listed {
    patient: Ins,
    document: String,
    sides: Arc<[Side; 2]>,
    /// Through which gateway the next change goes.
    turn: usize,
}

#[derive(Default)]
struct Tally {
    figures: Figures,
    stale: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Mask,
    Unmask,
    Block,
    Unblock,
    Authorise,
}

/// What the doctor meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Met {
    Open,
    Shut,
}

impl Change {
    /// From a record that lets the doctor in, back to one. An odd number: the next round goes the other way.
    const ROUND: [Self; 5] = [Self::Mask, Self::Unmask, Self::Block, Self::Unblock, Self::Authorise];

    fn part(self) -> Part {
        match self {
            Self::Mask => "mask",
            Self::Unmask => "unmask",
            Self::Block => "block",
            Self::Unblock => "unblock",
            Self::Authorise => "authorise",
        }
    }

    fn obeyed(self) -> Met {
        match self {
            Self::Mask | Self::Block => Met::Shut,
            Self::Unmask | Self::Unblock | Self::Authorise => Met::Open,
        }
    }
}

impl Side {
    fn of(gateway: &Running, portal: &Client) -> Self {
        let target = &gateway.target;
        Self { fhir_url: target.fhir_url.clone(), doctor: target.reader.clone(), portal: portal.clone() }
    }

    async fn post(&self, client: &Client, line: &Value) -> anyhow::Result<Response<Bytes>> {
        let body = Pieces::from([Bytes::from(line.to_string())]);
        let request = Request::post(format!("{}/Consent", self.fhir_url)).header(CONTENT_TYPE, FHIR_JSON);
        Ok(client.send(request.header(ACCEPT, FHIR_JSON).body(body)?).await?)
    }
}

impl Listed {
    async fn change_until(mut self, end: Instant) -> Tally {
        let mut tally = Tally::default();
        for change in Change::ROUND.into_iter().cycle() {
            if Instant::now() >= end {
                break;
            }
            if let Err(error) = self.change(change, &mut tally).await {
                // Nobody knows what state the record is in.
                tally.figures.fail(&error.context(change.part()));
                break;
            }
        }
        tally
    }

    /// Makes a change through one gateway, and asks the other until it obeys.
    async fn change(&mut self, change: Change, tally: &mut Tally) -> anyhow::Result<()> {
        let [near, far] = [self.turn, 1 - self.turn].map(|side| &self.sides[side]);
        self.send(change, near).await?;
        let acknowledged = Instant::now();
        while self.meet(change, far).await? != change.obeyed() {
            tally.stale += 1;
            tally.figures.fail(&anyhow::anyhow!("stale: {} was not obeyed by the next request", change.part()));
            ensure!(acknowledged.elapsed() < OBEYED_WITHIN, "not obeyed within {} s", OBEYED_WITHIN.as_secs());
        }
        tally.figures.count(change.part(), acknowledged.elapsed());
        self.turn = 1 - self.turn;
        Ok(())
    }

    /// By the patient, through the portal; returns once it is acknowledged.
    async fn send(&self, change: Change, near: &Side) -> anyhow::Result<()> {
        let (provision, status) = match change {
            Change::Mask => (provision_mask(&self.document), "active"),
            Change::Unmask => (provision_mask(&self.document), "inactive"),
            Change::Block => (provision_for("deny", &doctor_id()?), "active"),
            Change::Unblock => (provision_for("deny", &doctor_id()?), "inactive"),
            // Done through this gateway already: the answer that obeyed the end of the block.
            Change::Authorise => return Ok(()),
        };
        let mut line = consent(&self.patient, &provision);
        line["status"] = status.into();
        succeed(near.post(&near.portal, &line).await?).map(drop)
    }

    /// What the doctor's next request meets: a read; once the block is over, their declaration (TD0.3), for the end of
    /// a block opens nothing else (T-19).
    async fn meet(&self, change: Change, far: &Side) -> anyhow::Result<Met> {
        let answer = if change == Change::Unblock {
            let own = consent(&self.patient, &provision_for("permit", &doctor_id()?));
            far.post(&far.doctor, &own).await?
        } else {
            let request = Request::get(format!("{}/DocumentReference/{}", far.fhir_url, self.document));
            far.doctor.send(request.header(ACCEPT, FHIR_JSON).body(Pieces::none())?).await?
        };
        match answer.status() {
            StatusCode::OK | StatusCode::CREATED => Ok(Met::Open),
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Ok(Met::Shut),
            status => bail!("{status}: {}", String::from_utf8_lossy(answer.body())),
        }
    }
}

#[expect(clippy::cast_possible_wrap, reason = "two dozen")]
const RECORDS_MAX: i64 = (GROUPS * GROUP_RECORDS) as i64;
/// Far beyond any sensible cache: a change that is not obeyed by then is lost.
const OBEYED_WITHIN: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_ends_where_it_began_and_the_next_goes_the_other_way() {
        assert_eq!(Change::ROUND.last().map(|change| change.obeyed()), Some(Met::Open));
        assert_eq!(Change::ROUND.len() % 2, 1);
        let shut = Change::ROUND.iter().filter(|change| change.obeyed() == Met::Shut).count();
        assert_eq!(shut, 2);
    }
}
