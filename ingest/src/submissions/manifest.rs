//! An upload before its files: what its contributor signed is checked, and room for it held, before a byte
//! of a file is received.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use schemas::Address;
use schemas::hashing::ManifestEntry;
use schemas::ids::DatanetId;
use schemas::tables::{DocumentRow, Millis, SubmissionRow};

use super::check::{Checked, check_manifest};
use super::check_deadline;
use crate::{Ingest, IngestConfig, IngestError, Result, SubmissionStatus};

/// An upload as its contributor signed it, with its files by name, hash and size.
#[derive(Debug, Clone)]
pub struct SignedManifest {
    pub datanet: DatanetId,
    pub contributor: Address,
    /// SPDX expression.
    pub licence: String,
    pub note: String,
    /// Unix seconds after which the signature is void.
    pub deadline: u64,
    /// EIP-712 signature by the contributor.
    pub signature: String,
    pub files: Vec<ManifestEntry>,
}

/// What is known of an upload before its files come.
#[derive(Debug)]
pub enum Announcement {
    /// It was accepted before: nothing has to be sent.
    Known(SubmissionStatus),
    /// Its files may come.
    Expected(Room),
}

/// What a contributor may send within a day, part of it held for an upload until this is dropped.
#[derive(Debug)]
pub struct Room {
    held: Arc<Mutex<HashMap<Address, UnderWay>>>,
    contributor: Address,
    sent: Sent,
}

/// What a contributor's uploads under way hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct UnderWay {
    uploads: usize,
    sent: Sent,
}

/// Files and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sent {
    files: u64,
    bytes: u64,
}

impl Sent {
    fn of(files: &[ManifestEntry]) -> Self {
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

impl Drop for Room {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let of_contributor = held.get(&self.contributor).copied().unwrap_or_default();
        let left = UnderWay { uploads: of_contributor.uploads.saturating_sub(1), sent: of_contributor.sent.minus(self.sent) };
        if left == UnderWay::default() {
            held.remove(&self.contributor);
        } else {
            held.insert(self.contributor, left);
        }
    }
}

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

impl Ingest {
    /// Checks all that can be checked without the files: form, limits, signature, deadline, Datanet, and what
    /// the contributor sent in the last 24 hours.
    ///
    /// # Errors
    /// Those of [`Ingest::submit`]; [`IngestError::OverQuota`], [`IngestError::TooManyUnderWay`] and [`IngestError::Busy`].
    pub async fn announce(&self, manifest: SignedManifest) -> Result<Announcement> {
        self.datanet(&manifest.datanet.to_string()).await?;
        let (manifest, checked) = {
            let config = self.config().clone();
            self.compute("checking a manifest", move || check_manifest(&manifest, &config).map(|checked| (manifest, checked))).await??
        };
        if let Some(known) = self.accepted_before(checked.submission_id, &manifest.licence).await? {
            return Ok(Announcement::Known(known));
        }
        let now = Millis::now();
        check_deadline(manifest.deadline, now)?;
        self.hold_room(manifest.contributor, Sent::of(&manifest.files), now).await.map(Announcement::Expected)
    }

    async fn hold_room(&self, contributor: Address, sent: Sent, now: Millis) -> Result<Room> {
        // Held before anything is counted: of uploads side by side none is counted in neither.
        let room = self.hold(contributor, sent);
        let (of_contributor, in_all) = {
            let held = self.inner.uploading.lock().unwrap_or_else(PoisonError::into_inner);
            (held.get(&contributor).copied().unwrap_or_default(), held.values().map(|held| held.uploads).sum())
        };
        check_under_way(of_contributor.uploads, in_all, self.config())?;
        let total = self.sent_since(contributor, now.0.saturating_sub(DAY_MS)).await?.plus(of_contributor.sent);
        check_quota(contributor, total, self.config())?;
        Ok(room)
    }

    /// Room for what was accepted already, whatever there is of it.
    pub(crate) fn room_of(&self, upload: &Checked) -> Room {
        self.hold(upload.contributor, Sent::of(&upload.files))
    }

    fn hold(&self, contributor: Address, sent: Sent) -> Room {
        let mut held = self.inner.uploading.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = held.entry(contributor).or_default();
        *entry = UnderWay { uploads: entry.uploads + 1, sent: entry.sent.plus(sent) };
        Room { held: self.inner.uploading.clone(), contributor, sent }
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

fn check_under_way(of_contributor: usize, in_all: usize, config: &IngestConfig) -> Result<()> {
    let most = config.max_submissions_under_way_per_contributor;
    if of_contributor > most {
        return Err(IngestError::TooManyUnderWay(format!(
            "{most} submissions of this contributor are under way, as many as may be: wait until some are done"
        )));
    }
    if in_all > config.max_submissions_under_way {
        return Err(IngestError::Busy("too many submissions are under way: try again shortly".to_owned()));
    }
    Ok(())
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
    use super::*;
    use crate::test_support::*;

    fn manifest(n: u8, datanet: DatanetId, files: &[(&str, &[u8])]) -> SignedManifest {
        manifest_of(&upload(n, datanet, files))
    }

    #[tokio::test]
    async fn a_manifest_is_checked_before_its_files() {
        let (ingest, datanet) = service().await;
        let id = datanet.datanet_id;
        let files: &[(&str, &[u8])] = &[("a.txt", b"one")];
        let good = manifest(ALICE, id, files);
        let mut cases: Vec<(SignedManifest, &str)> = vec![
            (SignedManifest { contributor: address(BOB), ..good.clone() }, "Unauthorised"),
            (SignedManifest { datanet: DatanetId::default(), ..good.clone() }, "NotFound"),
            (SignedManifest { licence: "mine!".into(), ..good.clone() }, "InvalidRequest"),
            (SignedManifest { files: Vec::new(), ..good.clone() }, "InvalidRequest"),
        ];
        let mut large = good.clone();
        large.files[0].size_bytes = u64::MAX;
        cases.push((large, "TooLarge"));
        for (manifest, expected) in cases {
            let error = ingest.announce(manifest).await.unwrap_err();
            assert!(format!("{error:?}").starts_with(expected), "{expected}: {error:?}");
        }
        assert!(matches!(ingest.announce(good.clone()).await.unwrap(), Announcement::Expected(_)));
        ingest.submit(upload(ALICE, id, files)).await.unwrap();
        let known = ingest.announce(good).await.unwrap();
        assert!(matches!(known, Announcement::Known(SubmissionStatus::Done(report)) if report.already_known));
    }

    #[tokio::test]
    async fn a_contributor_sends_no_more_a_day_than_the_quota() {
        let store = store::Store::in_memory().await.unwrap();
        let config = IngestConfig { max_files_per_contributor_per_day: 3, max_bytes_per_contributor_per_day: 100, ..config() };
        let ingest = Ingest::new(store, std::sync::Arc::new(engine::HashingEmbedder::new()), config);
        let id = ingest.create_datanet(cold_chain()).await.unwrap().datanet_id;
        let announced = |n: u8, files: &'static [(&'static str, &'static [u8])]| ingest.announce(manifest(n, id, files));
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
}
