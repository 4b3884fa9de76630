//! What a version is traced by, in a folder of its own beside what questions are searched by: its parts, each with the members that
//! it is of, and whose these are.
//!
//! A part is of members that follow each other, and is taken over by any other version in which the same ones (their ids stand for
//! their texts) have the same places: a version that adds members after those of an earlier one reads what is new alone.

use std::cmp::Reverse;
use std::fs;
use std::io::{BufWriter, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use schemas::B256;
use schemas::hashing::Sha256Hasher;
use schemas::ids::ChunkId;
use schemas::tables::VersionRow;
use serde::{Deserialize, Serialize};
use tantivy::directory::{Directory as _, MmapDirectory};

use super::build::{Builder, WriteError};
use super::members::{self, KeptMembers};
use super::part::Part;
use super::{Bytes, tokens};
use crate::index;
use crate::kept::{self, Seal};
use crate::open_version::Members;
use crate::{RagError, Result};

/// Other bytes, or another way to cut texts, make another folder.
const FORMAT: &str = "headwater.trace/1";
/// Before the number of a version in the name of its folder.
const VERSION: &str = "trace-v";
const PARTS: &str = "parts.json";
const MEMBERS: &str = "members.bin";
/// Tokens of a part at most: sorting them takes 16 bytes of memory each, 256 MiB in all.
pub(super) const PART_TOKENS_MAX: usize = 1 << 24;

/// What a folder says of itself.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stated {
    format: String,
    tokens: String,
    root: B256,
    parts: Vec<StatedPart>,
}

/// A part: the first of its members, the first after them, and a sha256 of their chunk ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StatedPart {
    start: usize,
    end: usize,
    members: B256,
}

impl StatedPart {
    fn new(members: Range<usize>, ids: &[ChunkId]) -> Self {
        let mut hasher = Sha256Hasher::default();
        ids.get(members.clone()).unwrap_or_default().iter().for_each(|id| hasher.update(id.0.as_slice()));
        Self { start: members.start, end: members.end, members: hasher.finish() }
    }

    fn file_name(&self) -> String {
        format!("part-{}-{}.bin", self.start, self.end)
    }
}

/// What a version is traced by, open.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) parts: Vec<Part>,
    pub(super) members: KeptMembers,
}

/// Where what a version is traced by lives.
pub(super) fn directory(index_dir: &Path, row: &VersionRow) -> PathBuf {
    index_dir.join(row.datanet_id.to_string()).join(format!("{VERSION}{}", row.version))
}

/// Removes what old versions are traced by, where a version is newly derived whose folder is `target`.
pub(crate) fn remove_old(target: &Path, newest: u64) -> Result<()> {
    kept::remove_old(target, VERSION, newest)
}

/// Opens what is there; none where nothing is, or it is damaged and was removed. Reads all of it once. Blocks.
pub(super) fn open(target: &Path, row: &VersionRow) -> Result<Option<Kept>> {
    if !index::is_there(target) {
        return Ok(None);
    }
    match read(target, row) {
        Ok(kept) => Ok(Some(kept)),
        Err(problem) => {
            index::discard(target, row, &problem)?;
            Ok(None)
        }
    }
}

fn read(dir: &Path, row: &VersionRow) -> Result<Kept, String> {
    let text = |error: std::io::Error| error.to_string();
    let sealed = Seal::read(dir).map_err(text)?.ok_or("its seal is damaged")?;
    if Seal::of(dir, &Seal::default()).map_err(text)? != sealed {
        return Err("its files are not the ones that were built".into());
    }
    let stated = stated(dir).filter(|stated| stated.root == row.root).ok_or("it is of something else, or in another format")?;
    let members = KeptMembers::new(map(dir, MEMBERS)?).ok_or("its members cannot be read")?;
    let mut parts = Vec::with_capacity(stated.parts.len());
    let mut end = 0;
    for one in &stated.parts {
        let part = Part::new(map(dir, &one.file_name())?).filter(|part| one.start == end && part.members() == one.end - end);
        parts.push(part.ok_or("a part of it cannot be read")?);
        end = one.end;
    }
    if members.len() == end { Ok(Kept { parts, members }) } else { Err("parts of it are missing".into()) }
}

/// What a folder says, if it is in the format of now.
fn stated(dir: &Path) -> Option<Stated> {
    let stated: Stated = serde_json::from_slice(&fs::read(dir.join(PARTS)).ok()?).ok()?;
    (stated.format == FORMAT && stated.tokens == tokens::method()).then_some(stated)
}

/// A file of a folder, mapped: it stays readable when it is removed.
fn map(dir: &Path, name: &str) -> Result<Bytes, String> {
    let directory = MmapDirectory::open(dir).map_err(|error| error.to_string())?;
    let file = directory.open_read(Path::new(name)).map_err(|error| error.to_string())?;
    file.read_bytes().map_err(|error| error.to_string())
}

/// A part of another folder that this version has too.
struct Carried {
    stated: StatedPart,
    path: PathBuf,
    sum: (u64, u32),
    part: Part,
}

/// A folder while it is built. All of it blocks.
pub(super) struct Making {
    dir: PathBuf,
    root: B256,
    ids: Vec<ChunkId>,
    tokens_max: usize,
    carried: Vec<Carried>,
    made: Vec<StatedPart>,
    builder: Builder,
    /// The first member of which the builder is.
    first: usize,
}

impl Making {
    /// Begins beside `target`, with what other versions have of the same members.
    pub(super) fn begin(target: &Path, row: &VersionRow, members: &Members, tokens_max: usize) -> Result<Self> {
        let ids: Vec<ChunkId> = members.after(0).iter().map(|member| member.chunk_id).collect();
        let carried = carried(target, &ids)?;
        let first = carried.last().map_or(0, |last| last.stated.end);
        let dir = kept::unfinished(target)?;
        let written = kept::write(&dir, MEMBERS, &members::to_bytes(members));
        let making = Self { dir, root: row.root, ids, tokens_max, carried, made: Vec::new(), builder: Builder::default(), first };
        match written {
            Ok(()) => Ok(making),
            Err(error) => Err(making.give_up(target, error)),
        }
    }

    /// The next member whose text is wanted.
    pub(super) fn next(&self) -> usize {
        self.first + self.builder.members()
    }

    /// Adds the texts of the next members.
    pub(super) fn add(&mut self, texts: &[String]) -> Result<()> {
        for text in texts {
            self.builder.add(text)?;
            if self.builder.is_full(self.tokens_max) {
                self.write_part()?;
            }
        }
        Ok(())
    }

    /// Writes what was added as a part, put together with those carried before it that are no longer: so parts are few.
    fn write_part(&mut self) -> Result<()> {
        let mut builder = std::mem::take(&mut self.builder);
        let (mut start, end) = (self.first, self.first + builder.members());
        if self.made.is_empty() {
            while let Some(before) = self.carried.pop_if(|before| builder.takes(&before.part, self.tokens_max)) {
                let mut together = Builder::of(&before.part);
                together.append(&builder)?;
                (builder, start) = (together, before.stated.start);
            }
        }
        let stated = StatedPart::new(start..end, &self.ids);
        let path = self.dir.join(stated.file_name());
        let written = fs::File::create(&path).map_err(WriteError::Io).and_then(|file| {
            let mut file = BufWriter::new(file);
            builder.write(&mut file)?;
            Ok(file.flush()?)
        });
        written.map_err(|error| match error {
            WriteError::Making(error) => error,
            WriteError::Io(source) => RagError::Io { path, source },
        })?;
        self.made.push(stated);
        self.first = end;
        Ok(())
    }

    /// Puts the folder into its place, and removes those of old versions.
    pub(super) fn finish(mut self, target: &Path, row: &VersionRow) -> Result<()> {
        let carried = self.carried.len();
        let built = self.seal();
        kept::put(&self.dir, target, built)?;
        tracing::info!(datanet = %row.datanet_id, version = row.version, carried, made = self.made.len(), "built what texts are traced by");
        kept::remove_others(target, VERSION, row.version)
    }

    fn seal(&mut self) -> Result<()> {
        if !self.builder.is_empty() {
            self.write_part()?;
        }
        let (mut seal, mut parts) = (Seal::default(), Vec::new());
        for Carried { stated, path, sum, .. } in &self.carried {
            kept::share(path, &self.dir.join(stated.file_name()))?;
            seal.files.insert(stated.file_name(), *sum);
            parts.push(stated.clone());
        }
        parts.extend(self.made.iter().cloned());
        let stated = Stated { format: FORMAT.into(), tokens: tokens::method(), root: self.root, parts };
        kept::write(&self.dir, PARTS, schemas::canonical::to_string(&stated)?.as_bytes())?;
        Seal::write(&self.dir, &seal)
    }

    /// Removes what was built so far.
    pub(super) fn give_up(self, target: &Path, error: RagError) -> RagError {
        kept::put(&self.dir, target, Err(error)).err().unwrap_or_else(|| RagError::Worker("something else was built meanwhile".into()))
    }
}

impl Drop for Making {
    /// Whatever ended it.
    fn drop(&mut self) {
        if self.dir.exists() {
            drop(fs::remove_dir_all(&self.dir));
        }
    }
}

/// The parts, from the first member on, of the folder beside `target` that has most of them, as whole as its seal says.
fn carried(target: &Path, ids: &[ChunkId]) -> Result<Vec<Carried>> {
    let dirs = kept::versions(target.parent().unwrap_or(target), VERSION)?.into_iter().map(|(_, dir)| dir);
    let mut folders: Vec<(usize, PathBuf)> = dirs.map(|dir| (ours(&dir, ids).last().map_or(0, |last| last.end), dir)).collect();
    // files are read only where they would give more
    folders.sort_by_key(|(members, _)| Reverse(*members));
    let members = |parts: &[Carried]| parts.last().map_or(0, |last| last.stated.end);
    let mut most = Vec::new();
    for (stated, dir) in folders {
        if stated <= members(&most) {
            break;
        }
        let found = shared(&dir, ids);
        if members(&found) > members(&most) {
            most = found;
        }
    }
    Ok(most)
}

/// The first parts of a folder that are of these members, as it states them.
fn ours(dir: &Path, ids: &[ChunkId]) -> Vec<StatedPart> {
    let mut end = 0;
    let is_ours = |one: &StatedPart| {
        let is_next = one.start == std::mem::replace(&mut end, one.end);
        is_next && one.end <= ids.len() && StatedPart::new(one.start..one.end, ids) == *one
    };
    stated(dir).map(|stated| stated.parts.into_iter().take_while(is_ours).collect()).unwrap_or_default()
}

fn shared(dir: &Path, ids: &[ChunkId]) -> Vec<Carried> {
    let Ok(Some(seal)) = Seal::read(dir) else { return Vec::new() };
    let mut found = Vec::new();
    for one in ours(dir, ids) {
        let (name, path) = (one.file_name(), dir.join(one.file_name()));
        let Some(sum) = seal.files.get(&name).filter(|sum| kept::sum(&path).is_ok_and(|found| found == **sum)) else { break };
        let Some(part) = map(dir, &name).ok().and_then(Part::new).filter(|part| part.members() == one.end - one.start) else { break };
        found.push(Carried { stated: one, path, sum: *sum, part });
    }
    found
}
