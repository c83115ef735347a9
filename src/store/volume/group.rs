//! Many documents, one sync: a thread that writes small documents as they come and syncs once for all that came
//! meanwhile. Whoever brings a large one has written it before and waits here for the sync alone, so that no
//! small one waits for its bytes.

use std::io;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::file::Volume;
use super::{Folder, Placed};
use crate::spool::Spooled;
use crate::store::error::Error;

/// Handle on the thread, which ends when every handle is gone.
#[derive(Clone)]
pub(super) struct Group {
    queue: mpsc::Sender<Waiting>,
}

pub(super) enum Arrival {
    ToWrite(Spooled),
    Written(Placed),
}

struct Waiting {
    arrival: Arrival,
    done: oneshot::Sender<Result<Placed, Error>>,
}

impl Group {
    pub(super) fn start(folder: Arc<Folder>) -> Result<Self, Error> {
        let (queue, waiting) = mpsc::channel(GROUP_MAX);
        std::thread::Builder::new().name("carnet-volumes".to_owned()).spawn(move || run(&folder, waiting))?;
        Ok(Self { queue })
    }

    /// Whether the thread still runs.
    pub(super) fn is_alive(&self) -> bool {
        !self.queue.is_closed()
    }

    /// Returns once the document is on stable storage.
    pub(super) async fn join(&self, arrival: Arrival) -> Result<Placed, Error> {
        let (done, placed) = oneshot::channel();
        self.queue.send(Waiting { arrival, done }).await.map_err(|_| Error::Stopped)?;
        placed.await.map_err(|_| Error::Stopped)?
    }
}

fn run(folder: &Folder, mut queue: mpsc::Receiver<Waiting>) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    while queue.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
        let written: Vec<_> = group
            .drain(..)
            .map(|Waiting { arrival, done }| match arrival {
                Arrival::ToWrite(content) => (folder.write(content), done),
                Arrival::Written(placed) => (Ok(placed), done),
            })
            .collect();
        // Nearly always one volume.
        let mut volumes: Vec<Arc<Volume>> = Vec::new();
        for placed in written.iter().filter_map(|(placed, _)| placed.as_ref().ok()) {
            if !volumes.iter().any(|volume| Arc::ptr_eq(volume, &placed.volume)) {
                volumes.push(Arc::clone(&placed.volume));
            }
        }
        let failed = volumes.iter().try_for_each(|volume| volume.sync()).err();
        if failed.is_some() {
            // What the system kept of these pages is unknown: the next document begins a volume of its own.
            folder.leave();
        }
        for (placed, done) in written {
            let outcome = match &failed {
                Some(error) => placed.and(Err(copy(error).into())),
                None => placed,
            };
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
