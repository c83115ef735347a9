//! Heads that are kept for good: in the database, and in a file that operators ship elsewhere. Against a head that is
//! out of their reach, even whoever rewrites the whole database, key in hand, is found out.

use std::path::Path;

use super::heads_file::LockedFile;
use crate::store::journal::heads::{check_current_is_last, keep_current, list_kept};
use crate::store::{Error, Store};

/// Keeps the current head, if lines came since the last one, and brings the file up to what the database has: also with
/// heads that another gateway kept, or that were kept when the file could not be written.
///
/// Errors: the current head is behind one that was kept: the database, or its head, was put back.
pub async fn keep(store: &Store, file: &Path) -> Result<(), Error> {
    let path = file.to_owned();
    let identity = store.identity();
    let opened = blocking(move || LockedFile::open(&path, identity)).await;
    // Under the lock: whatever is in the file was in the database before.
    let filed = opened.as_ref().map_or(0, LockedFile::last);
    let keep = store.write("keep_head", move |tx| {
        Box::pin(async move {
            check_current_is_last(tx, filed).await?;
            keep_current(tx).await
        })
    });
    keep.await?;
    let mut file = opened?;
    loop {
        let after = file.last();
        let heads = store.read("list_heads", move |tx| Box::pin(list_kept(tx, after, i64::MAX, HEADS_AT_ONCE))).await?;
        if heads.is_empty() {
            return Ok(());
        }
        file = blocking(move || file.append(&heads)).await?;
    }
}

const HEADS_AT_ONCE: u32 = 1000;

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Stopped)?.map_err(Error::from)
}
