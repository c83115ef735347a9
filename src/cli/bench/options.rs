//! What one types after the name of a bench.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use http::Uri;

use super::amount::{self, Size};
use super::ground::{Filling, Ground};
use super::scene::{self, Credentials, Running, Scene};
use super::traffic::Target;
use crate::domain::ins::Ins;

#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) load: LoadOptions,
    /// Documents in each record that is searched
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) entries: u16,
    /// Run the limit server in turn with the gateway, and give the ratio
    #[arg(long)]
    pub(super) vs_limit: bool,
    #[command(flatten)]
    pub(super) remote: RemoteOptions,
}

#[derive(Args)]
pub(super) struct ReadOptions {
    #[command(flatten)]
    pub(super) options: Options,
    /// Run a gateway whose reads leave no journal line in turn with the usual one, and give the ratio
    #[arg(long, conflicts_with_all = ["vs_limit", "target"])]
    pub(super) vs_unjournaled: bool,
}

/// What a gateway is held against, in the same run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Versus {
    Nothing,
    Limit,
    Unjournaled,
}

#[derive(Args)]
pub(super) struct LoadOptions {
    /// Length of a document: 250k, 20m
    #[arg(long, default_value = "250k")]
    pub(super) size: Size,
    /// How long to measure, after a short warm-up
    #[arg(long, default_value = "10", value_parser = amount::seconds)]
    pub(super) seconds: Duration,
    /// How many exchanges there may be at one time
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) clients: u16,
    /// Open loop: so many exchanges a second, latency counted from when each was due
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) rate: Option<u32>,
    #[command(flatten)]
    pub(super) ending: EndingOptions,
}

#[derive(Args)]
pub(super) struct EndingOptions {
    /// Where the throw-away folder is made: on the disk that is to be measured
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Print the outcome as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args)]
pub(super) struct CoreOptions {
    /// How long to measure
    #[arg(long, default_value = "10", value_parser = amount::seconds)]
    pub(super) seconds: Duration,
    /// Print the outcome as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args)]
pub(super) struct RemoteOptions {
    /// Address of a running gateway, instead of a throw-away one
    #[arg(long, value_name = "URL", requires_all = ["ca", "cert", "key"], conflicts_with = "vs_limit")]
    pub(super) target: Option<Uri>,
    /// Authority that issued the certificate of the target
    #[arg(long, requires = "target")]
    ca: Option<PathBuf>,
    /// Certificate of the caller, with its chain
    #[arg(long, requires = "target")]
    cert: Option<PathBuf>,
    /// Key of the caller
    #[arg(long, requires = "target")]
    key: Option<PathBuf>,
    /// Patient whose record is used: `OID|matricule`
    #[arg(long, requires = "target")]
    ins: Option<Ins>,
}

impl Options {
    pub(super) fn versus(&self) -> Versus {
        if self.vs_limit { Versus::Limit } else { Versus::Nothing }
    }

    pub(super) fn remote_ground(&self, url: &Uri) -> anyhow::Result<Ground> {
        let Some(patient) = &self.remote.ins else { bail!("--target needs --ins: whose record to use") };
        let records = std::array::from_fn(|_| vec![patient.clone()]);
        Ok(self.ground(self.remote.target(url)?, records, Filling::None))
    }

    /// The records of a throw-away gateway.
    pub(super) fn ground_of(&self, gateway: &Running) -> Ground {
        self.ground(gateway.target.clone(), std::array::from_fn(Scene::records), Filling::Needed)
    }

    fn ground(&self, target: Target, records: [Vec<Ins>; scene::GROUPS], filling: Filling) -> Ground {
        Ground { target, records, filling, size: self.load.size, entries: self.entries }
    }
}

impl ReadOptions {
    pub(super) fn versus(&self) -> Versus {
        if self.vs_unjournaled { Versus::Unjournaled } else { self.options.versus() }
    }
}

impl EndingOptions {
    pub(super) fn scene(&self) -> anyhow::Result<Scene> {
        Scene::make(&self.folder()).with_context(|| format!("make a throw-away folder in {}", self.folder().display()))
    }

    /// What a reader of the figures should know of where they come from.
    pub(super) fn warning(&self) -> Option<String> {
        let folder = self.folder();
        let told = || format!("{} is in memory, so no disk is measured; choose another with --dir", folder.display());
        scene::is_in_memory(&folder).then(told)
    }

    fn folder(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(std::env::temp_dir)
    }
}

impl RemoteOptions {
    pub(super) fn credentials(&self) -> anyhow::Result<Credentials> {
        let read = |path: &Option<PathBuf>| -> anyhow::Result<String> {
            let path = path.as_ref().context("--target needs --ca, --cert and --key")?;
            std::fs::read_to_string(path).with_context(|| path.display().to_string())
        };
        Ok(Credentials { ca: read(&self.ca)?, chain: read(&self.cert)?, key: read(&self.key)? })
    }

    pub(super) fn target(&self, url: &Uri) -> anyhow::Result<Target> {
        let client = self.credentials()?.client()?;
        Ok(Target { fhir_url: fhir_url(url), depositor: client.clone(), reader: client })
    }
}

/// The address of a gateway may be given with or without the path of its FHIR face.
fn fhir_url(url: &Uri) -> String {
    let text = url.to_string();
    let text = text.trim_end_matches('/');
    if url.path() == "/" { format!("{text}/fhir") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_may_name_the_face_or_leave_it_out() {
        for (given, expected) in [
            ("https://host:8443", "https://host:8443/fhir"),
            ("https://host:8443/", "https://host:8443/fhir"),
            ("https://host/fhir", "https://host/fhir"),
            ("https://host/a/fhir/", "https://host/a/fhir"),
        ] {
            assert_eq!(fhir_url(&given.parse().unwrap()), expected);
        }
    }
}
