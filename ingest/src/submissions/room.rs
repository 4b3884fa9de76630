//! Places of uploads under way, and what they take of their contributors' quota.
//!
//! Accounts cost nothing, so a bound for each account bounds nobody who makes many. Strangers at one address have half of the
//! places at most, and strangers in all three quarters; beyond, a contributor of whom curators have accepted something has one:
//! whoever floods the service keeps those out who are as unknown as they are, and nobody else. So it is behind a proxy too, where
//! all have one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use schemas::Address;
use schemas::hashing::ManifestEntry;
use schemas::ids::DocumentId;
use schemas::tables::{DocumentRow, Millis, SubmissionRow};

use super::check::Checked;
use crate::reads::latest_decisions;
use crate::{Ingest, IngestConfig, IngestError, Result};

/// A place, and part of what a contributor may send within a day: held for an upload until this is dropped.
#[derive(Debug)]
pub struct Room {
    held: Arc<Mutex<Held>>,
    contributor: Address,
    from: Option<IpAddr>,
    sent: Sent,
}

/// What uploads under way hold.
#[derive(Debug, Default)]
pub(crate) struct Held {
    by_contributor: HashMap<Address, UnderWay>,
    /// Of uploads that came in this process: no record says where one came from.
    by_address: HashMap<IpAddr, usize>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct UnderWay {
    uploads: usize,
    sent: Sent,
}

/// Files and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sent {
    files: u64,
    bytes: u64,
}

impl Sent {
    pub(super) fn of(files: &[ManifestEntry]) -> Self {
        let bytes = files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.size_bytes));
        Self { files: files.len() as u64, bytes }
    }

    fn plus(self, other: Self) -> Self {
        Self { files: self.files.saturating_add(other.files), bytes: self.bytes.saturating_add(other.bytes) }
    }

    fn minus(self, other: Self) -> Self {
        Self { files: self.files.saturating_sub(other.files), bytes: self.bytes.saturating_sub(other.bytes) }
    }
}

impl Held {
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.by_contributor.is_empty() && self.by_address.is_empty()
    }

    fn add(&mut self, contributor: Address, from: Option<IpAddr>, sent: Sent) {
        let entry = self.by_contributor.entry(contributor).or_default();
        *entry = UnderWay { uploads: entry.uploads + 1, sent: entry.sent.plus(sent) };
        if let Some(from) = from {
            *self.by_address.entry(from).or_default() += 1;
        }
    }

    fn remove(&mut self, contributor: Address, from: Option<IpAddr>, sent: Sent) {
        if let Some(entry) = self.by_contributor.get_mut(&contributor) {
            *entry = UnderWay { uploads: entry.uploads.saturating_sub(1), sent: entry.sent.minus(sent) };
        }
        self.by_contributor.retain(|_, held| *held != UnderWay::default());
        if let Some(held) = from.and_then(|from| self.by_address.get_mut(&from)) {
            *held = held.saturating_sub(1);
        }
        self.by_address.retain(|_, held| *held > 0);
    }

    /// Places that would be taken if this contributor had one more, from this address.
    fn taken_with_one_more(&self, contributor: Address, from: Option<IpAddr>) -> Taken {
        Taken {
            in_all: self.by_contributor.values().map(|held| held.uploads).sum::<usize>() + 1,
            of_contributor: self.by_contributor.get(&contributor).map_or(0, |held| held.uploads) + 1,
            from_address: from.map_or(0, |from| self.by_address.get(&from).copied().unwrap_or_default() + 1),
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        lock(&self.held).remove(self.contributor, self.from, self.sent);
    }
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Places, the one that is asked for included.
#[derive(Debug, Clone, Copy)]
struct Taken {
    in_all: usize,
    of_contributor: usize,
    from_address: usize,
}

/// For whom a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    Anybody,
    /// Those of whom curators have accepted something.
    Known,
}

impl Taken {
    fn check(self, config: &IngestConfig) -> Result<For> {
        let (most, most_each) = (config.max_submissions_under_way, config.max_submissions_under_way_per_contributor);
        if self.of_contributor > most_each {
            return Err(IngestError::TooManyUnderWay(format!(
                "{most_each} submissions of this contributor are under way, as many as may be: wait until some are done"
            )));
        }
        if self.in_all > most {
            return Err(IngestError::Busy("too many submissions are under way: try again shortly".to_owned()));
        }
        if self.in_all <= most - most / 4 && self.from_address <= most.div_ceil(2) {
            return Ok(For::Anybody);
        }
        if self.of_contributor > 1 { Err(kept_for_known()) } else { Ok(For::Known) }
    }
}

fn kept_for_known() -> IngestError {
    let problem = "nearly all places of submissions, or of those for this address, are taken; the last ones are for contributors of whom \
                   something was accepted, one each: try again shortly";
    IngestError::Busy(problem.to_owned())
}

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

impl Ingest {
    pub(super) async fn hold_room(&self, contributor: Address, from: Option<IpAddr>, sent: Sent, now: Millis) -> Result<Room> {
        let (room, held) = match self.hold_free(contributor, from, sent, false)? {
            Some(held) => held,
            None if self.is_known(contributor).await? => self.hold_free(contributor, from, sent, true)?.ok_or_else(kept_for_known)?,
            None => return Err(kept_for_known()),
        };
        let total = self.sent_since(contributor, now.0.saturating_sub(DAY_MS)).await?.plus(held.sent);
        check_quota(contributor, total, self.config())?;
        Ok(room)
    }

    /// Room where there is some, with all that its contributor holds then; none where it is for those who are known alone. Counted
    /// and held at once: of uploads side by side none is counted in neither, and whoever is refused held nothing.
    fn hold_free(&self, contributor: Address, from: Option<IpAddr>, sent: Sent, is_known: bool) -> Result<Option<(Room, UnderWay)>> {
        let mut held = lock(&self.inner.uploading);
        if held.taken_with_one_more(contributor, from).check(self.config())? == For::Known && !is_known {
            return Ok(None);
        }
        held.add(contributor, from, sent);
        let of_contributor = held.by_contributor.get(&contributor).copied().unwrap_or_default();
        Ok(Some((Room { held: self.inner.uploading.clone(), contributor, from, sent }, of_contributor)))
    }

    /// Room for what was accepted already, whatever there is of it.
    pub(crate) fn room_of(&self, upload: &Checked) -> Room {
        let (contributor, from, sent) = (upload.contributor, None, Sent::of(&upload.files));
        lock(&self.inner.uploading).add(contributor, from, sent);
        Room { held: self.inner.uploading.clone(), contributor, from, sent }
    }

    /// Whether curators have accepted a document of this contributor, in any Datanet.
    ///
    /// # Errors
    /// [`IngestError::Store`].
    pub async fn is_known(&self, contributor: Address) -> Result<bool> {
        let documents = self.store().scan::<DocumentRow>(Some(&format!("contributor = '{contributor:#x}'"))).await?;
        let ids: Vec<DocumentId> = documents.iter().map(|document| document.document_id).collect();
        let decisions = latest_decisions(self.rows_of("document_id", &ids).await?);
        Ok(decisions.values().any(|review| review.decision == "accept"))
    }

    /// What stands in the tables of a contributor since `since` (milliseconds).
    async fn sent_since(&self, contributor: Address, since: i64) -> Result<Sent> {
        let submissions = self.store().scan::<SubmissionRow>(Some(&format!("contributor = '{contributor:#x}'"))).await?;
        let recent: Vec<String> =
            submissions.iter().filter(|row| row.received_at.0 > since).map(|row| format!("'{}'", row.submission_id)).collect();
        let mut sent = Sent::default();
        for ids in recent.chunks(500) {
            let documents = self.store().scan::<DocumentRow>(Some(&format!("submission_id IN ({})", ids.join(", ")))).await?;
            let bytes = documents.iter().map(|document| document.size_bytes).sum();
            sent = sent.plus(Sent { files: documents.len() as u64, bytes });
        }
        Ok(sent)
    }
}

fn check_quota(contributor: Address, sent: Sent, config: &IngestConfig) -> Result<()> {
    let (files, bytes) = (config.max_files_per_contributor_per_day, config.max_bytes_per_contributor_per_day);
    if sent.files <= files && sent.bytes <= bytes {
        return Ok(());
    }
    Err(IngestError::OverQuota(format!(
        "{contributor} would have sent {} files and {} bytes within 24 hours; {files} files and {bytes} bytes are taken: try again later",
        sent.files, sent.bytes
    )))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use schemas::ids::DatanetId;

    use super::*;
    use crate::submissions::Announcement;
    use crate::test_support::*;

    async fn limited(config: IngestConfig) -> (Ingest, DatanetId) {
        let store = store::Store::in_memory().await.unwrap();
        let ingest = Ingest::new(store, Arc::new(engine::HashingEmbedder::new()), config);
        let datanet = ingest.create_datanet(cold_chain()).await.unwrap();
        (ingest, datanet.datanet_id)
    }

    #[tokio::test]
    async fn a_contributor_sends_no_more_a_day_than_the_quota() {
        let config = IngestConfig { max_files_per_contributor_per_day: 3, max_bytes_per_contributor_per_day: 100, ..config() };
        let (ingest, id) = limited(config).await;
        let announced = |n: u8, files: &'static [(&'static str, &'static [u8])]| ingest.announce(manifest_of(&upload(n, id, files)), None);
        ingest.submit(upload(ALICE, id, &[("a.txt", b"one")])).await.unwrap();
        let first = announced(ALICE, &[("b.txt", b"two"), ("c.txt", b"three")]).await.unwrap();
        // Two side by side count each other, whichever is acknowledged first.
        let error = announced(ALICE, &[("d.txt", b"four")]).await.unwrap_err();
        assert!(matches!(error, IngestError::OverQuota(_)), "{error:?}");
        drop(first);
        let second = announced(ALICE, &[("d.txt", b"four")]).await.unwrap();
        drop(second);
        let error = announced(ALICE, &[("e.txt", &[b'x'; 98])]).await.unwrap_err();
        assert!(matches!(error, IngestError::OverQuota(_)), "3 + 98 bytes: {error:?}");
        assert!(matches!(announced(BOB, &[("e.txt", &[b'x'; 98])]).await.unwrap(), Announcement::Expected(_)), "everybody has their own");
        assert!(ingest.inner.uploading.lock().unwrap().is_empty(), "what was held is given back");
    }

    /// Strangers with any number of accounts and addresses take three quarters, those of one address half.
    #[tokio::test]
    async fn strangers_who_flood_keep_nobody_out_who_is_known() {
        let config = IngestConfig { max_submissions_under_way: 16, max_submissions_under_way_per_contributor: 4, ..config() };
        let (ingest, id) = limited(config).await;
        let sent = ingest.submit(upload(ALICE, id, &[("a.txt", b"one")])).await.unwrap();
        let document = sent.documents[0].document_id;
        ingest.review(decision(CURATOR, id, document, "accept", "accepted", 0)).await.unwrap();
        let announce = async |n: u8, text: &'static [u8], from: [u8; 4]| {
            let manifest = manifest_of(&upload(n, id, &[("b.txt", text)]));
            ingest.announce(manifest, Some(from.into())).await
        };
        let mut held = Vec::new();
        for n in 10..18 {
            held.push(announce(n, b"flood", [10, 0, 0, 1]).await.unwrap());
        }
        let error = announce(18, b"flood", [10, 0, 0, 1]).await.unwrap_err();
        assert!(matches!(&error, IngestError::Busy(problem) if problem.contains("address")), "{error:?}");
        drop(announce(ALICE, b"two", [10, 0, 0, 1]).await.unwrap());
        for n in 20..24 {
            held.push(announce(n, b"flood", [10, 0, 0, n]).await.unwrap());
        }
        let error = announce(24, b"flood", [10, 0, 0, 24]).await.unwrap_err();
        assert!(matches!(&error, IngestError::Busy(problem) if problem.contains("accepted")), "{error:?}");
        // However many are being refused, they hold nothing meanwhile.
        let refused = futures::future::join_all((30..60).map(|n| announce(n, b"flood", [10, 0, 1, n])));
        let (refused, known) = futures::join!(refused, announce(ALICE, b"two", [10, 0, 0, 1]));
        assert!(refused.iter().all(|one| matches!(one, Err(IngestError::Busy(_)))));
        held.push(known.unwrap());
        let error = announce(ALICE, b"three", [10, 0, 0, 25]).await.unwrap_err();
        assert!(matches!(error, IngestError::Busy(_)), "one each: {error:?}");
        held.clear();
        assert!(ingest.inner.uploading.lock().unwrap().is_empty());
    }
}
