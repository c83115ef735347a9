//! One file, one writer, one fdatasync for all that waited meanwhile.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

/// Handle on the writer; it ends when every handle is gone.
pub(super) struct Appender {
    queue: mpsc::Sender<Waiting>,
}

struct Waiting {
    bytes: Bytes,
    done: oneshot::Sender<io::Result<()>>,
}

impl Appender {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        let (queue, waiting) = mpsc::channel(GROUP_MAX);
        std::thread::spawn(move || write(file, waiting));
        Ok(Self { queue })
    }

    /// Returns once the bytes are on stable storage.
    pub(super) async fn append(&self, bytes: Bytes) -> io::Result<()> {
        let (done, written) = oneshot::channel();
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        self.queue.send(Waiting { bytes, done }).await.map_err(|_| gone())?;
        written.await.map_err(|_| gone())?
    }
}

fn write(mut file: File, mut queue: mpsc::Receiver<Waiting>) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    while queue.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
        let written =
            group.iter().try_for_each(|waiting| file.write_all(&waiting.bytes)).and_then(|()| file.sync_data());
        for Waiting { done, .. } in group.drain(..) {
            // Whoever went away does not want to know.
            let _ = done.send(written.as_ref().copied().map_err(|error| error.kind().into()));
        }
    }
}

const GROUP_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_appended_is_in_the_file_in_whole_pieces() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let appender = Appender::open(&path).unwrap();
        let pieces = (0..50_u8).map(|n| appender.append(Bytes::from(vec![n; 1_000])));
        let results = futures_util::future::join_all(pieces).await;
        assert!(results.iter().all(Result::is_ok));
        let written = std::fs::read(&path).unwrap();
        assert_eq!(written.len(), 50_000);
        assert!(written.chunks(1_000).all(|piece| piece.iter().all(|byte| *byte == piece[0])));
    }
}
