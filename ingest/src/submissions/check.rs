//! Whether an upload may be taken in at all. Pure, but for hashing every byte: it blocks.

use std::collections::HashSet;

use bytes::Bytes;
use schemas::hashing::{self, ManifestEntry};
use schemas::ids::{DatanetId, SubmissionId};
use schemas::{Address, B256, signed};
use serde::{Deserialize, Serialize};

use super::{SignedManifest, SignedSubmission, UploadedFile};
use crate::characters::is_shown_in_a_line;
use crate::datanets::check_text;
use crate::{IngestConfig, IngestError, Result};

const MAX_FILE_NAME_BYTES: usize = 255;
const MAX_NOTE_CHARS: usize = 2_000;
const MAX_LICENCE_BYTES: usize = 128;

/// An upload whose form, limits and signature are in order. The deadline is left to the caller: it does
/// not apply to what was acknowledged already.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Checked {
    pub datanet: DatanetId,
    pub contributor: Address,
    pub licence: String,
    pub note: String,
    pub deadline: u64,
    pub signature: String,
    /// By name.
    pub files: Vec<ManifestEntry>,
    pub manifest_hash: B256,
    pub submission_id: SubmissionId,
}

/// The upload, and the bytes of its files in their order.
pub(super) fn check(submission: SignedSubmission, config: &IngestConfig) -> Result<(Checked, Vec<Bytes>)> {
    let SignedSubmission { datanet, contributor, licence, note, deadline, signature, mut files } = submission;
    files.sort_by(|a, b| a.file_name.cmp(&b.file_name));
    // Nothing is hashed that is too large.
    let sizes: Vec<(&str, u64)> = files.iter().map(|file| (file.file_name.as_str(), file.bytes.len() as u64)).collect();
    check_limits(&sizes, config)?;
    let entry = |file: &UploadedFile| ManifestEntry {
        file_name: file.file_name.clone(),
        sha256: hashing::sha256(&file.bytes),
        size_bytes: file.bytes.len() as u64,
    };
    let entries = files.iter().map(entry).collect();
    let manifest = SignedManifest { datanet, contributor, licence, note, deadline, signature, files: entries };
    let CheckedManifest { manifest_hash, submission_id } = check_manifest(&manifest, config)?;
    let SignedManifest { licence, note, signature, files: entries, .. } = manifest;
    let checked = Checked { datanet, contributor, licence, note, deadline, signature, files: entries, manifest_hash, submission_id };
    Ok((checked, files.into_iter().map(|file| file.bytes).collect()))
}

/// What a manifest in order comes to.
#[derive(Debug, Clone, Copy)]
pub(super) struct CheckedManifest {
    pub manifest_hash: B256,
    pub submission_id: SubmissionId,
}

pub(super) fn check_manifest(manifest: &SignedManifest, config: &IngestConfig) -> Result<CheckedManifest> {
    let SignedManifest { datanet, contributor, licence, note, deadline, signature, files } = manifest;
    let sizes: Vec<(&str, u64)> = files.iter().map(|file| (file.file_name.as_str(), file.size_bytes)).collect();
    check_limits(&sizes, config)?;
    check_licence(licence)?;
    check_text("note", note, 0, MAX_NOTE_CHARS)?;
    let mut names = HashSet::new();
    for (name, _) in sizes {
        check_file_name(name)?;
        if !names.insert(name) {
            return Err(IngestError::InvalidRequest(format!("two files are named {name:?}; rename one")));
        }
    }
    let manifest_hash = hashing::manifest_hash(files);
    let message = signed::submission(*contributor, *datanet, manifest_hash, licence, *deadline);
    signed::check_signature(config.domain.digest(&message), signature, *contributor)
        .map_err(|error| IngestError::Unauthorised(format!("the submission's signature does not hold: {error}")))?;
    Ok(CheckedManifest { manifest_hash, submission_id: hashing::submission_id(*datanet, *contributor, manifest_hash) })
}

/// Names and sizes.
fn check_limits(files: &[(&str, u64)], config: &IngestConfig) -> Result<()> {
    if files.is_empty() {
        return Err(IngestError::InvalidRequest("the submission has no files; add at least one".to_owned()));
    }
    if files.len() > config.max_files_per_submission {
        return Err(IngestError::TooLarge(format!(
            "the submission has {} files; at most {} are taken at once",
            files.len(),
            config.max_files_per_submission
        )));
    }
    let mut total = 0_u64;
    for (name, size) in files.iter().copied() {
        total = total.saturating_add(size);
        if size > config.max_file_bytes {
            let shown: String = name.chars().take(80).collect();
            return Err(IngestError::TooLarge(format!(
                "{shown:?} has {size} bytes; a file may have at most {}: split it",
                config.max_file_bytes
            )));
        }
    }
    if total > config.max_submission_bytes {
        return Err(IngestError::TooLarge(format!(
            "the files have {total} bytes together; a submission may have at most {}: send several",
            config.max_submission_bytes
        )));
    }
    Ok(())
}

/// A file name is shown to people and never used as a path; still it must not look like one.
fn check_file_name(name: &str) -> Result<()> {
    let problem = if name.is_empty() {
        "is empty"
    } else if name.len() > MAX_FILE_NAME_BYTES {
        "has more than 255 bytes"
    } else if name.contains(['/', '\\']) {
        "holds a path separator"
    } else if !is_shown_in_a_line(name) {
        "holds a control, bidirectional or invisible character"
    } else if name.trim() != name {
        "starts or ends with white space"
    } else if name.chars().all(|c| c == '.') {
        "consists of dots"
    } else {
        return Ok(());
    };
    let shown: String = name.chars().take(80).collect();
    Err(IngestError::InvalidRequest(format!("the file name {shown:?} {problem}; rename the file")))
}

/// The form of an SPDX licence expression: ids joined by `AND`, `OR` or `WITH`, in parentheses where needed.
/// Whether an id is on SPDX's list is not checked.
fn check_licence(licence: &str) -> Result<()> {
    // a filter asks for it as it is written
    let is_tight = licence.split(' ').all(|part| !part.is_empty()) && !licence.contains(['\t', '\n', '\r', '\u{c}']);
    if licence.len() <= MAX_LICENCE_BYTES && is_tight && is_licence_expression(licence) {
        return Ok(());
    }
    let shown: String = licence.chars().take(MAX_LICENCE_BYTES).collect();
    Err(IngestError::InvalidRequest(format!(
        "{shown:?} is not an SPDX licence expression; use an id like CC-BY-4.0, CC0-1.0 or Apache-2.0, or several joined by AND, OR, WITH"
    )))
}

/// Whether this has the form of an SPDX licence expression.
pub fn is_licence_expression(licence: &str) -> bool {
    let spaced = licence.replace('(', " ( ").replace(')', " ) ");
    let (mut depth, mut id_expected) = (0_usize, true);
    for token in spaced.split_ascii_whitespace() {
        match token {
            "(" if id_expected => depth += 1,
            ")" if !id_expected && depth > 0 => depth -= 1,
            "AND" | "OR" | "WITH" if !id_expected => id_expected = true,
            id if id_expected && id.starts_with(|c: char| c.is_ascii_alphanumeric()) && !matches!(id, "AND" | "OR" | "WITH") => {
                if !id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '+' | ':')) {
                    return false;
                }
                id_expected = false;
            }
            _ => return false,
        }
    }
    depth == 0 && !id_expected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_names() {
        for good in ["a.md", "Größe (2).txt", "…", "日本.html", ".env", &"x".repeat(255)] {
            assert!(check_file_name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "..\\x",
            "a\0",
            "a\nb",
            " a",
            "a ",
            "a\u{202e}txt.md",
            "a\u{200b}.md",
            "a\u{2028}b",
            "a\u{fe0f}.md",
            &"x".repeat(256),
        ] {
            assert!(check_file_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn licences_are_spdx_expressions() {
        for good in
            ["MIT", "CC-BY-4.0", "Apache-2.0 OR MIT", "(MIT AND BSD-3-Clause) OR LicenseRef-mine", "GPL-2.0+ WITH Classpath-exception-2.0"]
        {
            assert!(is_licence_expression(good), "{good}");
        }
        for bad in ["", " ", "MIT Apache-2.0", "OR MIT", "MIT OR", "(MIT", "MIT)", "()", "my licence!", "<b>", "-x"] {
            assert!(!is_licence_expression(bad), "{bad}");
        }
        for bad in [" MIT", "MIT ", "MIT  OR Apache-2.0", "MIT\tOR Apache-2.0", &"A".repeat(129)] {
            assert!(check_licence(bad).is_err(), "{bad}");
        }
    }
}
