// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Sequenced} from "./Sequenced.sol";
import {IDatanetVersions} from "./interfaces/IDatanetVersions.sol";

/// @title DatanetRegistry
/// @notice The public record of Datanets and of the root of each version they published.
/// @dev Holds no money and has no administrator: every right belongs to the owner of one Datanet.
/// Only the owner commits. What curators decide is signed and checked off chain, where versions are made: a key
/// that could commit here what was never published there could hold up every later version.
/// Versions are append-only. A commit names the root it builds on (compare-and-swap), so of two that race the
/// second one's transaction reverts. A number may be left out: it is one that never came to stand here.
/// Full texts stay off chain; here are their keccak256 hashes.
contract DatanetRegistry is IDatanetVersions, Sequenced {
    struct Datanet {
        address owner;
        uint64 headVersion;
        bool frozen;
        address pendingOwner;
        bytes32 headRoot;
    }

    mapping(bytes32 datanetId => Datanet) private _datanets;
    mapping(bytes32 datanetId => mapping(uint64 version => bytes32)) private _versionRoots;

    event DatanetCreated(
        bytes32 indexed datanetId,
        address indexed owner,
        bytes32 nameHash,
        bytes32 metadataHash,
        bytes32 policyHash,
        uint64 seq
    );
    event VersionCommitted(
        bytes32 indexed datanetId,
        uint64 indexed version,
        bytes32 indexed root,
        bytes32 parentRoot,
        uint64 chunkCount,
        bytes32 manifestHash,
        address committer,
        uint64 seq
    );
    event DatanetFrozen(bytes32 indexed datanetId, uint64 seq);
    event DatanetTransferStarted(
        bytes32 indexed datanetId, address indexed owner, address indexed pendingOwner, uint64 seq
    );
    event DatanetTransferred(
        bytes32 indexed datanetId, address indexed previousOwner, address indexed newOwner, uint64 seq
    );

    /// @notice The caller already created a Datanet of this name.
    error DatanetExists(bytes32 datanetId);
    /// @notice No Datanet has this id.
    error DatanetUnknown(bytes32 datanetId);
    /// @notice The Datanet takes no more versions.
    error DatanetIsFrozen(bytes32 datanetId);
    /// @notice Only the Datanet's owner may do this.
    error NotDatanetOwner(bytes32 datanetId, address caller);
    /// @notice Only the account named by the owner may take the Datanet over.
    error NotPendingOwner(bytes32 datanetId, address caller);
    /// @notice A version's root cannot be zero: zero means "no version yet".
    error ZeroRoot();
    /// @notice The version is not above the head.
    error WrongVersion(bytes32 datanetId, uint64 head, uint64 given);
    /// @notice The parent root is not the head's root: somebody committed first.
    error WrongParentRoot(bytes32 datanetId, bytes32 expected, bytes32 given);

    /// @notice Creates a Datanet owned by the caller.
    /// @param nameHash keccak256 of the name; one caller can use a name once.
    /// @param metadataHash keccak256 of the description published off chain.
    /// @param policyHash keccak256 of the acceptance policy.
    /// @return datanetId keccak256(abi.encode(caller, nameHash)).
    function createDatanet(bytes32 nameHash, bytes32 metadataHash, bytes32 policyHash)
        external
        returns (bytes32 datanetId)
    {
        datanetId = keccak256(abi.encode(msg.sender, nameHash));
        Datanet storage datanet = _datanets[datanetId];
        if (datanet.owner != address(0)) revert DatanetExists(datanetId);
        datanet.owner = msg.sender;
        emit DatanetCreated(datanetId, msg.sender, nameHash, metadataHash, policyHash, _nextSeq());
    }

    /// @notice Publishes the root of the next version. Owner only.
    /// @param version Above the head's version.
    /// @param parentRoot The head's root; zero for the first version.
    /// @param root OpenZeppelin standard Merkle root over (chunk id, contributor, submission id).
    /// @param chunkCount Number of leaves under `root`.
    /// @param manifestHash keccak256 of the version's manifest.
    function commitVersion(
        bytes32 datanetId,
        uint64 version,
        bytes32 parentRoot,
        bytes32 root,
        uint64 chunkCount,
        bytes32 manifestHash
    ) external {
        Datanet storage datanet = _ownedByCaller(datanetId);
        if (datanet.frozen) revert DatanetIsFrozen(datanetId);
        if (root == bytes32(0)) revert ZeroRoot();
        uint64 headVersion = datanet.headVersion;
        if (version <= headVersion) revert WrongVersion(datanetId, headVersion, version);
        bytes32 headRoot = datanet.headRoot;
        if (parentRoot != headRoot) revert WrongParentRoot(datanetId, headRoot, parentRoot);

        datanet.headVersion = version;
        datanet.headRoot = root;
        _versionRoots[datanetId][version] = root;
        emit VersionCommitted(
            datanetId, version, root, parentRoot, chunkCount, manifestHash, msg.sender, _nextSeq()
        );
    }

    /// @notice Ends the Datanet's versions for ever. Owner only; cannot be undone.
    function freeze(bytes32 datanetId) external {
        Datanet storage datanet = _ownedByCaller(datanetId);
        if (datanet.frozen) revert DatanetIsFrozen(datanetId);
        datanet.frozen = true;
        emit DatanetFrozen(datanetId, _nextSeq());
    }

    /// @notice Names the account that may take the Datanet over; the zero address withdraws the offer.
    function transferDatanet(bytes32 datanetId, address newOwner) external {
        Datanet storage datanet = _ownedByCaller(datanetId);
        datanet.pendingOwner = newOwner;
        emit DatanetTransferStarted(datanetId, msg.sender, newOwner, _nextSeq());
    }

    /// @notice Takes over a Datanet that its owner offered to the caller.
    function acceptDatanet(bytes32 datanetId) external {
        Datanet storage datanet = _existing(datanetId);
        if (datanet.pendingOwner != msg.sender) revert NotPendingOwner(datanetId, msg.sender);
        address previousOwner = datanet.owner;
        datanet.owner = msg.sender;
        delete datanet.pendingOwner;
        emit DatanetTransferred(datanetId, previousOwner, msg.sender, _nextSeq());
    }

    /// @notice The newest version and its root; (0, 0) when there is none.
    function head(bytes32 datanetId) external view returns (uint64 version, bytes32 root) {
        Datanet storage datanet = _datanets[datanetId];
        return (datanet.headVersion, datanet.headRoot);
    }

    /// @inheritdoc IDatanetVersions
    function versionRoot(bytes32 datanetId, uint64 version) external view override returns (bytes32) {
        return _versionRoots[datanetId][version];
    }

    /// @notice The Datanet's owner; zero when the Datanet does not exist.
    function ownerOf(bytes32 datanetId) external view returns (address) {
        return _datanets[datanetId].owner;
    }

    /// @notice The account that was offered the Datanet; zero when there is no offer.
    function pendingOwnerOf(bytes32 datanetId) external view returns (address) {
        return _datanets[datanetId].pendingOwner;
    }

    /// @notice Whether the Datanet takes no more versions.
    function isFrozen(bytes32 datanetId) external view returns (bool) {
        return _datanets[datanetId].frozen;
    }

    function _ownedByCaller(bytes32 datanetId) private view returns (Datanet storage datanet) {
        datanet = _existing(datanetId);
        if (datanet.owner != msg.sender) revert NotDatanetOwner(datanetId, msg.sender);
    }

    function _existing(bytes32 datanetId) private view returns (Datanet storage datanet) {
        datanet = _datanets[datanetId];
        if (datanet.owner == address(0)) revert DatanetUnknown(datanetId);
    }
}
