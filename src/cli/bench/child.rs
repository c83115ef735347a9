//! A server as a child process: started, waited for, watched, and ended on every way out.

use std::ffi::OsStr;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Ends with this value, at once: what it worked on is thrown away anyhow.
pub(super) struct Child {
    inner: std::process::Child,
    /// From spawn to ready.
    pub(super) start: Duration,
    idle_kib: Option<u64>,
}

/// How a server tells that it is ready.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ready {
    /// It answers 200 to `GET /health/ready` here, in plain HTTP.
    Health(SocketAddr),
    /// It accepts connections here.
    Accepts(SocketAddr),
}

/// Resident memory in MB (10^6 bytes).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Resident {
    pub(super) idle_mb: f64,
    pub(super) peak_mb: f64,
}

impl Child {
    /// Starts this same program with other arguments; what it says goes to `log`.
    ///
    /// Errors: it ends or is not ready in time; its last words are in the error.
    pub(super) async fn start(arguments: &[&OsStr], log: &Path, ready: Ready) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("find this program")?;
        let output = File::create(log).with_context(|| log.display().to_string())?;
        let spawned = Instant::now();
        let inner = std::process::Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("start a server")?;
        let mut child = Self { inner, start: Duration::ZERO, idle_kib: None };
        while !ready.holds().await {
            if let Some(status) = child.inner.try_wait()? {
                bail!("the server ended before it was ready ({status}): {}", last_words(log));
            }
            if spawned.elapsed() > READY_TIMEOUT {
                bail!("the server is not ready after {} s: {}", READY_TIMEOUT.as_secs(), last_words(log));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        child.start = spawned.elapsed();
        child.idle_kib = child.status_kib("VmRSS:");
        Ok(child)
    }

    /// Resident memory when it was ready and at most since then; unknown where there is no `/proc`.
    pub(super) fn resident(&self) -> Option<Resident> {
        Some(Resident { idle_mb: megabytes(self.idle_kib?), peak_mb: megabytes(self.status_kib("VmHWM:")?) })
    }

    /// Processor time that it has used so far, in user and kernel; unknown where there is no `/proc`.
    pub(super) fn processor_time(&self) -> Option<Duration> {
        read_processor_time(&std::fs::read_to_string(format!("/proc/{}/stat", self.inner.id())).ok()?)
    }

    /// Lets the peak of memory start anew: what was needed to prepare a load is not part of it.
    pub(super) fn forget_peak(&self) {
        // Where the kernel refuses, the peak of the preparation counts too.
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.inner.id()), "5");
    }

    fn status_kib(&self, key: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.inner.id())).ok()?;
        read_kib(&status, key)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Either fails only when it has ended by itself.
        let _ = self.inner.kill();
        let _ = self.inner.wait();
    }
}

impl Ready {
    async fn holds(self) -> bool {
        let asked = async {
            match self {
                Self::Accepts(address) => TcpStream::connect(address).await.map(drop),
                Self::Health(address) => ask_health(address).await,
            }
        };
        matches!(tokio::time::timeout(PROBE_TIMEOUT, asked).await, Ok(Ok(())))
    }
}

async fn ask_health(address: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /health/ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = [0; OK.len()];
    stream.read_exact(&mut answer).await?;
    if answer == *OK { Ok(()) } else { Err(std::io::ErrorKind::NotConnected.into()) }
}

fn read_kib(status: &str, key: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(key))?.trim().strip_suffix(" kB")?.parse().ok()
}

/// Fields 14 and 15 of proc_pid_stat(5), counted after the name of the program, which may hold anything.
fn read_processor_time(stat: &str) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(TICK * u32::try_from(ticks()? + ticks()?).ok()?)
}

fn megabytes(kib: u64) -> f64 {
    f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) * 1024.0 / 1e6
}

fn last_words(log: &Path) -> String {
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

/// USER_HZ is 100 on every Linux that this runs on.
const TICK: Duration = Duration::from_millis(10);
const OK: &[u8; 12] = b"HTTP/1.1 200";
const READY_TIMEOUT: Duration = Duration::from_secs(30);
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
const POLL_INTERVAL: Duration = Duration::from_millis(1);
const LAST_LINES: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_from_the_status_of_a_process() {
        let status = "Name:\tcarnet\nVmHWM:\t  102400 kB\nVmRSS:\t   20480 kB\n";
        assert_eq!(read_kib(status, "VmHWM:"), Some(102_400));
        assert_eq!(read_kib(status, "VmRSS:").map(megabytes), Some(20.971_52));
        assert_eq!(read_kib(status, "VmSwap:"), None);
    }

    #[test]
    fn processor_time_is_read_whatever_the_program_is_called() {
        let stat = "4711 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 3 0 100";
        assert_eq!(read_processor_time(stat), Some(Duration::from_secs(2)));
        assert_eq!(read_processor_time("4711 (carnet) S 1 2"), None);
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_is_not_ready() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert!(Ready::Accepts(address).holds().await);
        drop(listener);
        assert!(!Ready::Accepts(address).holds().await);
        assert!(!Ready::Health(address).holds().await);
    }

    #[tokio::test]
    async fn a_server_that_ends_at_once_is_an_error_with_its_last_words() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        // This program is the test runner here: it does not know the argument.
        let arguments = [OsStr::new("--no-such-argument")];
        let unused = "127.0.0.1:1".parse().unwrap();
        let error = Child::start(&arguments, &log, Ready::Accepts(unused)).await.err().unwrap().to_string();
        assert!(error.contains("ended before it was ready") && error.contains("no-such-argument"), "{error}");
    }
}
