// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Sequenced} from "./Sequenced.sol";
import {IDatanetVersions} from "./interfaces/IDatanetVersions.sol";

/// @title ModelRegistry
/// @notice The public record of base models and adapters: who owns them, what they were made from, and the
/// content hash of each version.
/// @dev Holds no money and has no administrator: every right belongs to the owner of one model.
/// A model's parents exist before it and never change, so descent has no cycles. What it owes to a parent is
/// the parent's royalty at the time of registration, for ever: a parent that raises its royalty later changes
/// nothing for those who built on it.
contract ModelRegistry is Sequenced {
    enum Kind {
        Base,
        Adapter
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

    /// @dev A version of another model that this version was made from.
    struct ParentModel {
        bytes32 modelId;
        uint64 version;
        bytes32 contentHash;
        /// The parent's royalty that the caller agrees to, in basis points.
        uint16 royaltyBps;
    }

    /// @dev A version of a Datanet that this version was trained on.
    struct ParentDatanet {
        bytes32 datanetId;
        uint64 version;
        bytes32 root;
    }

    /// @dev What a model owes to one of its parents.
    struct Royalty {
        bytes32 modelId;
        uint16 royaltyBps;
    }

    uint256 private constant BPS = 10_000;
    /// @notice A model has at most this many parent models.
    uint256 public constant MAX_PARENT_MODELS = 8;
    /// @notice A version is trained on at most this many Datanets.
    uint256 public constant MAX_PARENT_DATANETS = 32;

    /// @notice Where the Datanets are recorded that models are trained on.
    IDatanetVersions public immutable datanets;

    mapping(bytes32 modelId => Model) private _models;
    mapping(bytes32 modelId => mapping(uint64 version => bytes32)) private _versionHashes;
    mapping(bytes32 modelId => Royalty[]) private _parents;

    event ModelRegistered(
        bytes32 indexed modelId,
        address indexed owner,
        Kind kind,
        bytes32 nameHash,
        uint16 royaltyBps,
        uint64 seq
    );
    event ModelVersionCommitted(
        bytes32 indexed modelId,
        uint64 indexed version,
        bytes32 indexed contentHash,
        bytes32 parentHash,
        bytes32 metadataHash,
        uint64 seq
    );
    event ModelDerived(
        bytes32 indexed modelId,
        uint64 indexed version,
        bytes32 indexed parentModelId,
        uint64 parentVersion,
        bytes32 parentHash,
        uint16 royaltyBps,
        uint64 seq
    );
    event ModelTrained(
        bytes32 indexed modelId,
        uint64 indexed version,
        bytes32 indexed datanetId,
        uint64 datanetVersion,
        bytes32 datanetRoot,
        uint64 seq
    );
    event RoyaltySet(bytes32 indexed modelId, uint16 royaltyBps, uint64 seq);
    event ModelFrozen(bytes32 indexed modelId, uint64 seq);
    event ModelTransferStarted(
        bytes32 indexed modelId, address indexed owner, address indexed pendingOwner, uint64 seq
    );
    event ModelTransferred(
        bytes32 indexed modelId, address indexed previousOwner, address indexed newOwner, uint64 seq
    );

    /// @notice The registry of Datanets is the zero address.
    error ZeroAddress();
    /// @notice The caller already registered a model of this name.
    error ModelExists(bytes32 modelId);
    /// @notice No model has this id.
    error ModelUnknown(bytes32 modelId);
    /// @notice The model takes no more versions.
    error ModelIsFrozen(bytes32 modelId);
    /// @notice Only the model's owner may do this.
    error NotModelOwner(bytes32 modelId, address caller);
    /// @notice Only the account named by the owner may take the model over.
    error NotPendingOwner(bytes32 modelId, address caller);
    /// @notice A content hash cannot be zero: zero means "no version".
    error ZeroContentHash();
    /// @notice The version is not the one after the head.
    error WrongVersion(bytes32 modelId, uint64 expected, uint64 given);
    /// @notice The parent hash is not the head's content hash: another version was committed first.
    error WrongParentHash(bytes32 modelId, bytes32 expected, bytes32 given);
    /// @notice More parent models, or more Datanets, than a version may have.
    error TooManyParents(uint256 most, uint256 given);
    /// @notice A parent is named twice.
    error DuplicateParent(bytes32 parentId);
    /// @notice A version of a parent model does not exist, or has another content hash.
    error WrongParentModel(bytes32 modelId, uint64 version, bytes32 registered, bytes32 given);
    /// @notice A version of a Datanet does not exist, or has another root.
    error WrongParentDatanet(bytes32 datanetId, uint64 version, bytes32 registered, bytes32 given);
    /// @notice An adapter has exactly one base model among its parents.
    error AdapterNeedsOneBase(uint256 bases);
    /// @notice The parents of a model are those it was registered with, in that order.
    error ParentsChanged(bytes32 modelId);
    /// @notice The royalty is above 10,000 basis points.
    error RoyaltyTooHigh(uint16 royaltyBps);
    /// @notice The parent's royalty is not what the caller agrees to.
    error WrongRoyalty(bytes32 modelId, uint16 registered, uint16 given);
    /// @notice The royalties of all parents sum to more than 10,000 basis points.
    error RoyaltiesTooHigh(uint256 sumBps);

    /// @param datanets_ The `DatanetRegistry`.
    constructor(address datanets_) {
        if (datanets_ == address(0)) revert ZeroAddress();
        datanets = IDatanetVersions(datanets_);
    }

    /// @notice Registers a model owned by the caller, with its first version.
    /// @param nameHash keccak256 of the name; one caller can use a name once.
    /// @param kind An adapter is only good on top of its base model.
    /// @param contentHash keccak256 of the manifest that names each file of the model with its sha256.
    /// @param metadataHash keccak256 of the description published off chain.
    /// @param royaltyBps What models derived from this one owe to it, of what they earn.
    /// @param models The models it was made from.
    /// @param trainedOn The Datanets it was trained on.
    /// @return modelId keccak256(abi.encode(caller, nameHash)).
    function registerModel(
        bytes32 nameHash,
        Kind kind,
        bytes32 contentHash,
        bytes32 metadataHash,
        uint16 royaltyBps,
        ParentModel[] calldata models,
        ParentDatanet[] calldata trainedOn
    ) external returns (bytes32 modelId) {
        if (royaltyBps > BPS) revert RoyaltyTooHigh(royaltyBps);
        modelId = keccak256(abi.encode(msg.sender, nameHash));
        Model storage model = _models[modelId];
        if (model.owner != address(0)) revert ModelExists(modelId);
        // Before the model exists, so that it cannot be its own parent.
        _adopt(modelId, kind, models);
        model.owner = msg.sender;
        model.kind = kind;
        model.royaltyBps = royaltyBps;
        emit ModelRegistered(modelId, msg.sender, kind, nameHash, royaltyBps, _nextSeq());
        _commit(modelId, 1, contentHash, metadataHash, models, trainedOn);
    }

    /// @notice Publishes the next version of a model. Owner only.
    /// @param version The head's version plus 1.
    /// @param parentHash The head's content hash.
    /// @param models The model's parents, each at the version that this one was made from.
    /// @param trainedOn The Datanets that this version was trained on.
    function commitModelVersion(
        bytes32 modelId,
        uint64 version,
        bytes32 parentHash,
        bytes32 contentHash,
        bytes32 metadataHash,
        ParentModel[] calldata models,
        ParentDatanet[] calldata trainedOn
    ) external {
        Model storage model = _ownedByCaller(modelId);
        if (model.frozen) revert ModelIsFrozen(modelId);
        uint64 next = model.headVersion + 1;
        if (version != next) revert WrongVersion(modelId, next, version);
        if (parentHash != model.headHash) revert WrongParentHash(modelId, model.headHash, parentHash);
        _requireSameParents(modelId, models);
        _commit(modelId, version, contentHash, metadataHash, models, trainedOn);
    }

    /// @notice Sets what models registered from now on owe to this one. Owner only.
    function setRoyalty(bytes32 modelId, uint16 royaltyBps) external {
        Model storage model = _ownedByCaller(modelId);
        if (royaltyBps > BPS) revert RoyaltyTooHigh(royaltyBps);
        model.royaltyBps = royaltyBps;
        emit RoyaltySet(modelId, royaltyBps, _nextSeq());
    }

    /// @notice Ends the model's versions for ever. Owner only; cannot be undone.
    function freeze(bytes32 modelId) external {
        Model storage model = _ownedByCaller(modelId);
        if (model.frozen) revert ModelIsFrozen(modelId);
        model.frozen = true;
        emit ModelFrozen(modelId, _nextSeq());
    }

    /// @notice Names the account that may take the model over; the zero address withdraws the offer.
    function transferModel(bytes32 modelId, address newOwner) external {
        Model storage model = _ownedByCaller(modelId);
        model.pendingOwner = newOwner;
        emit ModelTransferStarted(modelId, msg.sender, newOwner, _nextSeq());
    }

    /// @notice Takes over a model that its owner offered to the caller.
    function acceptModel(bytes32 modelId) external {
        Model storage model = _existing(modelId);
        if (model.pendingOwner != msg.sender) revert NotPendingOwner(modelId, msg.sender);
        address previousOwner = model.owner;
        model.owner = msg.sender;
        delete model.pendingOwner;
        emit ModelTransferred(modelId, previousOwner, msg.sender, _nextSeq());
    }

    /// @notice All that is recorded of a model but its parents; all zero when it does not exist.
    function modelOf(bytes32 modelId) external view returns (Model memory) {
        return _models[modelId];
    }

    /// @notice The newest version and its content hash; (0, 0) when the model does not exist.
    function head(bytes32 modelId) external view returns (uint64 version, bytes32 contentHash) {
        Model storage model = _models[modelId];
        return (model.headVersion, model.headHash);
    }

    /// @notice The content hash of one version; zero when it was never committed. A server refuses a model
    /// or an adapter whose files hash to anything else.
    function versionHash(bytes32 modelId, uint64 version) external view returns (bytes32) {
        return _versionHashes[modelId][version];
    }

    /// @notice The model's owner; zero when the model does not exist.
    function ownerOf(bytes32 modelId) external view returns (address) {
        return _models[modelId].owner;
    }

    /// @notice The model's parent models, and what it owes to each.
    function parentsOf(bytes32 modelId) external view returns (Royalty[] memory) {
        return _parents[modelId];
    }

    /// @dev Records the parents and what is owed to them.
    function _adopt(bytes32 modelId, Kind kind, ParentModel[] calldata models) private {
        if (models.length > MAX_PARENT_MODELS) revert TooManyParents(MAX_PARENT_MODELS, models.length);
        uint256 bases = 0;
        uint256 sumBps = 0;
        for (uint256 i = 0; i < models.length; ++i) {
            bytes32 parentId = models[i].modelId;
            for (uint256 j = 0; j < i; ++j) {
                if (models[j].modelId == parentId) revert DuplicateParent(parentId);
            }
            Model storage parent = _existing(parentId);
            uint16 royaltyBps = parent.royaltyBps;
            if (royaltyBps != models[i].royaltyBps) {
                revert WrongRoyalty(parentId, royaltyBps, models[i].royaltyBps);
            }
            if (parent.kind == Kind.Base) ++bases;
            sumBps += royaltyBps;
            _parents[modelId].push(Royalty(parentId, royaltyBps));
        }
        if (kind == Kind.Adapter && bases != 1) revert AdapterNeedsOneBase(bases);
        if (sumBps > BPS) revert RoyaltiesTooHigh(sumBps);
    }

    function _requireSameParents(bytes32 modelId, ParentModel[] calldata models) private view {
        Royalty[] storage parents = _parents[modelId];
        if (models.length != parents.length) revert ParentsChanged(modelId);
        for (uint256 i = 0; i < models.length; ++i) {
            if (models[i].modelId != parents[i].modelId) revert ParentsChanged(modelId);
            if (models[i].royaltyBps != parents[i].royaltyBps) {
                revert WrongRoyalty(models[i].modelId, parents[i].royaltyBps, models[i].royaltyBps);
            }
        }
    }

    function _commit(
        bytes32 modelId,
        uint64 version,
        bytes32 contentHash,
        bytes32 metadataHash,
        ParentModel[] calldata models,
        ParentDatanet[] calldata trainedOn
    ) private {
        if (contentHash == bytes32(0)) revert ZeroContentHash();
        Model storage model = _models[modelId];
        bytes32 parentHash = model.headHash;
        model.headVersion = version;
        model.headHash = contentHash;
        _versionHashes[modelId][version] = contentHash;
        emit ModelVersionCommitted(modelId, version, contentHash, parentHash, metadataHash, _nextSeq());
        _emitDerived(modelId, version, models);
        _emitTrained(modelId, version, trainedOn);
    }

    function _emitDerived(bytes32 modelId, uint64 version, ParentModel[] calldata models) private {
        for (uint256 i = 0; i < models.length; ++i) {
            ParentModel calldata parent = models[i];
            bytes32 registered = _versionHashes[parent.modelId][parent.version];
            if (registered == bytes32(0) || registered != parent.contentHash) {
                revert WrongParentModel(parent.modelId, parent.version, registered, parent.contentHash);
            }
            emit ModelDerived(
                modelId, version, parent.modelId, parent.version, registered, parent.royaltyBps, _nextSeq()
            );
        }
    }

    function _emitTrained(bytes32 modelId, uint64 version, ParentDatanet[] calldata trainedOn) private {
        if (trainedOn.length > MAX_PARENT_DATANETS) {
            revert TooManyParents(MAX_PARENT_DATANETS, trainedOn.length);
        }
        for (uint256 i = 0; i < trainedOn.length; ++i) {
            ParentDatanet calldata parent = trainedOn[i];
            for (uint256 j = 0; j < i; ++j) {
                if (trainedOn[j].datanetId == parent.datanetId) revert DuplicateParent(parent.datanetId);
            }
            bytes32 registered = datanets.versionRoot(parent.datanetId, parent.version);
            if (registered == bytes32(0) || registered != parent.root) {
                revert WrongParentDatanet(parent.datanetId, parent.version, registered, parent.root);
            }
            emit ModelTrained(modelId, version, parent.datanetId, parent.version, registered, _nextSeq());
        }
    }

    function _ownedByCaller(bytes32 modelId) private view returns (Model storage model) {
        model = _existing(modelId);
        if (model.owner != msg.sender) revert NotModelOwner(modelId, msg.sender);
    }

    function _existing(bytes32 modelId) private view returns (Model storage model) {
        model = _models[modelId];
        if (model.owner == address(0)) revert ModelUnknown(modelId);
    }
}
