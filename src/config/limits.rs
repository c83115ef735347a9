//! `[limits]`: how much, how fast and how long; for one caller, one structure, one address, and for all. Contract 2, 7.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;

use super::Network;

#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Whole request body, as sent (base64 counts).
    pub body_bytes_max: u64,
    /// One document, decoded.
    pub document_bytes_max: u64,
    /// Everything of a message but its documents: what a JSON or XML tree may be built of.
    pub message_bytes_max: usize,
    /// An XML message is read whole, documents included, up to this size.
    pub xml_body_bytes_max: usize,
    /// Of one document in memory; the rest goes to a file.
    pub document_memory_bytes_max: usize,
    /// Of all XML messages being read at one time, counted as they arrive; more are answered 503.
    pub xml_bodies_bytes_max: usize,
    pub header_seconds: u64,
    /// How far a body may fall behind `body_bytes_per_second_min`: also the longest silence.
    pub body_idle_seconds: u64,
    /// Also that an answer is expected to be taken at; it may fall behind by `idle_seconds`.
    pub body_bytes_per_second_min: u64,
    pub handshake_seconds: u64,
    pub idle_seconds: u64,
    pub shutdown_seconds: u64,
    pub connections_max: usize,
    /// Open connections of one client certificate; of all certificates of one structure (one Struct_IdNat).
    pub connections_per_certificate_max: u64,
    pub connections_per_structure_max: u64,
    /// Handshakes going on at one time, beside the open connections.
    pub handshakes_max: u64,
    /// Handshakes that one address (of IPv6: one /64) has going on at one time, and begins in a second.
    pub handshakes_per_address_max: u64,
    pub handshakes_per_second_per_address: NonZeroU32,
    /// Whose handshakes are not counted: load balancers that pass TCP on, behind which is everybody.
    pub unlimited_addresses: Vec<Network>,
    /// Deposits being received or stored at one time; more are answered 503.
    pub deposits_in_flight_max: usize,
    pub reads_in_flight_max: usize,
    /// Of those, by one certificate and by one structure; more are answered 429, as is what follows.
    pub deposits_in_flight_per_certificate_max: u64,
    pub deposits_in_flight_per_structure_max: u64,
    pub reads_in_flight_per_certificate_max: u64,
    pub reads_in_flight_per_structure_max: u64,
    /// Also how many may come at once.
    pub requests_per_second_per_certificate: NonZeroU32,
    pub requests_per_second_per_structure: NonZeroU32,
    /// Of bodies on their way in; one with a Content-Length counts whole from the start.
    pub body_bytes_in_flight_per_certificate_max: u64,
    pub body_bytes_in_flight_per_structure_max: u64,
    pub search_page_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            body_bytes_max: 150 * MIB as u64,
            document_bytes_max: 100 * MIB as u64,
            message_bytes_max: 2 * MIB,
            xml_body_bytes_max: 32 * MIB,
            document_memory_bytes_max: MIB,
            xml_bodies_bytes_max: 64 * MIB,
            header_seconds: 10,
            body_idle_seconds: 30,
            body_bytes_per_second_min: 8 * 1024,
            handshake_seconds: 10,
            idle_seconds: 60,
            shutdown_seconds: 30,
            connections_max: 1024,
            connections_per_certificate_max: 256,
            connections_per_structure_max: 512,
            handshakes_max: 1024,
            handshakes_per_address_max: 64,
            handshakes_per_second_per_address: const { NonZeroU32::new(100).unwrap() },
            unlimited_addresses: vec![Network::LOOPBACK_V4, Network::LOOPBACK_V6],
            deposits_in_flight_max: 64,
            reads_in_flight_max: 256,
            deposits_in_flight_per_certificate_max: 32,
            deposits_in_flight_per_structure_max: 48,
            reads_in_flight_per_certificate_max: 128,
            reads_in_flight_per_structure_max: 192,
            requests_per_second_per_certificate: const { NonZeroU32::new(1_000).unwrap() },
            requests_per_second_per_structure: const { NonZeroU32::new(2_000).unwrap() },
            body_bytes_in_flight_per_certificate_max: 1024 * MIB as u64,
            body_bytes_in_flight_per_structure_max: 1536 * MIB as u64,
            search_page_max: 200,
        }
    }
}

impl Limits {
    pub fn header_timeout(&self) -> Duration {
        Duration::from_secs(self.header_seconds)
    }

    /// Key and problem of a value that cannot be meant.
    pub(super) fn contradiction(&self) -> Option<(&'static str, &'static str)> {
        let never = [
            (
                self.document_bytes_max > self.body_bytes_max,
                "limits.document_bytes_max",
                "is above limits.body_bytes_max, which would never let it in",
            ),
            (
                self.xml_body_bytes_max > self.xml_bodies_bytes_max,
                "limits.xml_body_bytes_max",
                "is above limits.xml_bodies_bytes_max, which counts all of them",
            ),
            (
                self.body_bytes_in_flight_max_of_one() < self.body_bytes_max,
                "limits.body_bytes_max",
                "is above limits.body_bytes_in_flight_*, which would never let it in",
            ),
            (self.lets_nothing_through(), "limits", "a limit of 0 lets nothing through"),
        ];
        never.into_iter().find(|(is_so, ..)| *is_so).map(|(_, key, problem)| (key, problem))
    }

    fn body_bytes_in_flight_max_of_one(&self) -> u64 {
        self.body_bytes_in_flight_per_certificate_max.min(self.body_bytes_in_flight_per_structure_max)
    }

    fn lets_nothing_through(&self) -> bool {
        let counts = [
            self.connections_per_certificate_max,
            self.connections_per_structure_max,
            self.handshakes_max,
            self.handshakes_per_address_max,
            self.deposits_in_flight_per_certificate_max,
            self.deposits_in_flight_per_structure_max,
            self.reads_in_flight_per_certificate_max,
            self.reads_in_flight_per_structure_max,
            self.body_bytes_per_second_min,
            self.search_page_max.into(),
            self.header_seconds,
            self.body_idle_seconds,
            self.handshake_seconds,
            self.idle_seconds,
        ];
        let places = [self.connections_max, self.deposits_in_flight_max, self.reads_in_flight_max];
        counts.contains(&0) || places.contains(&0)
    }
}

/// Known keys of the section.
pub(super) const KEYS: &[&str] = &[
    "body_bytes_max",
    "document_bytes_max",
    "message_bytes_max",
    "xml_body_bytes_max",
    "document_memory_bytes_max",
    "xml_bodies_bytes_max",
    "header_seconds",
    "body_idle_seconds",
    "body_bytes_per_second_min",
    "handshake_seconds",
    "idle_seconds",
    "shutdown_seconds",
    "connections_max",
    "connections_per_certificate_max",
    "connections_per_structure_max",
    "handshakes_max",
    "handshakes_per_address_max",
    "handshakes_per_second_per_address",
    "unlimited_addresses",
    "deposits_in_flight_max",
    "reads_in_flight_max",
    "deposits_in_flight_per_certificate_max",
    "deposits_in_flight_per_structure_max",
    "reads_in_flight_per_certificate_max",
    "reads_in_flight_per_structure_max",
    "requests_per_second_per_certificate",
    "requests_per_second_per_structure",
    "body_bytes_in_flight_per_certificate_max",
    "body_bytes_in_flight_per_structure_max",
    "search_page_max",
];
