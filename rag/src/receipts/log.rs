//! The receipt log: one append-only file, `receipts.wal`, fdatasynced before an append returns.
//!
//! ```text
//! header  "HWRCPT" ‖ u16 version = 1
//! record  u32 length ‖ u32 crc32(length ‖ payload) ‖ payload (JSON of an AnswerRecord)
//! ```
//!
//! Little-endian. A record that is cut short or damaged, with nothing intact after it, is an
//! append that a crash interrupted and nobody was told about: it is cut off. With an intact record
//! after it, it is damage to receipts that were handed out, and opening fails.

mod format;

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::answer::AnswerRecord;
use crate::{RagError, Result};

const FILE: &str = "receipts.wal";
const LOCK: &str = "receipts.lock";

/// The open log. One process at a time: a lock file beside it says so.
#[derive(Debug)]
pub(super) struct Log {
    dir: PathBuf,
    path: PathBuf,
    file: File,
    /// Where the next record goes.
    length: u64,
    /// Why no more can be appended. The result of a failed write that could not be taken back is unknown until the file is read
    /// again.
    stopped: Option<String>,
    _lock: File,
}

impl Log {
    /// Opens or creates the log in `dir`, cuts off what a crash left half written, and returns its records.
    pub(super) fn open(dir: &Path) -> Result<(Self, Vec<AnswerRecord>)> {
        std::fs::create_dir_all(dir).map_err(RagError::io(dir))?;
        let lock_path = dir.join(LOCK);
        let lock = File::create(&lock_path).map_err(RagError::io(&lock_path))?;
        lock.try_lock().map_err(|_| RagError::LogLocked(lock_path))?;
        let path = dir.join(FILE);
        let io = RagError::io;
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io(&path))?;
        let bytes = std::fs::read(&path).map_err(io(&path))?;
        let (payloads, mut length) = format::read(&bytes).map_err(|offset| RagError::CorruptLog { path: path.clone(), offset })?;
        if length < bytes.len() as u64 {
            tracing::warn!(path = %path.display(), kept_bytes = length, cut_bytes = bytes.len() as u64 - length, "cut off an interrupted append");
        }
        if length == 0 {
            file.set_len(0).map_err(io(&path))?;
            file.write_all(&format::header()).map_err(io(&path))?;
            length = format::header().len() as u64;
        }
        file.set_len(length).map_err(io(&path))?;
        file.seek(SeekFrom::Start(length)).map_err(io(&path))?;
        file.sync_all().map_err(io(&path))?;
        sync_dir(dir)?;
        let records = payloads
            .into_iter()
            .map(|(offset, payload)| serde_json::from_slice(payload).map_err(|_| RagError::CorruptLog { path: path.clone(), offset }))
            .collect::<Result<Vec<AnswerRecord>>>()?;
        Ok((Self { dir: dir.to_owned(), path, file, length, stopped: None, _lock: lock }, records))
    }

    /// Appends a record; it survives a power loss once this returns.
    pub(super) fn append(&mut self, record: &AnswerRecord) -> Result<()> {
        if let Some(problem) = &self.stopped {
            return Err(RagError::LogStopped(problem.clone()));
        }
        let bytes =
            format::record(&payload(record)?).ok_or_else(|| RagError::InvalidRequest("the receipt is too large to be stored".into()))?;
        match self.file.write_all(&bytes).and_then(|()| self.file.sync_data()) {
            Ok(()) => {
                self.length += bytes.len() as u64;
                Ok(())
            }
            Err(error) => Err(self.cut_off(error)),
        }
    }

    /// Why no more can be appended until a restart, if it is so.
    pub(super) fn stopped(&self) -> Option<RagError> {
        self.stopped.clone().map(RagError::LogStopped)
    }

    /// Takes back an append that failed, for want of room perhaps. What stood before it was synced, so where this holds the next
    /// append is as good as any; where it does not, nobody knows what is in the file.
    fn cut_off(&mut self, error: std::io::Error) -> RagError {
        let cut = self.file.set_len(self.length).and_then(|()| self.file.seek(SeekFrom::Start(self.length)));
        match cut.and_then(|_| self.file.sync_data()) {
            Ok(()) => RagError::Io { path: self.path.clone(), source: error },
            Err(problem) => self.stop(&problem),
        }
    }

    /// Replaces the whole log, atomically.
    pub(super) fn rewrite<'a>(&mut self, records: impl Iterator<Item = &'a AnswerRecord>) -> Result<()> {
        if let Some(problem) = &self.stopped {
            return Err(RagError::LogStopped(problem.clone()));
        }
        let mut bytes = format::header().to_vec();
        for record in records {
            let record = format::record(&payload(record)?);
            bytes.extend(record.ok_or_else(|| RagError::InvalidRequest("the receipt is too large to be stored".into()))?);
        }
        let next = self.path.with_extension("wal.next");
        let mut file = File::create(&next).map_err(RagError::io(&next))?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(RagError::io(&next))?;
        // from here on the old handle may point to a file that is gone
        if let Err(error) = std::fs::rename(&next, &self.path) {
            return Err(self.stop(&error));
        }
        self.file = file;
        self.length = bytes.len() as u64;
        sync_dir(&self.dir)
    }

    fn stop(&mut self, error: &std::io::Error) -> RagError {
        tracing::error!(path = %self.path.display(), at_byte = self.length, %error, "the receipt log stopped");
        self.stopped = Some(error.to_string());
        RagError::LogStopped(error.to_string())
    }
}

fn payload(record: &AnswerRecord) -> Result<Vec<u8>> {
    serde_json::to_vec(record).map_err(|error| schemas::SchemaError::NotCanonical(error.to_string()).into())
}

/// Makes creations and renames in `dir` survive a power loss.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(RagError::io(dir))
}

#[cfg(test)]
mod tests;
