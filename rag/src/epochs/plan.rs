//! The intent to close an epoch, on the local disk: which receipts and which cut. Written before
//! the rewards, so that closing again after a crash writes the same rows although more receipts
//! have come since.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::EpochCut;
use crate::receipts::sync_dir;
use crate::{RagError, Result};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    pub(super) epoch: u64,
    pub(super) last_sequence: u64,
    pub(super) cut: EpochCut,
}

impl Plan {
    fn path(dir: &Path) -> PathBuf {
        dir.join("epoch.plan.json")
    }

    /// The plan that an earlier attempt left, if any. Blocks.
    pub(super) fn load(dir: &Path) -> Result<Option<Self>> {
        let path = Self::path(dir);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| RagError::io(&path)(error.into())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(RagError::io(&path)(error)),
        }
    }

    /// Durable when it returns. Blocks.
    pub(super) fn save(&self, dir: &Path) -> Result<()> {
        let path = Self::path(dir);
        let next = path.with_extension("next");
        let text = schemas::canonical::to_string(self)?;
        let mut file = fs::File::create(&next).map_err(RagError::io(&next))?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(RagError::io(&next))?;
        fs::rename(&next, &path).map_err(RagError::io(&path))?;
        sync_dir(dir)
    }

    /// Blocks.
    pub(super) fn remove(dir: &Path) -> Result<()> {
        let path = Self::path(dir);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(RagError::io(&path)(error)),
            _ => Ok(()),
        }
    }
}
