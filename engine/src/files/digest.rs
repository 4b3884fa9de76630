//! One digest over all files that determine a model's answers.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use sha2::{Digest, Sha256};

use super::directory;
use crate::EngineError;

/// Beside the weights; those that are not there do not count.
const FILES: &[&str] = &["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"];
const SUMS: &str = "SHA256SUMS";
const SUMS_BYTES_MAX: u64 = 1 << 20;

/// A file that counts.
pub(super) struct Counted<'a> {
    /// In the digest.
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// What is mapped of it: hashed as it will be computed with, whatever lies at the path by now.
    pub(super) mapped: Option<&'a [u8]>,
}

/// Of a directory with these weight files, mapped. What a `SHA256SUMS` beside them says is checked.
///
/// # Errors
/// [`EngineError::CorruptModel`] where a file is another than `SHA256SUMS` says.
pub(super) fn of_directory<'a>(directory: &Path, weights: impl Iterator<Item = (&'a Path, &'a [u8])>) -> Result<String, EngineError> {
    let beside = FILES.iter().map(|name| directory.join(name)).filter(|path| path.is_file()).map(|path| (path, None));
    let weights = weights.map(|(path, mapped)| (path.to_owned(), Some(mapped)));
    let name = |path: &Path| path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let mut files: Vec<Counted<'_>> = beside.chain(weights).map(|(path, mapped)| Counted { name: name(&path), path, mapped }).collect();
    files.sort_by(|one, other| one.name.cmp(&other.name));
    let sums = expected(directory)?;
    let found = each(&files)?;
    for (file, found) in files.iter().zip(&found) {
        if let Some(expected) = sums.get(&file.name).filter(|expected| *expected != found) {
            return Err(EngineError::CorruptModel { file: file.path.clone(), expected: expected.clone(), found: found.clone() });
        }
    }
    Ok(together(&files, &found))
}

pub(super) fn of_files(files: &[Counted<'_>]) -> Result<String, EngineError> {
    Ok(together(files, &each(files)?))
}

/// Lower-case hex sha256 of everything that is left to read.
pub(crate) fn sha256_of(mut from: impl Read) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = from.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return Ok(hex::encode(hasher.finalize()));
        };
        hasher.update(bytes);
    }
}

/// The sha256 of the lines that `sha256sum` would print, in the order of the files' names.
fn together(files: &[Counted<'_>], digests: &[String]) -> String {
    let mut hasher = Sha256::new();
    for (Counted { name, .. }, digest) in files.iter().zip(digests) {
        hasher.update(format!("{digest}  {name}\n"));
    }
    hex::encode(hasher.finalize())
}

/// Each file's own, on as many threads as there are processors.
fn each(files: &[Counted<'_>]) -> Result<Vec<String>, EngineError> {
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get).min(files.len());
    let next = AtomicUsize::new(0);
    let done = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((at, file)) = files.iter().enumerate().nth(next.fetch_add(1, Ordering::Relaxed)) {
                    let digest = match file.mapped {
                        Some(bytes) => Ok(hex::encode(Sha256::digest(bytes))),
                        None => File::open(&file.path).and_then(sha256_of).map_err(EngineError::io("read", &file.path)),
                    };
                    done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(at, digest);
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).into_values().collect()
}

/// What `SHA256SUMS` says of each file; nothing where there is none.
fn expected(directory: &Path) -> Result<BTreeMap<String, String>, EngineError> {
    let path = directory.join(SUMS);
    let Some(bytes) = directory::read(&path, SUMS_BYTES_MAX)? else {
        return Ok(BTreeMap::new());
    };
    let text = String::from_utf8(bytes).map_err(EngineError::broken(&path))?;
    let line = |line: &str| {
        let (digest, name) = line.split_once(char::is_whitespace)?;
        let name = name.trim_start().trim_start_matches('*').trim_start_matches("./");
        (digest.len() == 64).then(|| (name.to_owned(), digest.to_lowercase()))
    };
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|text| line(text).ok_or_else(|| EngineError::broken(&path)("a line is no digest and name"))).collect()
}
