//! The outbox's file: one line per record, `<checksum> <JSON>`, fsynced before an append returns.
//!
//! The checksum is the first 8 bytes of the JSON's keccak256, in hexadecimal. Bad lines with nothing
//! intact after them are an append that a crash interrupted; what it tells of was never sent, so they
//! are cut off. With an intact line after them they are damage, and opening fails.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use schemas::alloy_primitives::{hex, keccak256};

use super::record::Record;
use crate::{IndexerError, Result};

#[derive(Debug)]
pub(super) struct RecordFile {
    path: PathBuf,
    file: File,
    pub(super) length_bytes: u64,
    /// Why no more can be appended: what a failed write left behind is not known.
    stopped: Option<String>,
}

impl RecordFile {
    /// Opens or creates the file, cuts off an interrupted append, and returns the records.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<Record>)> {
        let problem = |error: std::io::Error| outbox_error(path, &error);
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).map_err(problem)?;
        let bytes = std::fs::read(path).map_err(problem)?;
        let (records, intact) = read(&bytes).map_err(|line| outbox_error(path, &format!("line {line} is damaged")))?;
        if intact < bytes.len() {
            tracing::warn!(path = %path.display(), kept_bytes = intact, cut_bytes = bytes.len() - intact, "cut off an interrupted append");
            file.set_len(intact as u64).map_err(problem)?;
        }
        file.seek(SeekFrom::End(0)).map_err(problem)?;
        file.sync_all().map_err(problem)?;
        sync_folder(path)?;
        Ok((Self { path: path.to_owned(), file, length_bytes: intact as u64, stopped: None }, records))
    }

    /// Appends a record; it survives a power loss once this returns.
    pub(super) fn append(&mut self, record: &Record) -> Result<()> {
        if let Some(problem) = &self.stopped {
            return Err(outbox_error(&self.path, problem));
        }
        let line = line(&self.path, record)?;
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        written.map_err(|error| {
            tracing::error!(path = %self.path.display(), %error, "the outbox stopped");
            self.stopped = Some(format!("{error}; restart once there is room to write"));
            outbox_error(&self.path, &error)
        })?;
        self.length_bytes += line.len() as u64;
        Ok(())
    }

    /// Replaces the whole file, atomically.
    pub(super) fn rewrite(&mut self, records: &[Record]) -> Result<()> {
        let mut bytes = Vec::new();
        for record in records {
            bytes.extend(line(&self.path, record)?);
        }
        let draft = self.path.with_extension("new");
        let created = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft);
        let written = created.and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()));
        written.map_err(|error| outbox_error(&draft, &error))?;
        let replaced = std::fs::rename(&draft, &self.path).and_then(|()| OpenOptions::new().append(true).open(&self.path));
        self.file = replaced.map_err(|error| {
            // The handle may be of a file that is gone.
            self.stopped = Some(error.to_string());
            outbox_error(&self.path, &error)
        })?;
        self.length_bytes = bytes.len() as u64;
        sync_folder(&self.path)
    }
}

/// The intact records and their length in bytes, or the number of a damaged line, from 1.
pub(super) fn read(bytes: &[u8]) -> std::result::Result<(Vec<Record>, usize), usize> {
    let (mut records, mut intact, mut damaged) = (Vec::new(), 0, None);
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        match (parse(line), damaged) {
            (Some(record), None) => {
                records.push(record);
                intact += line.len();
            }
            (Some(_), Some(first)) => return Err(first),
            // The line break before a record is gone.
            (None, first) if holds_record(line) => return Err(first.unwrap_or(index + 1)),
            (None, None) => damaged = Some(index + 1),
            (None, Some(_)) => {}
        }
    }
    Ok((records, intact))
}

/// Whether an intact record stands at the end of a damaged line.
fn holds_record(line: &[u8]) -> bool {
    let begins = |bytes: &[u8]| bytes[..16].iter().all(u8::is_ascii_hexdigit) && bytes[16..] == *b" {\"";
    line.windows(19).enumerate().skip(1).any(|(at, bytes)| begins(bytes) && parse(&line[at..]).is_some())
}

fn parse(line: &[u8]) -> Option<Record> {
    let (checksum, json) = line.strip_suffix(b"\n")?.split_first_chunk::<17>()?;
    (*checksum == seal(json)).then(|| serde_json::from_slice(json).ok())?
}

fn line(path: &Path, record: &Record) -> Result<Vec<u8>> {
    let json = serde_json::to_vec(record).map_err(|error| outbox_error(path, &error))?;
    Ok([seal(&json).as_slice(), &json, b"\n"].concat())
}

/// Sixteen digits and a space.
fn seal(json: &[u8]) -> [u8; 17] {
    let mut seal = [b' '; 17];
    let digits = hex::encode(&keccak256(json)[..8]);
    seal[..16].copy_from_slice(digits.as_bytes());
    seal
}

/// Makes a creation or a renaming survive a power loss.
fn sync_folder(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| outbox_error(folder, &error))
}

pub(super) fn outbox_error(path: &Path, problem: &dyn std::fmt::Display) -> IndexerError {
    IndexerError::Outbox { path: path.to_owned(), problem: problem.to_string() }
}
