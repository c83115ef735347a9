//! HTTP/2 by hand, frame by frame: what no well-behaved client would send. Source: RFC 9113, RFC 7541.

use std::time::Duration;

use carnet::cli::client::Client;
use carnet::tls::development_pki::Issued;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::test_listener::TestListener;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// A connection over mutual TLS whose preface is sent. It acknowledges nothing by itself.
pub(crate) struct RawHttp2 {
    stream: TlsStream<TcpStream>,
}

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl RawHttp2 {
    pub(crate) async fn connect(listener: &TestListener, issued: &Issued) -> Self {
        let mut config = listener.client_config(issued, rustls::ALL_VERSIONS);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = Client::with_config(config).connect(&listener.url("/").parse().unwrap()).await.unwrap();
        let mut connection = Self { stream };
        connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        connection.send(&frame(SETTINGS, 0, 0, &[])).await;
        connection
    }

    pub(crate) async fn send(&mut self, frames: &[u8]) {
        self.stream.write_all(frames).await.unwrap();
    }

    /// The next frame; `None` when the connection has ended.
    pub(crate) async fn receive(&mut self) -> Option<Frame> {
        let read = async {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.ok()?;
            let [high, middle, low, kind, flags, stream @ ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
            self.stream.read_exact(&mut payload).await.ok()?;
            Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
        };
        tokio::time::timeout(PATIENCE, read).await.expect("a frame or the end in time")
    }

    /// Reads on until a frame is of this kind, on this stream.
    pub(crate) async fn receive_on(&mut self, kind: u8, stream: u32) -> Frame {
        loop {
            let frame = self.receive().await.expect("the connection ended");
            if (frame.kind, frame.stream) == (kind, stream) {
                return frame;
            }
        }
    }

    /// Sends `frames(1)`, `frames(2)`... up to `count`, reading all the while, and tells whether the server ended
    /// the connection.
    pub(crate) async fn ends_under(self, count: u32, frames: impl Fn(u32) -> Vec<u8>) -> bool {
        let (mut reading, mut writing) = tokio::io::split(self.stream);
        let ended = async {
            let mut buffer = vec![0; 64 * 1024];
            while reading.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
        };
        let flood = async {
            for number in 1..=count {
                if writing.write_all(&frames(number)).await.is_err() {
                    return;
                }
            }
            std::future::pending::<()>().await;
        };
        let either = async {
            tokio::select! {
                () = ended => {}
                () = flood => {}
            }
        };
        tokio::time::timeout(PATIENCE, either).await.is_ok()
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, high, middle, low] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![high, middle, low, kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A header block: GET or POST of this path, fields that the static table has and literals that are not indexed.
pub(crate) fn request(method: Method, path: &str) -> Vec<u8> {
    let mut block = vec![method as u8, 0x87];
    for (name, value) in [(0x04, path), (0x01, "localhost")] {
        block.extend([name, u8::try_from(value.len()).unwrap()]);
        block.extend(value.bytes());
    }
    block
}

/// Its index in the static table.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum Method {
    Get = 0x82,
    Post = 0x83,
}

/// `:status: 200` in the static table.
pub(crate) const STATUS_200: u8 = 0x88;

/// Longer than any limit of time under test.
const PATIENCE: Duration = Duration::from_secs(30);
