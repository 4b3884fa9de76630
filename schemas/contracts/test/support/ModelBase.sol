// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {DatanetRegistry} from "../../src/DatanetRegistry.sol";
import {ModelRegistry} from "../../src/ModelRegistry.sol";
import {TestBase} from "./TestBase.sol";

/// @notice A registry of models beside one of Datanets, and short ways to fill both.
abstract contract ModelBase is TestBase {
    bytes32 internal constant META = keccak256("metadata");
    bytes32 internal constant ROOT = keccak256("root");

    DatanetRegistry internal datanets;
    ModelRegistry internal models;
    address internal alice = account("alice");
    address internal bob = account("bob");

    function setUp() public virtual {
        vm.warp(START);
        datanets = new DatanetRegistry();
        models = new ModelRegistry(address(datanets));
    }

    function hashOf(string memory name, uint64 version) internal pure returns (bytes32) {
        return keccak256(abi.encode(name, version));
    }

    function idOf(address owner, string memory name) internal pure returns (bytes32) {
        return keccak256(abi.encode(owner, keccak256(bytes(name))));
    }

    function noModels() internal pure returns (ModelRegistry.ParentModel[] memory) {}

    function noDatanets() internal pure returns (ModelRegistry.ParentDatanet[] memory) {}

    function base(address owner, string memory name, uint16 royaltyBps) internal returns (bytes32) {
        return register(owner, name, ModelRegistry.Kind.Base, royaltyBps, noModels());
    }

    function register(
        address owner,
        string memory name,
        ModelRegistry.Kind kind,
        uint16 royaltyBps,
        ModelRegistry.ParentModel[] memory parents
    ) internal returns (bytes32) {
        vm.prank(owner);
        return models.registerModel(
            keccak256(bytes(name)), kind, hashOf(name, 1), META, royaltyBps, parents, noDatanets()
        );
    }

    /// @dev The first version of a model as a parent, at its present royalty.
    function parentOf(bytes32 modelId) internal view returns (ModelRegistry.ParentModel memory) {
        return ModelRegistry.ParentModel(
            modelId, 1, models.versionHash(modelId, 1), models.modelOf(modelId).royaltyBps
        );
    }

    function only(ModelRegistry.ParentModel memory parent)
        internal
        pure
        returns (ModelRegistry.ParentModel[] memory parents)
    {
        parents = new ModelRegistry.ParentModel[](1);
        parents[0] = parent;
    }

    function two(ModelRegistry.ParentModel memory first, ModelRegistry.ParentModel memory second)
        internal
        pure
        returns (ModelRegistry.ParentModel[] memory parents)
    {
        parents = new ModelRegistry.ParentModel[](2);
        (parents[0], parents[1]) = (first, second);
    }

    /// @dev A Datanet of this name with one version whose root is `ROOT`.
    function datanet(string memory name) internal returns (bytes32 datanetId) {
        datanetId = datanets.createDatanet(keccak256(bytes(name)), META, 0);
        datanets.commitVersion(datanetId, 1, 0, ROOT, 3, 0);
    }

    function trained(bytes32 datanetId) internal pure returns (ModelRegistry.ParentDatanet[] memory parents) {
        parents = new ModelRegistry.ParentDatanet[](1);
        parents[0] = ModelRegistry.ParentDatanet(datanetId, 1, ROOT);
    }
}
