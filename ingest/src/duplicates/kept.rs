//! A Datanet's fingerprints in a file, so that a start does not compute them again.
//!
//! Derived from the committed submissions, and checked against them one by one: a file begins with [`HEAD`] and goes on with
//! a frame for each, in registration order. What is damaged, or was derived from anything else, is cut off there and derived
//! anew; what is missing at the end is added. Nothing rests on it, so nothing is synced.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use schemas::hashing::sha256;
use schemas::ids::{ChunkId, DocumentId, SubmissionId};
use schemas::said::{Quantity, unit_named};
use schemas::{Address, B256};

use super::fingerprint::{Fingerprint, Quantities, shingles};
use super::index::{NewChunk, NewDocument};
use super::minhash::Bands;

/// The form of the file, and what made the fingerprints.
const HEAD: &[u8] = b"headwater fingerprints 1, headwater-duplicates/2\n";
/// A frame that says to be larger is damaged.
const FRAME_BYTES_MAX: u64 = 4 << 30;

/// A submission that is committed: its registration number and its id.
pub(crate) type Committed = (u64, SubmissionId);

/// The open file, at its end.
#[derive(Debug)]
pub(crate) struct Kept {
    file: File,
}

impl Kept {
    /// Opens the file, or makes it, and tells `each` of the submissions in it, as long as they are those that were committed.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) fn open(path: &Path, committed: &[Committed], mut each: impl FnMut(u64, Vec<NewDocument>)) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = File::options().create(true).truncate(false).read(true).write(true).open(path)?;
        let good = read_frames(BufReader::new(&mut file), committed, |(registered, _), documents| each(registered, documents));
        file.set_len(good)?;
        file.seek(SeekFrom::Start(good))?;
        if good == 0 {
            file.write_all(HEAD)?;
        }
        Ok(Self { file })
    }

    /// Adds the next committed submission, with its documents as [`encode`] gave them.
    ///
    /// # Errors
    /// The file system's; the file may then end in the middle of a frame, and nothing may be added after it.
    pub(crate) fn add(&mut self, (registered, submission_id): Committed, documents: &[u8]) -> io::Result<()> {
        let body = [&registered.to_le_bytes(), submission_id.0.as_slice(), documents].concat();
        let head = [(body.len() as u64).to_le_bytes(), checksum_of(&body)].concat();
        self.file.write_all(&[head, body].concat())
    }
}

/// Tells `each` of the submissions in a file, in order, as long as they are those that were committed; nothing is changed.
///
/// # Errors
/// The file system's, where there is no file.
pub(crate) fn read_kept(path: &Path, committed: &[Committed], each: impl FnMut(Committed, Vec<NewDocument>)) -> io::Result<()> {
    read_frames(BufReader::new(File::open(path)?), committed, each);
    Ok(())
}

/// How many bytes are good.
fn read_frames(mut from: impl Read, committed: &[Committed], mut each: impl FnMut(Committed, Vec<NewDocument>)) -> u64 {
    let mut head = vec![0; HEAD.len()];
    if from.read_exact(&mut head).is_err() || head != HEAD {
        return 0;
    }
    let mut good = HEAD.len() as u64;
    for (registered, submission_id) in committed {
        let Some((length, body)) = frame(&mut from) else { break };
        let Some(documents) = Decoder(&body).submission(*registered, *submission_id) else { break };
        each((*registered, *submission_id), documents);
        good += length;
    }
    good
}

/// A frame's length and body; `None` at the end, and where it is damaged.
fn frame(reader: &mut impl Read) -> Option<(u64, Vec<u8>)> {
    let mut head = [0; 16];
    reader.read_exact(&mut head).ok()?;
    let (length, checksum) = head.split_first_chunk::<8>()?;
    let length = u64::from_le_bytes(*length);
    if length > FRAME_BYTES_MAX {
        return None;
    }
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body).ok()?;
    (body.len() as u64 == length && checksum == checksum_of(&body)).then_some((16 + length, body))
}

fn checksum_of(body: &[u8]) -> [u8; 8] {
    let mut checksum = [0; 8];
    checksum.iter_mut().zip(sha256(body).0).for_each(|(to, from)| *to = from);
    checksum
}

/// The documents of a submission.
pub(crate) fn encode(documents: &[NewDocument]) -> Vec<u8> {
    let mut to = Encoder(Vec::new());
    to.length(documents.len());
    for document in documents {
        to.hash(document.document_id.0);
        to.0.extend_from_slice(document.contributor.as_slice());
        to.text(&document.file_name);
        to.length(document.chunks.len());
        for chunk in &document.chunks {
            to.chunk(chunk);
        }
    }
    to.0
}

/// Numbers are little-endian; what has a length begins with it.
struct Encoder(Vec<u8>);

impl Encoder {
    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn length(&mut self, length: usize) {
        self.number(length as u64);
    }

    fn hash(&mut self, hash: B256) {
        self.0.extend_from_slice(hash.as_slice());
    }

    fn text(&mut self, text: &str) {
        self.length(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    /// Without its shingles, which its words give.
    fn chunk(&mut self, chunk: &NewChunk) {
        let NewChunk { chunk_id, flags, fingerprint } = chunk;
        self.hash(chunk_id.0);
        self.length(flags.len());
        flags.iter().for_each(|flag| self.text(flag));
        self.hash(fingerprint.exact);
        self.length(fingerprint.words.len());
        fingerprint.words.iter().for_each(|word| self.number(*word));
        fingerprint.bands.iter().for_each(|band| self.number(*band));
        self.length(fingerprint.quantities.said.len());
        for Quantity { number, unit } in &fingerprint.quantities.said {
            self.text(number);
            self.text(unit.unwrap_or_default());
        }
        self.length(fingerprint.quantities.negations);
    }
}

/// What is left to be read; everything is `None` where something else stands.
struct Decoder<'a>(&'a [u8]);

impl Decoder<'_> {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn number(&mut self) -> Option<u64> {
        self.bytes().map(u64::from_le_bytes)
    }

    /// No more than there are bytes left.
    fn length(&mut self) -> Option<usize> {
        let length = usize::try_from(self.number()?).ok()?;
        (length <= self.0.len()).then_some(length)
    }

    fn hash(&mut self) -> Option<B256> {
        self.bytes().map(B256::new)
    }

    fn text(&mut self) -> Option<String> {
        let length = self.length()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).ok()
    }

    fn list<T>(&mut self, mut each: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let length = self.length()?;
        (0..length).map(|_| each(self)).collect()
    }

    /// The documents of this submission.
    fn submission(mut self, registered: u64, submission_id: SubmissionId) -> Option<Vec<NewDocument>> {
        if self.number()? != registered || self.hash()? != submission_id.0 {
            return None;
        }
        let documents = self.list(|from| from.document(submission_id))?;
        self.0.is_empty().then_some(documents)
    }

    fn document(&mut self, submission_id: SubmissionId) -> Option<NewDocument> {
        let document_id = DocumentId(self.hash()?);
        let contributor = Address::new(self.bytes()?);
        let file_name = self.text()?;
        Some(NewDocument { document_id, submission_id, contributor, file_name, chunks: self.list(Self::chunk)? })
    }

    fn chunk(&mut self) -> Option<NewChunk> {
        let chunk_id = ChunkId(self.hash()?);
        let flags = self.list(Self::text)?;
        let exact = self.hash()?;
        let words = self.list(Self::number)?;
        let mut bands = Bands::default();
        for band in &mut bands {
            *band = self.number()?;
        }
        let said = self.list(|from| {
            let (number, unit) = (from.text()?, from.text()?);
            Some(Quantity { number, unit: if unit.is_empty() { None } else { Some(unit_named(&unit)?) } })
        })?;
        let quantities = Quantities { said, negations: usize::try_from(self.number()?).ok()? };
        Some(NewChunk { chunk_id, flags, fingerprint: Fingerprint { exact, shingles: shingles(&words), words, bands, quantities } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(n: u8) -> Vec<NewDocument> {
        let texts = ["Keep it between 2 and 8 °C, not at -3.5 °C, for 31 days at €5.", "***", "Ice."];
        let chunk = |text: &&str| NewChunk {
            chunk_id: ChunkId(B256::repeat_byte(n)),
            flags: vec!["struck_text".to_owned(); usize::from(n)],
            fingerprint: Fingerprint::of(text),
        };
        vec![NewDocument {
            document_id: DocumentId(B256::repeat_byte(n)),
            submission_id: SubmissionId(B256::repeat_byte(n)),
            contributor: Address::repeat_byte(n),
            file_name: format!("Größe {n}.txt"),
            chunks: texts.iter().map(chunk).collect(),
        }]
    }

    fn committed(n: u8) -> Committed {
        (u64::from(n) * 2, SubmissionId(B256::repeat_byte(n)))
    }

    /// What is read of a file with the submissions 1, 2 and 3 in it, after `damage`, where `truth` were committed; and what is left of it.
    fn read(damage: impl Fn(&mut Vec<u8>), truth: &[Committed]) -> (Vec<u64>, u64) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("duplicates/file");
        let mut kept = Kept::open(&path, &[], |_, _| panic!("it is new")).unwrap();
        for n in 1..=3 {
            kept.add(committed(n), &encode(&documents(n))).unwrap();
        }
        drop(kept);
        let mut bytes = std::fs::read(&path).unwrap();
        damage(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        let mut found = Vec::new();
        let each = |registered, documents: Vec<NewDocument>| {
            let same = self::documents(u8::try_from(registered / 2).unwrap());
            assert_eq!(format!("{documents:?}"), format!("{same:?}"));
            found.push(registered);
        };
        let mut kept = Kept::open(&path, truth, each).unwrap();
        // It goes on from there.
        kept.add(committed(4), &encode(&documents(4))).unwrap();
        let mut again: Vec<Committed> = truth.iter().take(found.len()).copied().collect();
        again.push(committed(4));
        let mut count = 0;
        Kept::open(&path, &again, |_, _| count += 1).unwrap();
        (found, count)
    }

    #[test]
    fn a_file_is_believed_as_far_as_it_is_whole_and_of_what_was_committed() {
        let truth = [committed(1), committed(2), committed(3)];
        assert_eq!(read(|_| {}, &truth), (vec![2, 4, 6], 4));
        assert_eq!(read(|bytes| bytes.truncate(bytes.len() - 1), &truth), (vec![2, 4], 3), "a torn end");
        assert_eq!(read(|bytes| *bytes.last_mut().unwrap() ^= 1, &truth), (vec![2, 4], 3), "another byte");
        assert_eq!(read(|bytes| bytes[0] = b'H', &truth), (vec![], 1), "another form");
        assert_eq!(read(Vec::clear, &truth), (vec![], 1), "nothing");
        assert_eq!(read(|bytes| bytes[HEAD.len()..HEAD.len() + 8].fill(255), &truth), (vec![], 1), "a length beyond all");
        assert_eq!(read(|_| {}, &truth[..2]), (vec![2, 4], 3), "tables from before the last one");
        assert_eq!(read(|_| {}, &[committed(1), committed(3)]), (vec![2], 2), "tables with others");
        assert_eq!(read(|_| {}, &[(2, SubmissionId(B256::repeat_byte(9)))]), (vec![], 1), "another under the same number");
    }
}
