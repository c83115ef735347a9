//! Many documents, one sync: a thread that syncs the volumes for which somebody waits.
//!
//! While it waits for the disk, the next group gathers. Whoever asks has written before, so what is synced after
//! the question holds all of it.

use std::io;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::file::Volume;
use crate::store::error::Error;

/// Handle on the thread, which ends when every handle is gone.
#[derive(Clone)]
pub(super) struct Syncer {
    queue: mpsc::Sender<Waiting>,
}

struct Waiting {
    volume: Arc<Volume>,
    done: oneshot::Sender<io::Result<()>>,
}

impl Syncer {
    pub(super) fn start() -> Result<Self, Error> {
        let (queue, waiting) = mpsc::channel(GROUP_MAX);
        std::thread::Builder::new().name("carnet-volumes".to_owned()).spawn(move || run(waiting))?;
        Ok(Self { queue })
    }

    /// Returns once what was written to `volume` is on stable storage.
    pub(super) async fn sync(&self, volume: Arc<Volume>) -> Result<(), Error> {
        let (done, synced) = oneshot::channel();
        self.queue.send(Waiting { volume, done }).await.map_err(|_| Error::Stopped)?;
        Ok(synced.await.map_err(|_| Error::Stopped)??)
    }
}

fn run(mut queue: mpsc::Receiver<Waiting>) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    while queue.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
        // Nearly always one volume.
        group.sort_by_key(|waiting| waiting.volume.number());
        let mut synced: Option<(u32, io::Result<()>)> = None;
        for Waiting { volume, done } in group.drain(..) {
            if synced.as_ref().is_none_or(|(number, _)| *number != volume.number()) {
                synced = Some((volume.number(), volume.sync()));
            }
            let outcome = synced.as_ref().map_or(Ok(()), |(_, outcome)| outcome.as_ref().copied().map_err(copy));
            // Whoever went away does not want to know.
            let _ = done.send(outcome);
        }
    }
}

/// The same failure for everybody of a group; the error itself cannot be cloned.
fn copy(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

const GROUP_MAX: usize = 128;
