//! The configuration of a throw-away gateway: local, with development certificates, for made-up patients.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::PORTAL_ID;
use crate::config::Limits;

/// What gateways of one scene have each for themselves.
pub(in crate::cli::bench) struct Place {
    /// Name of the file, which is also that of the gateway's log.
    pub(in crate::cli::bench) name: &'static str,
    pub(in crate::cli::bench) professionals: SocketAddr,
    pub(in crate::cli::bench) operators: SocketAddr,
    /// How many are to be let in at one time.
    pub(in crate::cli::bench) clients: usize,
    pub(in crate::cli::bench) database: &'static str,
}

impl Place {
    /// Where reads leave no journal line.
    pub(in crate::cli::bench) fn unjournaled(professionals: SocketAddr, operators: SocketAddr, clients: usize) -> Self {
        Self { name: "unjournaled", professionals, operators, clients, database: "unjournaled.db" }
    }

    /// Makes the file.
    pub(in crate::cli::bench) fn write(&self, folder: &Path) -> std::io::Result<PathBuf> {
        let file = folder.join(self.name).with_extension("toml");
        std::fs::write(&file, self.to_toml())?;
        Ok(file)
    }

    fn to_toml(&self) -> String {
        let Self { professionals, operators, clients, database, .. } = *self;
        let Limits { connections_max, deposits_in_flight_max, reads_in_flight_max, .. } = Limits::default();
        // All clients may show one certificate, and what is measured is the gateway, not its limits.
        let connections_max = connections_max.max(clients * 2 + 16);
        let (deposits_max, reads_max) = (deposits_in_flight_max.max(clients), reads_in_flight_max.max(clients));
        format!(
            r#"[listen]
professionals = "{professionals}"
operators = "{operators}"
public_url = "https://{professionals}"

[tls]
allow_development_roots = true

[store]
database = "sqlite:{database}"

[dmp]
ins_domains = ["test"]

[dmp.structure_classes]
{PORTAL_ID} = "patient_portal"

[limits]
connections_max = {connections_max}
connections_per_certificate_max = {connections_max}
connections_per_structure_max = {connections_max}
deposits_in_flight_max = {deposits_max}
deposits_in_flight_per_certificate_max = {deposits_max}
deposits_in_flight_per_structure_max = {deposits_max}
reads_in_flight_max = {reads_max}
reads_in_flight_per_certificate_max = {reads_max}
reads_in_flight_per_structure_max = {reads_max}
requests_per_second_per_certificate = {RATE_MAX}
requests_per_second_per_structure = {RATE_MAX}
body_bytes_in_flight_per_certificate_max = {BYTES_MAX}
body_bytes_in_flight_per_structure_max = {BYTES_MAX}

[log]
filter = "warn"
"#
        )
    }
}

/// More than any load reaches.
const RATE_MAX: u32 = 1_000_000;
const BYTES_MAX: u64 = 1 << 40;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_configuration_admits_as_many_clients_as_the_load_has() {
        let folder = tempfile::tempdir().unwrap();
        let [professionals, operators] = [8443, 9464].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let place = Place { name: "carnet", professionals, operators, clients: 600, database: "carnet.db" };
        let config = Config::load(Some(&place.write(folder.path()).unwrap()), std::iter::empty()).unwrap();
        assert_eq!(config.listen.professionals, professionals);
        assert_eq!(config.sqlite_path(), Some(&*folder.path().join("carnet.db")));
        assert!(config.limits.deposits_in_flight_max >= 600 && config.limits.connections_max >= 1_200);
    }
}
