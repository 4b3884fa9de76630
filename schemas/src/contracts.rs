//! Bindings of our contracts (`schemas/contracts/`), and the checked-in bytecode to deploy them.
//!
//! The interfaces are written out here; a test compares every selector and event topic with the
//! checked-in ABI, and the ABI's source digest with the Solidity sources.

#![expect(clippy::too_many_arguments, reason = "an event has as many as its contract gives it")]

use alloy_primitives::{Address, Bytes};
use alloy_sol_types::sol;
use serde::{Deserialize, Serialize};

use crate::SchemaError;
use crate::ids::typed_address;

sol! {
    #[derive(Debug, PartialEq, Eq)]
    interface DatanetRegistry {
        event DatanetCreated(bytes32 indexed datanetId, address indexed owner, bytes32 nameHash, bytes32 metadataHash, bytes32 policyHash, uint64 seq);
        event VersionCommitted(bytes32 indexed datanetId, uint64 indexed version, bytes32 indexed root, bytes32 parentRoot, uint64 chunkCount, bytes32 manifestHash, address committer, uint64 seq);
        event DatanetFrozen(bytes32 indexed datanetId, uint64 seq);
        event DatanetTransferStarted(bytes32 indexed datanetId, address indexed owner, address indexed pendingOwner, uint64 seq);
        event DatanetTransferred(bytes32 indexed datanetId, address indexed previousOwner, address indexed newOwner, uint64 seq);

        function createDatanet(bytes32 nameHash, bytes32 metadataHash, bytes32 policyHash) external returns (bytes32 datanetId);
        function commitVersion(bytes32 datanetId, uint64 version, bytes32 parentRoot, bytes32 root, uint64 chunkCount, bytes32 manifestHash) external;
        function freeze(bytes32 datanetId) external;
        function head(bytes32 datanetId) external view returns (uint64 version, bytes32 root);
        function versionRoot(bytes32 datanetId, uint64 version) external view returns (bytes32);
        function ownerOf(bytes32 datanetId) external view returns (address);
        function seq() external view returns (uint64);
    }

    #[derive(Debug, PartialEq, Eq)]
    interface ModelRegistry {
        enum Kind { Base, Adapter }
        struct ParentModel {
            bytes32 modelId;
            uint64 version;
            bytes32 contentHash;
            uint16 royaltyBps;
        }
        struct ParentDatanet {
            bytes32 datanetId;
            uint64 version;
            bytes32 root;
        }
        struct Royalty {
            bytes32 modelId;
            uint16 royaltyBps;
        }
        struct Model {
            address owner;
            uint64 headVersion;
            uint16 royaltyBps;
            Kind kind;
            bool frozen;
            address pendingOwner;
            bytes32 headHash;
        }

        event ModelRegistered(bytes32 indexed modelId, address indexed owner, Kind kind, bytes32 nameHash, uint16 royaltyBps, uint64 seq);
        event ModelVersionCommitted(bytes32 indexed modelId, uint64 indexed version, bytes32 indexed contentHash, bytes32 parentHash, bytes32 metadataHash, uint64 seq);
        event ModelDerived(bytes32 indexed modelId, uint64 indexed version, bytes32 indexed parentModelId, uint64 parentVersion, bytes32 parentHash, uint16 royaltyBps, uint64 seq);
        event ModelTrained(bytes32 indexed modelId, uint64 indexed version, bytes32 indexed datanetId, uint64 datanetVersion, bytes32 datanetRoot, uint64 seq);
        event RoyaltySet(bytes32 indexed modelId, uint16 royaltyBps, uint64 seq);
        event ModelFrozen(bytes32 indexed modelId, uint64 seq);
        event ModelTransferStarted(bytes32 indexed modelId, address indexed owner, address indexed pendingOwner, uint64 seq);
        event ModelTransferred(bytes32 indexed modelId, address indexed previousOwner, address indexed newOwner, uint64 seq);

        function registerModel(bytes32 nameHash, Kind kind, bytes32 contentHash, bytes32 metadataHash, uint16 royaltyBps, ParentModel[] calldata models, ParentDatanet[] calldata trainedOn) external returns (bytes32 modelId);
        function commitModelVersion(bytes32 modelId, uint64 version, bytes32 parentHash, bytes32 contentHash, bytes32 metadataHash, ParentModel[] calldata models, ParentDatanet[] calldata trainedOn) external;
        function setRoyalty(bytes32 modelId, uint16 royaltyBps) external;
        function freeze(bytes32 modelId) external;
        function transferModel(bytes32 modelId, address newOwner) external;
        function acceptModel(bytes32 modelId) external;
        function modelOf(bytes32 modelId) external view returns (Model memory);
        function head(bytes32 modelId) external view returns (uint64 version, bytes32 contentHash);
        function versionHash(bytes32 modelId, uint64 version) external view returns (bytes32);
        function ownerOf(bytes32 modelId) external view returns (address);
        function parentsOf(bytes32 modelId) external view returns (Royalty[] memory);
        function seq() external view returns (uint64);
    }

    #[derive(Debug, PartialEq, Eq)]
    interface PaymentVault {
        struct SpendingLimit {
            address payer;
            address spender;
            uint256 maxAmount;
            uint64 expiry;
            uint256 nonce;
        }
        struct Debit {
            SpendingLimit limit;
            bytes signature;
            uint256 amount;
            uint256 dataPart;
            uint256 modelPart;
        }
        struct Batch {
            uint64 epoch;
            uint64 part;
            bool isLast;
            bytes32 receiptsRoot;
        }
        struct FeeSchedule {
            uint16 platformBps;
            uint16 modelBps;
            uint16 stakersBps;
            uint16 dataBps;
            address stakersPool;
        }
        enum ShortReason { None, LimitExpired, LimitCancelled, LimitExhausted, BalanceTooSmall, SignatureInvalid }

        event Deposited(address indexed payer, address indexed from, uint256 amount, uint64 seq);
        event WithdrawalRequested(address indexed payer, uint256 amount, uint64 availableAt, uint64 seq);
        event Withdrawn(address indexed payer, uint256 amount, uint64 seq);
        event Debited(address indexed payer, uint64 indexed epoch, bytes32 indexed limitHash, uint64 part, uint256 amount, uint256 dataAmount, uint256 modelAmount, uint64 seq);
        event DebitShort(address indexed payer, uint64 indexed epoch, bytes32 indexed limitHash, uint64 part, uint256 owed, uint256 taken, ShortReason reason, uint64 seq);
        event BatchDebited(uint64 indexed epoch, uint64 indexed part, bytes32 indexed receiptsRoot, bool isLast, bytes32 prevRoot, uint256 owed, uint256 total, uint256 dataPool, uint256 modelPool, uint256 stakersAmount, uint256 platformAmount, uint64 seq);
        event LimitCancelled(address indexed payer, uint256 nonce, uint64 cancelledFrom, uint64 seq);
        event OperatorSet(address indexed operator, uint64 seq);
        event FeesProposed(uint16 platformBps, uint16 modelBps, uint16 stakersBps, uint16 dataBps, address indexed stakersPool, uint64 activatableAt, uint64 seq);
        event FeesActivated(uint16 platformBps, uint16 modelBps, uint16 stakersBps, uint16 dataBps, address indexed stakersPool, uint64 seq);

        function deposit(uint256 amount) external;
        function depositFor(address payer, uint256 amount) external;
        function requestWithdrawal(uint256 amount) external;
        function withdraw() external;
        function cancelLimit(uint256 nonce) external;
        function setOperator(address operator) external;
        function proposeFees(FeeSchedule calldata proposed) external;
        function activateFees() external;
        function debitBatch(Batch calldata batch, bytes32 prevRoot, Debit[] calldata debits) external;
        function fees() external view returns (FeeSchedule memory);
        function proposedFees() external view returns (FeeSchedule memory proposed, uint64 activatableAt);
        function withdrawalDelay() external view returns (uint64);
        function withdrawalOf(address payer) external view returns (uint256 amount, uint64 availableAt);
        function cancelledFrom(address payer, uint256 nonce) external view returns (uint64);
        function operator() external view returns (address);
        function owner() external view returns (address);
        function balanceOf(address payer) external view returns (uint256);
        function spent(bytes32 limitHash) external view returns (uint256);
        function lastBatch() external view returns (uint64 epoch, uint64 part, bool isLast, bytes32 receiptsRoot);
        function seq() external view returns (uint64);
    }

    #[derive(Debug, PartialEq, Eq)]
    interface RewardDistributor {
        event Funded(address indexed from, uint256 amount, uint256 totalFunded, uint64 seq);
        event RootProposed(uint64 indexed epoch, bytes32 indexed root, bytes32 artifactHash, uint256 totalCumulative, uint64 toBlock, bytes32 toBlockHash, bytes32 indexDigest, uint64 disputableUntil, uint64 seq);
        event RootDisputed(uint64 indexed epoch, address indexed by, bytes32 evidenceHash, uint256 bond, uint64 seq);
        event RootRevoked(uint64 indexed epoch, bytes32 indexed root, uint64 seq);
        event DisputeResolved(uint64 indexed epoch, address indexed by, bool valid, uint64 seq);
        event BondReleased(uint64 indexed epoch, address indexed account, uint256 amount, uint64 seq);
        event BondWithdrawn(address indexed account, uint256 amount, uint64 seq);
        event RootAccepted(uint64 indexed epoch, bytes32 indexed root, uint256 totalCumulative, uint64 seq);
        event Claimed(address indexed account, uint64 indexed epoch, uint256 amount, uint256 cumulative, uint64 seq);
        event ProposerSet(address indexed proposer, uint64 seq);

        function fund(uint256 amount) external;
        function proposeRoot(uint64 epoch, bytes32 root, bytes32 artifactHash, uint256 totalCumulative, uint64 toBlock, bytes32 toBlockHash, bytes32 indexDigest) external;
        function dispute(uint64 epoch, bytes32 expectedRoot, bytes32 evidenceHash) external;
        function resolveDispute(uint64 epoch, bool valid) external;
        function revokeRoot(uint64 epoch) external;
        function withdrawBond(address account) external;
        function disputeBond() external view returns (uint256);
        function bondOf(address account) external view returns (uint256);
        function bondsHeld() external view returns (uint256);
        function bondRecipient() external view returns (address);
        function openDispute() external view returns (address by, bytes32 evidenceHash);
        function removedRoot() external view returns (bytes32);
        function proposer() external view returns (address);
        function owner() external view returns (address);
        function acceptRoot(uint64 epoch) external;
        function claim(address account, uint256 cumulative, bytes32 expectedRoot, bytes32[] calldata proof) external returns (uint256 paid);
        function root() external view returns (bytes32);
        function pending() external view returns (uint64 epoch, uint64 toBlock, uint64 disputableUntil, bytes32 root, bytes32 artifactHash, uint256 totalCumulative, bytes32 toBlockHash, bytes32 indexDigest);
        function acceptedEpoch() external view returns (uint64);
        function claimed(address account) external view returns (uint256);
        function totalFunded() external view returns (uint256);
        function totalClaimed() external view returns (uint256);
        function totalCumulative() external view returns (uint256);
        function seq() external view returns (uint64);
    }

    #[derive(Debug, PartialEq, Eq)]
    interface OpenToken {
        event Transfer(address indexed from, address indexed to, uint256 value);
        event Approval(address indexed owner, address indexed spender, uint256 value);

        function mint(address to, uint256 amount) external;
        function approve(address spender, uint256 amount) external returns (bool);
        function transfer(address to, uint256 amount) external returns (bool);
        function balanceOf(address account) external view returns (uint256);
        function allowance(address owner, address spender) external view returns (uint256);
        function totalSupply() external view returns (uint256);
    }
}

/// The contracts a service works with, and the block from which their events are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    pub chain_id: u64,
    #[serde(deserialize_with = "typed_address::deserialize")]
    pub registry: Address,
    /// `ModelRegistry`.
    #[serde(deserialize_with = "typed_address::deserialize")]
    pub models: Address,
    #[serde(deserialize_with = "typed_address::deserialize")]
    pub vault: Address,
    #[serde(deserialize_with = "typed_address::deserialize")]
    pub distributor: Address,
    #[serde(deserialize_with = "typed_address::deserialize")]
    pub token: Address,
    /// First block that can hold an event of ours.
    pub start_block: u64,
}

impl Deployment {
    /// Every contract whose events are read.
    pub fn addresses(&self) -> [Address; 5] {
        [self.registry, self.models, self.vault, self.distributor, self.token]
    }
}

/// A contract that we can deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contract {
    DatanetRegistry,
    ModelRegistry,
    PaymentVault,
    RewardDistributor,
    OpenToken,
}

/// A checked-in build of a contract.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    pub contract_name: String,
    pub abi: alloy_json_abi::JsonAbi,
    /// Creation code, without constructor arguments.
    pub bytecode: Bytes,
    /// sha256 over the Solidity sources it was built from.
    pub source_digest: String,
}

impl Contract {
    pub const ALL: [Self; 5] = [Self::DatanetRegistry, Self::ModelRegistry, Self::PaymentVault, Self::RewardDistributor, Self::OpenToken];

    /// The build that is part of this binary.
    ///
    /// # Errors
    /// [`SchemaError::NotCanonical`] if the checked-in file is not an artifact.
    pub fn artifact(self) -> Result<Artifact, SchemaError> {
        let text = match self {
            Self::DatanetRegistry => include_str!("../contracts/artifacts/DatanetRegistry.json"),
            Self::ModelRegistry => include_str!("../contracts/artifacts/ModelRegistry.json"),
            Self::PaymentVault => include_str!("../contracts/artifacts/PaymentVault.json"),
            Self::RewardDistributor => include_str!("../contracts/artifacts/RewardDistributor.json"),
            Self::OpenToken => include_str!("../contracts/artifacts/OpenToken.json"),
        };
        serde_json::from_str(text).map_err(|error| SchemaError::NotCanonical(format!("{self:?} artifact: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use alloy_sol_types::SolInterface;
    use sha2::Digest;

    use super::*;

    fn check<Calls: SolInterface>(contract: Contract, event_topics: &[[u8; 32]]) {
        let artifact = contract.artifact().unwrap();
        assert_eq!(artifact.contract_name, format!("{contract:?}"));
        assert!(!artifact.bytecode.is_empty());
        let selectors: BTreeSet<[u8; 4]> = artifact.abi.functions().map(|function| function.selector().0).collect();
        for selector in Calls::selectors() {
            assert!(selectors.contains(&selector), "{contract:?} has no function {}", hex::encode(selector));
        }
        let topics: BTreeSet<[u8; 32]> = artifact.abi.events().map(|event| event.selector().0).collect();
        for topic in event_topics {
            assert!(topics.contains(topic), "{contract:?} has no event {}", hex::encode(topic));
        }
    }

    #[test]
    fn bindings_match_the_checked_in_abi() {
        check::<DatanetRegistry::DatanetRegistryCalls>(Contract::DatanetRegistry, DatanetRegistry::DatanetRegistryEvents::SELECTORS);
        check::<ModelRegistry::ModelRegistryCalls>(Contract::ModelRegistry, ModelRegistry::ModelRegistryEvents::SELECTORS);
        check::<PaymentVault::PaymentVaultCalls>(Contract::PaymentVault, PaymentVault::PaymentVaultEvents::SELECTORS);
        check::<RewardDistributor::RewardDistributorCalls>(
            Contract::RewardDistributor,
            RewardDistributor::RewardDistributorEvents::SELECTORS,
        );
        check::<OpenToken::OpenTokenCalls>(Contract::OpenToken, OpenToken::OpenTokenEvents::SELECTORS);
    }

    /// Change a contract, and `npm run artifacts` in schemas/contracts must follow.
    #[test]
    fn artifacts_are_built_from_these_sources() {
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("contracts");
        let mut files = Vec::new();
        solidity_files(&project.join("src"), &mut files);
        let mut named: Vec<(String, PathBuf)> =
            files.into_iter().map(|path| (path.strip_prefix(&project).unwrap().to_str().unwrap().to_owned(), path)).collect();
        named.sort();
        assert!(named.len() >= 4);
        let mut hasher = sha2::Sha256::new();
        for (name, path) in named {
            hasher.update(name);
            hasher.update([0]);
            hasher.update(std::fs::read(path).unwrap());
            hasher.update([0]);
        }
        let digest = hex::encode(hasher.finalize());
        for contract in Contract::ALL {
            assert_eq!(contract.artifact().unwrap().source_digest, digest, "{contract:?}: run `npm run artifacts` in schemas/contracts");
        }
    }

    fn solidity_files(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                solidity_files(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "sol") {
                files.push(path);
            }
        }
    }
}
