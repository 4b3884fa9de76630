//! Everything that somebody signs: EIP-712 structs, their digests, and who signed them.
//!
//! Off-chain messages use the domain `Headwater` version 1, bound to the chain and to the
//! `DatanetRegistry` that the service works with, so that a signature for one network means
//! nothing on another. Spending limits are checked by `PaymentVault` and use its domain.

use alloy_primitives::{Address, B256, Signature, U256, keccak256};
use alloy_sol_types::{Eip712Domain, SolStruct, eip712_domain, sol};

use crate::SchemaError;
use crate::ids::{AnswerId, DatanetId, DocumentId};

pub mod apps;
pub mod contributors;

sol! {
    struct Submission {
        address contributor;
        bytes32 datanetId;
        bytes32 manifestHash;
        bytes32 licenceHash;
        uint64 deadline;
    }

    struct Review {
        address curator;
        bytes32 datanetId;
        bytes32 documentId;
        string decision;
        string reasonCode;
        bytes32 commentHash;
        uint64 decidedAt;
    }

    struct Publication {
        address publisher;
        bytes32 datanetId;
        uint64 version;
        bytes32 parentRoot;
        bytes32 root;
        uint64 chunkCount;
    }

    struct CuratorRequest {
        address curator;
        bytes32 datanetId;
        uint64 expires;
    }

    struct CuratorChange {
        bytes32 datanetId;
        uint64 sequence;
        address curator;
        bool allowed;
    }

    struct AnswerReceipt {
        bytes32 answerId;
        bytes32 bodyHash;
    }

    struct SpendingLimit {
        address payer;
        address spender;
        uint256 maxAmount;
        uint64 expiry;
        uint256 nonce;
    }
}

/// Where a signature is valid: one chain, one registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SigningDomain {
    pub chain_id: u64,
    pub registry: Address,
}

impl SigningDomain {
    fn eip712(&self) -> Eip712Domain {
        eip712_domain! {
            name: "Headwater",
            version: "1",
            chain_id: self.chain_id,
            verifying_contract: self.registry,
        }
    }

    /// The digest to sign for any of our off-chain messages. Times are Unix seconds.
    pub fn digest<T: SolStruct>(&self, message: &T) -> B256 {
        message.eip712_signing_hash(&self.eip712())
    }
}

/// A contributor's offer of files. `licence` is an SPDX expression, `deadline` Unix seconds.
pub fn submission(contributor: Address, datanet: DatanetId, manifest_hash: B256, licence: &str, deadline: u64) -> Submission {
    Submission { contributor, datanetId: datanet.0, manifestHash: manifest_hash, licenceHash: keccak256(licence), deadline }
}

/// A curator's decision on one document. `decided_at` is Unix seconds.
pub fn review(
    curator: Address,
    datanet: DatanetId,
    document: DocumentId,
    decision: &str,
    reason_code: &str,
    comment: &str,
    decided_at: u64,
) -> Review {
    Review {
        curator,
        datanetId: datanet.0,
        documentId: document.0,
        decision: decision.to_owned(),
        reasonCode: reason_code.to_owned(),
        commentHash: keccak256(comment),
        decidedAt: decided_at,
    }
}

/// A curator's wish to read what a Datanet has not published. `expires` is Unix seconds.
pub fn curator_request(curator: Address, datanet: DatanetId, expires: u64) -> CuratorRequest {
    CuratorRequest { curator, datanetId: datanet.0, expires }
}

/// The service's word for one answer.
pub fn answer_receipt(answer: AnswerId, body_hash: B256) -> AnswerReceipt {
    AnswerReceipt { answerId: answer.0, bodyHash: body_hash }
}

/// The digest of a spending limit under the vault's own domain.
pub fn spending_limit_digest(chain_id: u64, vault: Address, limit: &SpendingLimit) -> B256 {
    limit.eip712_signing_hash(&eip712_domain! {
        name: "Headwater PaymentVault",
        version: "1",
        chain_id: chain_id,
        verifying_contract: vault,
    })
}

/// The 65 bytes of a signature in the one form that contracts take too: `0x` hexadecimal, r, s, and v as 27 or 28.
///
/// # Errors
/// [`SchemaError::BadSignature`].
pub fn signature_bytes(signature: &str) -> Result<[u8; 65], SchemaError> {
    let bad = |problem: String| SchemaError::BadSignature(problem);
    let digits = signature.strip_prefix("0x").ok_or_else(|| bad("malformed signature: it begins with 0x".into()))?;
    let bytes = hex::decode(digits).map_err(|error| bad(format!("malformed signature: {error}")))?;
    let bytes = <[u8; 65]>::try_from(bytes).map_err(|bytes| bad(format!("malformed signature: {} bytes instead of 65", bytes.len())))?;
    match bytes[64] {
        27 | 28 => Ok(bytes),
        other => Err(bad(format!("malformed signature: its last byte is {other}; contracts take 27 or 28 there"))),
    }
}

/// Checks that `signature` (in the form of [`signature_bytes`], low s) over `digest` was made by `signer`.
pub fn check_signature(digest: B256, signature: &str, signer: Address) -> Result<(), SchemaError> {
    let bad = |problem: String| SchemaError::BadSignature(problem);
    let parsed =
        Signature::try_from(signature_bytes(signature)?.as_slice()).map_err(|error| bad(format!("malformed signature: {error}")))?;
    if parsed.normalize_s().is_some() {
        return Err(bad("the signature has a high s value; only the canonical low form is accepted".into()));
    }
    let recovered = parsed.recover_address_from_prehash(&digest).map_err(|error| bad(format!("unrecoverable signature: {error}")))?;
    if recovered != signer {
        return Err(bad(format!(
            "signed by {recovered} instead of {signer}: the key, the chain id, the registry address or the signed fields differ"
        )));
    }
    Ok(())
}

/// A limit as its payer signed it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SignedSpendingLimit {
    pub payer: Address,
    pub spender: Address,
    /// wei
    pub max_amount: U256,
    /// Unix seconds
    pub expiry: u64,
    pub nonce: U256,
    pub signature: String,
}

impl SignedSpendingLimit {
    /// The digest that was signed, by which the vault counts what was spent.
    pub fn digest(&self, chain_id: u64, vault: Address) -> B256 {
        spending_limit_digest(chain_id, vault, &self.limit())
    }

    pub fn limit(&self) -> SpendingLimit {
        SpendingLimit { payer: self.payer, spender: self.spender, maxAmount: self.max_amount, expiry: self.expiry, nonce: self.nonce }
    }
}
