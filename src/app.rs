//! The whole gateway in one piece: store, trust, faces and listeners, started and stopped together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};

use crate::clock::Clock;
use crate::config::Config;
use crate::fhir;
use crate::identity::admission::Admission;
use crate::identity::oidc::{Bearer, SettingsError};
use crate::identity::vihf;
use crate::operation::gateway::Gateway;
use crate::refusal::Fault;
use crate::serve::{serve, serve_operators};
use crate::tls::trust::{Trust, TrustError};

/// Starts gateways.
pub struct App;

/// A gateway that serves.
pub struct Running {
    /// Where it listens: the ports that the system chose, where the configuration says 0.
    pub professionals: SocketAddr,
    pub operators: SocketAddr,
    pub gateway: Gateway,
    stop: watch::Sender<bool>,
    /// Listeners, and what sends the journal on.
    until_stopped: Vec<JoinHandle<()>>,
    /// Sends notices; told to stop with them.
    sender: JoinHandle<()>,
    watchers: Vec<AbortHandle>,
    grace: Duration,
}

/// Why a gateway does not start: a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error(transparent)]
    Oidc(#[from] SettingsError),
    #[error(transparent)]
    Gateway(#[from] Fault),
}

impl App {
    /// Opens the store, reads certificates and listens; returns once requests are answered.
    pub async fn start(config: Arc<Config>, clock: Clock) -> Result<Running, StartError> {
        let gateway = Gateway::open(Arc::clone(&config), clock.clone());
        Self::start_with(config, clock, gateway).await
    }

    /// The same with a gateway that is opened in another way, once certificates and addresses are found good.
    pub(crate) async fn start_with(
        config: Arc<Config>,
        clock: Clock,
        gateway: impl Future<Output = Result<Gateway, Fault>>,
    ) -> Result<Running, StartError> {
        crate::telemetry::metrics();
        let trust = Trust::load(&config.tls, &config.revocation, clock)?;
        let (professionals, professionals_at) = listen(config.listen.professionals).await?;
        let (operators, operators_at) = listen(config.listen.operators).await?;
        let gateway = gateway.await?;
        if gateway.matrices.habilitation.is_sample {
            tracing::warn!("the habilitation matrix is a sample: name the one in force in dmp.habilitation_matrix");
        }
        let (sender, bell) = gateway.notice_sender()?;
        if !sender.sends() {
            tracing::warn!("mail.smtp names no relay: notices of emergency accesses (R1111-48) wait in the outbox");
        }
        let (stop, stopped) = watch::channel(false);
        let oidc = &config.oidc;
        trust.watch_services(oidc.ca.iter().chain([&oidc.client_certificate]).cloned().collect());
        // Nobody comes in before the lists that can be fetched are: until then no one would count as revoked by them.
        trust.fetch_lists().await;
        let mut watchers = vec![tokio::spawn(Arc::clone(&trust).watch()).abort_handle()];
        let bearer = Bearer::new(&config.oidc, Arc::clone(&gateway.terminology), gateway.clock.clone())?.map(Arc::new);
        if let Some(bearer) = bearer.clone() {
            watchers.push(tokio::spawn(async move { bearer.watch().await }).abort_handle());
        }
        let signers: Arc<dyn vihf::SignerTrust> = trust.clone();
        let judge = vihf::Judge::new(&config, signers, Arc::clone(&gateway.terminology), gateway.clock.clone());
        let verifier = vihf::Verifier::new(judge, gateway.assertion_memory());
        let admission = Admission { vihf: Arc::new(verifier), bearer };
        let every = Duration::from_secs(config.tls.reload_seconds.max(1));
        watchers.push(tokio::spawn(gateway.structures.clone().watch(every)).abort_handle());
        let forwarder =
            gateway.audit_forwarder()?.map(|forwarder| tokio::spawn(forwarder.run(end_of(stopped.clone()))));
        watchers.push(tokio::spawn(keep_heads(gateway.clone(), end_of(stopped.clone()))).abort_handle());
        let (limits, router) = (config.limits.clone(), fhir::exchange::router(gateway.clone(), admission));
        let until = end_of(stopped.clone());
        let faces = tokio::spawn(async move { serve(professionals, trust, router, &limits, until).await });
        let (limits, asked, until) = (config.limits.clone(), gateway.clone(), end_of(stopped.clone()));
        let ready = move || {
            let gateway = asked.clone();
            async move { if gateway.is_ready().await { Ok(()) } else { Err("the database does not answer".to_owned()) } }
        };
        let health = tokio::spawn(async move { serve_operators(operators, ready, &limits, until).await });
        let sender = tokio::spawn(sender.run(bell, end_of(stopped)));
        let grace = Duration::from_secs(config.limits.shutdown_seconds);
        Ok(Running {
            professionals: professionals_at,
            operators: operators_at,
            gateway,
            stop,
            until_stopped: [faces, health].into_iter().chain(forwarder).collect(),
            sender,
            watchers,
            grace,
        })
    }
}

impl Running {
    /// Stops accepting, lets requests and mails in flight finish within `limits.shutdown_seconds`.
    pub async fn stop(mut self) -> Result<(), Fault> {
        self.stop.send_replace(true);
        let mails = tokio::time::timeout(self.grace, &mut self.sender);
        let others = futures_util::future::join_all(self.until_stopped);
        let (mails, others) = tokio::join!(mails, others);
        if mails.is_err() {
            // A mail that was not taken yet is sent again after its lease.
            self.sender.abort();
        }
        for ended in others {
            ended.map_err(|error| Fault::new("a task of the gateway", error))?;
        }
        self.watchers.iter().for_each(AbortHandle::abort);
        // The last lines are held by a head outside of the database, too.
        self.gateway.keep_head().await;
        Ok(())
    }
}

async fn keep_heads(gateway: Gateway, until: impl Future<Output = ()>) {
    tokio::select! {
        () = gateway.keep_heads() => {}
        () = until => {}
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let bound = TcpListener::bind(address).await.and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (local, listener) = bound.map_err(|source| StartError::Listen { address, source })?;
    Ok((listener, local))
}

/// Over once somebody says stop, or nobody is left to say it.
async fn end_of(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}
