//! `carnet bench`: a load of real mutual-TLS clients against a gateway, and against what the machine can do at best.
//!
//! Without `--target` the gateway is a throw-away one, a child process with its own folder, PKI and records. Client
//! and server share the machine then, as they do for the limit server that `--vs-limit` compares with: same keys,
//! same clients, same requests, in turn. Contract 1.

mod amount;
mod child;
mod deposit;
mod figures;
mod ground;
mod handshake;
mod limit;
mod load;
mod options;
mod read;
mod report;
mod rights;
mod scene;
mod timing;
mod traffic;
mod unjournaled;
mod vihf;

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::signal::unix::{SignalKind, signal};

use self::figures::{Figures, Part};
use self::ground::Work;
use self::handshake::{Clients, Handshake};
use self::load::{Load, Pace};
use self::options::{CoreOptions, LoadOptions, Options, ReadOptions, Versus};
use self::report::{Against, Line, PerCore, Report, ServerFacts};
use self::scene::{Answers, Credentials, Running, Scene};
use self::traffic::{Target, Traffic};
use self::vihf::Assertions;
use super::{Ending, print_json, runtime, say};

/// Measure throughput, latency and memory with real mutual-TLS clients
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

const EXAMPLE: &str = "Examples:
  carnet bench deposit --size 250k --vs-limit
  carnet bench search --entries 50 --clients 32 --json
  carnet bench retrieve --size 250k --vs-unjournaled
  carnet bench timing --samples 2000
  carnet bench rights --seconds 10
  carnet bench mixed --rate 200 --seconds 30
  carnet bench retrieve --target https://host:8443 --ca server-ca.pem --cert durant.pem --key durant.key \\
      --ins '1.2.250.1.213.1.4.11|279035121518989'";

#[derive(Subcommand)]
enum Bench {
    /// Deposits (ITI-65) of unique documents
    Deposit(Options),
    /// Searches (ITI-67) of a patient's current documents
    Search(ReadOptions),
    /// Retrievals (ITI-68) of documents
    Retrieve(ReadOptions),
    /// One deposit to four searches and two retrievals
    Mixed(Options),
    /// Mutual-TLS handshakes, full and resumed
    Handshake(Options),
    /// Assertions (VIHF) verified by one core, without a network
    Vihf(CoreOptions),
    /// Whether the time of an answer tells what is hidden from what is absent: a statistical test for each route
    Timing(timing::Arguments),
    /// Changes of rights through one of two gateways, each followed by a request through the other
    Rights(rights::Arguments),
    /// Deposits into the limit server alone: TLS, base64, hashes and a durable append, nothing else
    Limit(LoadOptions),
    #[command(hide = true)]
    LimitServer(limit::Arguments),
    #[command(hide = true)]
    UnjournaledServer(unjournaled::Arguments),
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Ending> {
    runtime()?.block_on(async {
        // Children and folders go when the work is dropped, so an interruption leaves nothing behind either.
        tokio::select! {
            ending = bench(&arguments.bench) => ending,
            interruption = interrupted() => Err(interruption),
        }
    })
}

async fn bench(bench: &Bench) -> anyhow::Result<Ending> {
    let (is_json, report) = match bench {
        Bench::Deposit(options) => told(options, exchanges(Work::Deposit, options, options.versus()).await?),
        Bench::Search(read) => told(&read.options, exchanges(Work::Search, &read.options, read.versus()).await?),
        Bench::Retrieve(read) => told(&read.options, exchanges(Work::Retrieve, &read.options, read.versus()).await?),
        Bench::Mixed(options) => told(options, exchanges(Work::Mixed, options, options.versus()).await?),
        Bench::Handshake(options) => told(options, handshakes(options).await?),
        Bench::Vihf(options) => (options.json, assertions(options)?),
        Bench::Timing(arguments) => return timing::run(arguments).await,
        Bench::Rights(arguments) => (arguments.ending.json, rights::run(arguments).await?),
        Bench::Limit(load) => (load.ending.json, limit_alone(load).await?),
        Bench::LimitServer(arguments) => return limit::run(arguments).await.map(|()| Ending::Done),
        Bench::UnjournaledServer(arguments) => return unjournaled::run(arguments).await.map(|()| Ending::Done),
    };
    if is_json {
        print_json(&report.to_json());
    } else {
        say(report.to_table().trim_end());
    }
    Ok(if report.errors() == 0 { Ending::Done } else { Ending::Refused })
}

fn told(options: &Options, report: Report) -> (bool, Report) {
    (options.load.ending.json, report)
}

async fn interrupted() -> anyhow::Error {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => drop(terminate.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
    anyhow::anyhow!("interrupted; nothing was measured")
}

/// Deposits, searches, retrievals, or all three.
async fn exchanges(work: Work, options: &Options, versus: Versus) -> anyhow::Result<Report> {
    let mut report = report_of(work.word(), &options.load);
    if matches!(work, Work::Search | Work::Mixed) {
        report.settings.push(("entries", options.entries.into()));
    }
    if let Some(url) = &options.remote.target {
        let (traffic, _) = options.remote_ground(url)?.prepare(work).await?;
        let figures = options.load.measure([act(Arc::new(traffic), &options.remote.target(url)?)]).await?;
        report.lines.extend(figures.map(|figures| Line { name: work.word(), figures, against: None, per_core: None }));
        return Ok(report);
    }
    let scene = options.load.ending.scene()?;
    let gateway = scene.start_gateway(options.load.clients.into()).await?;
    let (traffic, answers) = options.ground_of(&gateway).prepare(work).await?;
    let traffic = Arc::new(traffic);
    gateway.child.forget_peak();
    let own = act(Arc::clone(&traffic), &gateway.target);
    let (figures, against) = match versus {
        Versus::Nothing => {
            let [figures] = options.load.measure([own]).await?;
            (figures, None)
        }
        Versus::Limit => {
            let limit = scene.start_limit(answers).await?;
            options.load.hold(own, "limit", act(traffic, &limit.target)).await?
        }
        Versus::Unjournaled => {
            let unjournaled = scene.start_unjournaled(options.load.clients.into()).await?;
            let (traffic, _) = options.ground_of(&unjournaled).prepare(work).await?;
            options.load.hold(own, "unjournaled", act(Arc::new(traffic), &unjournaled.target)).await?
        }
    };
    report.lines.push(Line { name: work.word(), figures, against, per_core: None });
    report.server = Some(facts_of(&gateway));
    Ok(report)
}

/// Full and resumed handshakes, against the limit server too where one can be had.
async fn handshakes(options: &Options) -> anyhow::Result<Report> {
    let mut report = report_of("handshake", &options.load);
    let both = [Handshake::Full, Handshake::Resumed];
    if let Some(url) = &options.remote.target {
        let (credentials, target) = (options.remote.credentials()?, options.remote.target(url)?);
        for kind in both {
            let clients = options.load.clients_of(kind, &credentials, &target).await?;
            let [figures] = options.load.measure([shake(clients)]).await?;
            report.lines.push(Line { name: kind.part(), figures, against: None, per_core: None });
        }
        return Ok(report);
    }
    let scene = options.load.ending.scene()?;
    let gateway = scene.start_gateway(options.load.clients.into()).await?;
    let limit = scene.start_limit(Answers::default()).await?;
    for kind in both {
        let servers = [&gateway, &limit];
        let mut clients = Vec::new();
        for server in servers {
            clients.push(options.load.clients_of(kind, &scene.reader(), &server.target).await?);
        }
        let before = servers.map(|server| server.child.processor_time());
        let acts = std::array::from_fn(|server| shake(Arc::clone(&clients[server])));
        let [figures, of_limit] = options.load.measure(acts).await?;
        let [own, bare] = std::array::from_fn(|server| {
            let used = servers[server].child.processor_time()?.checked_sub(before[server]?)?;
            per_core_second(clients[server].shaken(), used)
        });
        let per_core = own.zip(bare).map(|(gateway, limit)| PerCore { gateway, limit });
        let against = Some(Against { name: "limit", figures: of_limit });
        report.lines.push(Line { name: kind.part(), figures, against, per_core });
    }
    report.server = Some(facts_of(&gateway));
    Ok(report)
}

fn assertions(options: &CoreOptions) -> anyhow::Result<Report> {
    let scene = Scene::make(&std::env::temp_dir())?;
    let assertions = Assertions::sign(&scene, &scene.config()?, options.seconds)?;
    let line = Line { name: "vihf", figures: assertions.verify(options.seconds), against: None, per_core: None };
    let settings = vec![("seconds", options.seconds.as_secs_f64().into()), ("cores", 1.into())];
    Ok(Report { bench: "vihf", settings, lines: vec![line], outcomes: Vec::new(), server: None, warning: None })
}

async fn limit_alone(load: &LoadOptions) -> anyhow::Result<Report> {
    let mut report = report_of("limit", load);
    let scene = load.ending.scene()?;
    let limit = scene.start_limit(Answers::default()).await?;
    let deposits = deposit::Deposits::new(Scene::records(0), load.size, &crate::clock::Clock::System)?;
    let [figures] = load.measure([act(Arc::new(Traffic::of(deposits)), &limit.target)]).await?;
    report.lines.push(Line { name: "limit", figures, against: None, per_core: None });
    report.server = Some(facts_of(&limit));
    Ok(report)
}

/// What one client does again and again; its argument says which client.
type Act = Arc<dyn Fn(usize) -> BoxFuture<'static, anyhow::Result<Part>> + Send + Sync>;

fn act(traffic: Arc<Traffic>, target: &Target) -> Act {
    let target = target.clone();
    Arc::new(move |_| {
        let (traffic, target) = (Arc::clone(&traffic), target.clone());
        async move { traffic.exchange(&target).await }.boxed()
    })
}

fn shake(clients: Arc<Clients>) -> Act {
    Arc::new(move |client| {
        let clients = Arc::clone(&clients);
        async move { clients.shake(client).await }.boxed()
    })
}

fn per_core_second(count: u64, used: Duration) -> Option<f64> {
    let count = f64::from(u32::try_from(count).ok()?);
    (!used.is_zero()).then(|| count / used.as_secs_f64())
}

fn report_of(bench: &'static str, load: &LoadOptions) -> Report {
    let mut settings = vec![
        ("seconds", load.seconds.as_secs_f64().into()),
        ("clients", load.clients.into()),
        ("loop", if load.rate.is_some() { "open" } else { "closed" }.into()),
    ];
    if bench != "handshake" && bench != "search" {
        settings.push(("size_bytes", load.size.bytes.into()));
    }
    settings.extend(load.rate.map(|rate| ("rate", rate.into())));
    let (lines, outcomes, warning) = (Vec::new(), Vec::new(), load.ending.warning());
    Report { bench, settings, lines, outcomes, server: None, warning }
}

fn facts_of(server: &Running) -> ServerFacts {
    ServerFacts { start: server.child.start, resident: server.child.resident() }
}

impl LoadOptions {
    /// Measures a gateway in turn with what it is held against.
    async fn hold(&self, own: Act, name: &'static str, other: Act) -> anyhow::Result<(Figures, Option<Against>)> {
        let [figures, of_other] = self.measure([own, other]).await?;
        Ok((figures, Some(Against { name, figures: of_other })))
    }

    /// Measures one server, or several in turn: in rounds, so that what drifts (heat, caches, other work on the
    /// machine) meets them all alike.
    async fn measure<const N: usize>(&self, acts: [Act; N]) -> anyhow::Result<[Figures; N]> {
        let rounds = if N > 1 { ROUNDS } else { 1 };
        let pace = self.rate.map_or(Pace::Closed, |per_second| Pace::Open { per_second });
        let measured = self.seconds / rounds;
        let load = Load { clients: self.clients.into(), warm_up: WARM_UP_MAX.min(measured / 5), measured, pace };
        let mut all = std::array::from_fn(|_| Figures::default());
        for _ in 0..rounds {
            for (figures, act) in all.iter_mut().zip(&acts) {
                let act = Arc::clone(act);
                figures.append(load.run(move |client| act(client)).await?);
            }
        }
        Ok(all)
    }

    async fn clients_of(
        &self,
        kind: Handshake,
        credentials: &Credentials,
        target: &Target,
    ) -> anyhow::Result<Arc<Clients>> {
        let clients = Clients::new(credentials, kind, self.clients.into(), &target.fhir_url)?;
        clients.prime().await?;
        Ok(Arc::new(clients))
    }
}

/// Of each server when there are several.
const ROUNDS: u32 = 5;
const WARM_UP_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(line: &str) -> Result<Bench, clap::Error> {
        let words = std::iter::once("bench").chain(line.split(' '));
        Line::try_parse_from(words).map(|line| line.arguments.bench)
    }

    #[test]
    fn every_option_of_the_contract_is_read() {
        let line = "deposit --size 250k --seconds 10 --clients 16 --rate 300 --json --vs-limit";
        let Ok(Bench::Deposit(options)) = parse(line) else { panic!("{line}") };
        assert_eq!(options.load.size.bytes, 250_000);
        assert_eq!((options.load.seconds, options.load.clients), (Duration::from_secs(10), 16));
        assert!(options.load.rate == Some(300) && options.load.ending.json && options.vs_limit);
    }

    #[test]
    fn a_target_needs_certificates_and_excludes_the_limit() {
        assert!(parse("search --target https://host").is_err());
        assert!(parse("search --ins 1.2.250.1.213.1.4.10|279035121518989").is_err());
        let complete = "search --target https://host --ca a --cert b --key c";
        assert!(parse(complete).is_ok());
        assert!(parse(&format!("{complete} --vs-limit")).is_err());
        assert!(parse(&format!("{complete} --vs-unjournaled")).is_err());
    }

    #[test]
    fn reads_are_held_against_one_thing_at_a_time() {
        let versus = |line| match parse(line) {
            Ok(Bench::Search(read) | Bench::Retrieve(read)) => Some(read.versus()),
            _ => None,
        };
        assert_eq!(versus("search --vs-unjournaled"), Some(Versus::Unjournaled));
        assert_eq!(versus("retrieve --vs-limit"), Some(Versus::Limit));
        assert_eq!(versus("retrieve"), Some(Versus::Nothing));
        assert_eq!(versus("search --vs-limit --vs-unjournaled"), None);
        assert!(parse("deposit --vs-unjournaled").is_err());
    }

    #[test]
    fn impossible_loads_are_bad_usage() {
        for line in
            ["deposit --clients 0", "deposit --rate 0", "deposit --seconds 0", "search --entries 0", "limit --vs-limit"]
        {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
