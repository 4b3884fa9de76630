//! An upload before its files: what its contributor signed is checked, and room for it held, before a byte
//! of a file is received.

use std::net::IpAddr;

use schemas::Address;
use schemas::hashing::ManifestEntry;
use schemas::ids::DatanetId;
use schemas::tables::Millis;

use super::check::check_manifest;
use super::check_deadline;
use super::room::{Room, Sent};
use crate::{Ingest, Result, SubmissionStatus};

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

impl Ingest {
    /// Checks all that can be checked without the files: form, limits, signature, deadline, Datanet, and what
    /// the contributor sent in the last 24 hours. `from` is the client's address, where it has one.
    ///
    /// # Errors
    /// Those of [`Ingest::submit`]; [`IngestError::OverQuota`], [`IngestError::TooManyUnderWay`] and [`IngestError::Busy`].
    pub async fn announce(&self, manifest: SignedManifest, from: Option<IpAddr>) -> Result<Announcement> {
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
        self.hold_room(manifest.contributor, from, Sent::of(&manifest.files), now).await.map(Announcement::Expected)
    }
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
            let error = ingest.announce(manifest, None).await.unwrap_err();
            assert!(format!("{error:?}").starts_with(expected), "{expected}: {error:?}");
        }
        assert!(matches!(ingest.announce(good.clone(), None).await.unwrap(), Announcement::Expected(_)));
        ingest.submit(upload(ALICE, id, files)).await.unwrap();
        let known = ingest.announce(good, None).await.unwrap();
        assert!(matches!(known, Announcement::Known(SubmissionStatus::Done(report)) if report.already_known));
    }
}
