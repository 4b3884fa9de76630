//! Whose the members of a version are, in the order of registration, as a file that is mapped into memory: so a version is traced
//! without being opened for questions.

use schemas::ids::{ChunkId, DocumentId, SubmissionId};
use schemas::{Address, B256};

use super::Bytes;
use super::columns::Columns;
use crate::bytes::Writer;
use crate::open_version::{Member, Members};
use crate::statements::Origin;

const ADDRESS: usize = 20;
const HASH: usize = 32;
const NUMBER: usize = 8;

/// The columns: of each member its place in the version's dataset, its chunk id and which origin it has; of each origin the
/// contributor, the submission, the document and the registration.
#[derive(Debug)]
pub(super) struct KeptMembers {
    columns: Columns<7>,
}

const PLACES: usize = 0;
const CHUNKS: usize = 1;
const ORIGINS: usize = 2;
const CONTRIBUTORS: usize = 3;
const SUBMISSIONS: usize = 4;
const DOCUMENTS: usize = 5;
const REGISTERED: usize = 6;

pub(super) fn to_bytes(members: &Members) -> Vec<u8> {
    let (each, origins) = (members.after(0), members.origins.each());
    let mut to = Writer::default();
    to.numbers(each.iter().map(|member| member.place));
    to.bytes(&each.iter().flat_map(|member| member.chunk_id.0.0).collect::<Vec<u8>>());
    to.numbers(members.origins.of_chunks().iter().copied());
    to.bytes(&origins.iter().flat_map(|origin| origin.contributor.into_array()).collect::<Vec<u8>>());
    to.bytes(&origins.iter().flat_map(|origin| origin.submission.0.0).collect::<Vec<u8>>());
    to.bytes(&origins.iter().flat_map(|origin| origin.document.0.0).collect::<Vec<u8>>());
    to.bytes(&origins.iter().flat_map(|origin| origin.registered.to_le_bytes()).collect::<Vec<u8>>());
    to.finish()
}

impl KeptMembers {
    /// None where the bytes are something else.
    pub(super) fn new(bytes: Bytes) -> Option<Self> {
        let members = Self { columns: Columns::new(bytes)? };
        let (columns, count) = (&members.columns, members.len());
        let fits = columns.numbers(ORIGINS).len() == count && columns.values::<HASH>(CHUNKS).len() == count;
        fits.then_some(members)
    }

    pub(super) fn len(&self) -> usize {
        self.columns.numbers(PLACES).len()
    }

    pub(super) fn get(&self, position: usize) -> Option<(Member, Origin)> {
        let columns = &self.columns;
        let chunk_id = ChunkId(B256::new(*columns.values::<HASH>(CHUNKS).get(position)?));
        let of = columns.numbers(ORIGINS).get(position) as usize;
        let origin = Origin {
            contributor: Address::new(*columns.values::<ADDRESS>(CONTRIBUTORS).get(of)?),
            submission: SubmissionId(B256::new(*columns.values::<HASH>(SUBMISSIONS).get(of)?)),
            document: DocumentId(B256::new(*columns.values::<HASH>(DOCUMENTS).get(of)?)),
            registered: u64::from_le_bytes(*columns.values::<NUMBER>(REGISTERED).get(of)?),
        };
        Some((Member { chunk_id, place: columns.numbers(PLACES).get(position) }, origin))
    }
}
