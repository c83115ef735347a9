use jiff::ToSpan as _;

use super::*;
use crate::domain::dossier::DossierState;
use crate::domain::ids::LogicalId;
use crate::store::connect::{Journaling, Room};
use crate::store::{Store, dossier};

/// A store with one record, and what tests say of its outbox.
struct Desk {
    store: Store,
    dossier: DossierId,
    now: Timestamp,
    _folder: tempfile::TempDir,
}

impl Desk {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let room = Room { bytes_max: 0, free_bytes_min: 0 };
        let (file, documents) = (folder.path().join("carnet.db"), folder.path().join("documents"));
        let store = Store::open_sqlite(&file, &documents, room, Journaling::Read).await.unwrap();
        let (dossier, now) = (DossierId::new(), "2026-11-22T06:00:00Z".parse().unwrap());
        let open = store.write("open", move |tx| {
            Box::pin(async move {
                let ins = "1.2.250.1.213.1.4.10|279035121518989".parse().unwrap();
                dossier::insert(tx, dossier, &ins, DossierState::Activated, now).await
            })
        });
        open.await.unwrap();
        Self { store, dossier, now, _folder: folder }
    }

    fn advice(&self) -> Notice {
        Notice::of_invisible_document(self.dossier, LogicalId::new(), self.now)
    }

    async fn write(&self, change: impl FnOnce(&mut Tx<'_>) + Send + 'static) {
        let write = self.store.write("test", move |tx| {
            Box::pin(async move {
                change(tx);
                Ok(())
            })
        });
        write.await.unwrap();
    }

    async fn add(&self, notice: &Notice) {
        let notice = notice.clone();
        self.write(move |tx| insert(tx, &notice)).await;
    }

    async fn cancel(&self, notice: &Notice) {
        let (notice, now) = (notice.clone(), self.now);
        self.write(move |tx| cancel(tx, &notice.addressee, notice.dossier, notice.kind, &notice.occasion, now)).await;
    }

    async fn note_address(&self) {
        let (patient, now) = (Addressee::Patient(self.dossier), self.now);
        self.write(move |tx| set_contact(tx, &patient, &"patient@exemple.fr".parse().unwrap(), now)).await;
    }

    /// Claims, each for a minute, all there is `days` from the start on.
    async fn claim(&self, days: i64) -> Vec<Claimed> {
        let now = self.now + (24 * days).hours();
        let mut all = Vec::new();
        while let Some(claimed) =
            self.store.write("claim", move |tx| Box::pin(claim(tx, now, now + 1.minutes()))).await.unwrap()
        {
            all.push(claimed);
        }
        all
    }

    /// Reasons that any notice waits for, `days` from the start on, and whether it is the turn of one.
    async fn tally(&self, days: i64) -> (Vec<(&'static str, u32)>, bool) {
        let now = self.now + (24 * days).hours();
        let read = self
            .store
            .read("tally", move |tx| Box::pin(async move { Ok((tally(tx, now).await?, is_any_due(tx, now).await?)) }));
        let (tally, is_due) = read.await.unwrap();
        assert_eq!(tally.map(|(reason, _)| reason), REASONS);
        (tally.into_iter().filter(|(_, count)| *count > 0).collect(), is_due)
    }
}

#[tokio::test]
async fn a_notice_of_the_same_occasion_is_the_same_notice() {
    let outbox = Desk::open().await;
    outbox.note_address().await;
    let notice = outbox.advice();
    outbox.add(&notice).await;
    outbox.add(&Notice { id: NoticeId::new(), ..notice.clone() }).await;
    outbox.add(&outbox.advice()).await;
    assert_eq!(outbox.tally(0).await, (vec![("later", 2)], false));
    let claimed = outbox.claim(14).await;
    assert_eq!(claimed.len(), 2);
    assert!(claimed.iter().any(|claimed| claimed.notice == notice));
    outbox
        .write(move |tx| claimed.iter().for_each(|claimed| mark_sent(tx, claimed.notice.id, claimed.notice.due)))
        .await;
    outbox.add(&Notice { id: NoticeId::new(), ..notice }).await;
    assert_eq!(outbox.tally(100).await, (vec![], false));
}

#[tokio::test]
async fn what_is_cancelled_is_not_sent_and_waits_again_when_it_is_wanted_again() {
    let outbox = Desk::open().await;
    outbox.note_address().await;
    let notice = outbox.advice();
    outbox.add(&notice).await;
    outbox.cancel(&notice).await;
    assert!(outbox.claim(14).await.is_empty());
    let again = Notice { due: notice.due + 24.hours(), ..notice.clone() };
    outbox.add(&again).await;
    assert!(outbox.claim(14).await.is_empty());
    let claimed = outbox.claim(15).await;
    assert_eq!(claimed.len(), 1);
    // Under way: what fails then does not come back.
    outbox.cancel(&notice).await;
    outbox.write(move |tx| give_back(tx, &claimed[0], claimed[0].notice.due, 1, "451")).await;
    assert_eq!(outbox.tally(100).await, (vec![], false));
}

#[tokio::test]
async fn a_claim_holds_until_its_lease_ends_and_its_first_holder_gives_nothing_back_then() {
    let outbox = Desk::open().await;
    outbox.note_address().await;
    outbox.add(&outbox.advice()).await;
    let first = outbox.claim(14).await;
    assert_eq!((first.len(), outbox.claim(14).await.len()), (1, 0));
    let second = outbox.claim(15).await;
    assert_eq!(second[0].notice, first[0].notice);
    let now = outbox.now;
    outbox.write(move |tx| give_back(tx, &first[0], now, 1, "timeout")).await;
    assert!(outbox.claim(15).await.is_empty());
    outbox.write(move |tx| give_back(tx, &second[0], now, 1, "timeout")).await;
    assert_eq!(outbox.tally(15).await, (vec![("failing", 1)], true));
    assert_eq!(outbox.claim(15).await[0].attempts, 1);
}

#[tokio::test]
async fn it_is_told_why_notices_wait() {
    let outbox = Desk::open().await;
    outbox.add(&outbox.advice()).await;
    assert_eq!(outbox.tally(14).await, (vec![("due", 1)], true));
    assert!(outbox.claim(14).await.is_empty());
    assert_eq!(outbox.tally(14).await, (vec![("no_address", 1)], false));
    outbox.note_address().await;
    let claimed = outbox.claim(14).await;
    assert_eq!(outbox.tally(14).await, (vec![("due", 1)], false));
    let next = outbox.now + (24 * 20).hours();
    outbox.write(move |tx| give_back(tx, &claimed[0], next, 1, "550")).await;
    assert_eq!(outbox.tally(15).await, (vec![("refused", 1)], false));
    outbox.note_address().await;
    assert_eq!(outbox.tally(15).await, (vec![("due", 1)], true));
}

#[tokio::test]
async fn what_was_not_sent_cannot_be_removed() {
    let outbox = Desk::open().await;
    outbox.add(&outbox.advice()).await;
    let remove =
        || outbox.store.write("remove", |tx| Box::pin(async { tx.execute("DELETE FROM outbox", vec![]).await }));
    remove().await.unwrap_err();
    outbox.write(|tx| tx.write("UPDATE outbox SET state = 'sent'", vec![])).await;
    assert_eq!(remove().await.unwrap(), 1);
}
