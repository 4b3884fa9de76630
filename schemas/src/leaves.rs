//! The typed leaves of our Merkle trees. A leaf is hashed twice, so that an inner node can never
//! pass for one (OpenZeppelin #3091): `keccak256(keccak256(abi.encode(…)))`.

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::SolValue;

use crate::ids::{ChunkId, SubmissionId};
use crate::tables::{ChunkRow, MemberRow};

/// A member of a Datanet version: `(bytes32 chunk_id, address contributor, bytes32 submission_id, uint64 registered)`. Who
/// was first is bound by the root, and with the texts decides whom each statement belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionLeaf {
    pub chunk_id: ChunkId,
    pub contributor: Address,
    pub submission_id: SubmissionId,
    /// Registration order of the submission over all Datanets, from 1.
    pub registered: u64,
}

impl VersionLeaf {
    pub fn of(chunk: &ChunkRow) -> Self {
        let ChunkRow { chunk_id, contributor, submission_id, registered, .. } = *chunk;
        Self { chunk_id, contributor, submission_id, registered }
    }

    pub fn of_member(member: &MemberRow) -> Self {
        let MemberRow { chunk_id, contributor, submission_id, registered, .. } = *member;
        Self { chunk_id, contributor, submission_id, registered }
    }

    pub fn hash(&self) -> B256 {
        double_keccak(&(self.chunk_id.0, self.contributor, self.submission_id.0, self.registered).abi_encode())
    }
}

/// A member of a version as it was anchored before the order of registration was bound:
/// `(bytes32 chunk_id, address contributor, bytes32 submission_id)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FirstVersionLeaf {
    pub chunk_id: ChunkId,
    pub contributor: Address,
    pub submission_id: SubmissionId,
}

impl FirstVersionLeaf {
    pub fn hash(&self) -> B256 {
        double_keccak(&(self.chunk_id.0, self.contributor, self.submission_id.0).abi_encode())
    }
}

/// What an account may have claimed in all:
/// `(uint256 chain_id, address distributor, address account, uint256 cumulative_wei)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RewardLeaf {
    pub chain_id: u64,
    pub distributor: Address,
    pub account: Address,
    pub cumulative_wei: U256,
}

impl RewardLeaf {
    pub fn hash(&self) -> B256 {
        double_keccak(&(U256::from(self.chain_id), self.distributor, self.account, self.cumulative_wei).abi_encode())
    }
}

fn double_keccak(encoded: &[u8]) -> B256 {
    keccak256(keccak256(encoded))
}
