//! Revocation from every source, over real sockets: lists and responders served on loopback, time moved by hand.

mod expiry;
mod list;
mod policy;
mod responder;

use std::path::PathBuf;

use carnet::cli::client::Client;
use carnet::clock::Clock;
use carnet::config::{HttpAddress, Limits, Revocation, RevocationPolicy, Tls};
use carnet::tls::development_pki::Issued;
use jiff::{SignedDuration, Timestamp};

use crate::support::publisher::{Authority, Publisher, Served};
use crate::support::test_listener::{TestListener, hospital};

const LIST: &str = "/organisations.crl";
const DELTA: &str = "/delta.crl";
const OCSP: &str = "/ocsp";
const HOSPITAL: &str = "1750803447";
const WITHDRAWN: &str = "certificate-withdrawn";

/// A gateway that knows the lists of the root from a file, and of the authority ORGANISATIONS what is published.
struct Scene {
    publisher: Publisher,
    listener: TestListener,
    authority: Authority,
    clock: Clock,
    settings: Revocation,
    tls: Tls,
}

impl Scene {
    /// Under a hard policy, with lists to fetch and no responder.
    async fn of_lists() -> Self {
        Self::set(|publisher, settings, _| {
            settings.crl_urls = [LIST, DELTA].map(|path| address(&publisher.url(path))).to_vec();
        })
        .await
    }

    /// Under a hard policy, with a responder and no lists.
    async fn of_responder() -> Self {
        Self::set(|publisher, settings, _| {
            let authority = "TEST AC CARNET DEVELOPMENT ORGANISATIONS".to_owned();
            settings.ocsp_urls = [(authority, address(&publisher.url(OCSP)))].into();
        })
        .await
    }

    async fn set(change: impl FnOnce(&Publisher, &mut Revocation, &mut Tls)) -> Self {
        let publisher = Publisher::start().await;
        let clock = Clock::fixed(Clock::System.now());
        let mut read = None;
        let settle = |pki: &carnet::tls::development_pki::DevelopmentPki, tls: &mut Tls| {
            let file = |name: &str| pki.directory().join(name);
            tls.client_crls = vec![file("crl/racine.pem")];
            tls.issuers.clear();
            let mut settings = Revocation {
                policy: RevocationPolicy::Hard,
                authorities: vec![file("ca/organisations.pem")],
                folder: file("fetched"),
                timeout_seconds: 2,
                crl_bytes_max: 10_000,
                ..Revocation::default()
            };
            change(&publisher, &mut settings, tls);
            read = Some((tls.clone(), settings.clone()));
            settings
        };
        let listener = TestListener::start_under(clock.clone(), settle, Limits::default()).await;
        let authority = Authority::of(listener.pki.directory(), "organisations");
        let (tls, settings) = read.unwrap();
        Self { publisher, listener, authority, clock, settings, tls }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Time passes, and what is due by then is fetched and asked.
    async fn pass(&self, hours: i64) {
        self.pass_minutes(hours * 60).await;
    }

    async fn pass_minutes(&self, minutes: i64) {
        let Clock::Fixed(us) = &self.clock else { panic!("the clock of the machine does not move by hand") };
        let later = self.now() + SignedDuration::from_mins(minutes);
        us.store(later.as_microsecond(), std::sync::atomic::Ordering::Relaxed);
        self.listener.trust.fetch_lists().await;
        self.listener.trust.refresh_answers().await;
    }

    fn publish(&self, path: &str, draft: &crate::support::publisher::Draft) {
        self.publisher.serve(path, Served::Bytes(self.authority.list(draft)));
    }

    fn hospital(&self) -> (Issued, Client) {
        let issued = self.listener.issue(&hospital());
        let client = self.listener.client(&issued);
        (issued, client)
    }

    /// Whether somebody whom nobody has revoked comes in over a new connection.
    async fn lets_in(&self) -> bool {
        let (_, client) = self.hospital();
        self.listener.who(&client).await.is_ok_and(|who| who == HOSPITAL)
    }

    async fn lets_in_again(&self, issued: &Issued) -> bool {
        self.listener.who(&self.listener.client(issued)).await.is_ok_and(|who| who == HOSPITAL)
    }

    fn fetched_files(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(&self.settings.folder) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

fn address(url: &str) -> HttpAddress {
    HttpAddress::try_from(url.to_owned()).unwrap()
}
