// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ModelRegistry} from "../src/ModelRegistry.sol";
import {ModelBase} from "./support/ModelBase.sol";

/// @notice Models, their versions and their owners.
contract ModelRegistryTest is ModelBase {
    function commit(bytes32 id, uint64 version, bytes32 parentHash, bytes32 contentHash) private {
        vm.prank(alice);
        models.commitModelVersion(id, version, parentHash, contentHash, META, noModels(), noDatanets());
    }

    function test_a_model_is_registered_with_its_first_version() public {
        bytes32 nameHash = keccak256("tiny");
        bytes32 id = keccak256(abi.encode(alice, nameHash));
        vm.expectEmit(address(models));
        emit ModelRegistry.ModelRegistered(id, alice, ModelRegistry.Kind.Base, nameHash, 250, 1);
        vm.expectEmit(address(models));
        emit ModelRegistry.ModelVersionCommitted(id, 1, hashOf("tiny", 1), 0, META, 2);
        vm.assertEq(base(alice, "tiny", 250), id, "the id says whose and what");
        vm.assertEq(models.ownerOf(id), alice, "owner");
        vm.assertEq(models.versionHash(id, 1), hashOf("tiny", 1), "what a server compares with");
        vm.assertEq(models.versionHash(id, 2), 0, "no second version");
        ModelRegistry.Model memory model = models.modelOf(id);
        vm.assertEq(model.owner, alice, "owner");
        vm.assertEq(model.royaltyBps, 250, "royalty");
        vm.assertTrue(model.kind == ModelRegistry.Kind.Base, "kind");
        vm.assertTrue(!model.frozen, "open");
        vm.assertEq(model.headHash, hashOf("tiny", 1), "head");
        vm.assertEq(models.seq(), 2, "two events");
    }

    function test_a_name_is_used_once_by_each_owner() public {
        bytes32 id = base(alice, "tiny", 0);
        expectError(abi.encodeWithSelector(ModelRegistry.ModelExists.selector, id));
        base(alice, "tiny", 0);
        vm.assertTrue(base(bob, "tiny", 0) != id, "another owner, another model");
    }

    function test_a_content_hash_is_needed() public {
        expectError(abi.encodeWithSelector(ModelRegistry.ZeroContentHash.selector));
        vm.prank(alice);
        models.registerModel(keccak256("x"), ModelRegistry.Kind.Base, 0, META, 0, noModels(), noDatanets());
        bytes32 id = base(alice, "tiny", 0);
        expectError(abi.encodeWithSelector(ModelRegistry.ZeroContentHash.selector));
        commit(id, 2, hashOf("tiny", 1), 0);
    }

    function test_versions_follow_each_other_by_compare_and_swap() public {
        bytes32 id = base(alice, "tiny", 0);
        (bytes32 first, bytes32 second) = (hashOf("tiny", 1), hashOf("tiny", 2));
        expectError(abi.encodeWithSelector(ModelRegistry.WrongVersion.selector, id, 2, 1));
        commit(id, 1, first, second);
        expectError(abi.encodeWithSelector(ModelRegistry.WrongVersion.selector, id, 2, 3));
        commit(id, 3, first, second);
        expectError(abi.encodeWithSelector(ModelRegistry.WrongParentHash.selector, id, first, second));
        commit(id, 2, second, second);
        vm.expectEmit(address(models));
        emit ModelRegistry.ModelVersionCommitted(id, 2, second, first, META, 3);
        commit(id, 2, first, second);
        (uint64 version, bytes32 contentHash) = models.head(id);
        vm.assertEq(version, 2, "head version");
        vm.assertEq(contentHash, second, "head hash");
        vm.assertEq(models.versionHash(id, 1), first, "the first stays");
        vm.assertEq(models.versionHash(id, 2), second, "the second");
    }

    function test_only_the_owner_changes_a_model() public {
        bytes32 id = base(alice, "tiny", 0);
        bytes memory denied = abi.encodeWithSelector(ModelRegistry.NotModelOwner.selector, id, bob);
        vm.startPrank(bob);
        expectError(denied);
        models.commitModelVersion(id, 2, hashOf("tiny", 1), ROOT, META, noModels(), noDatanets());
        expectError(denied);
        models.setRoyalty(id, 1);
        expectError(denied);
        models.freeze(id);
        expectError(denied);
        models.transferModel(id, bob);
        vm.stopPrank();
        bytes32 unknown = keccak256("unknown");
        expectError(abi.encodeWithSelector(ModelRegistry.ModelUnknown.selector, unknown));
        models.freeze(unknown);
        expectError(abi.encodeWithSelector(ModelRegistry.ModelUnknown.selector, unknown));
        models.acceptModel(unknown);
    }

    function test_a_frozen_model_takes_no_version() public {
        bytes32 id = base(alice, "tiny", 0);
        vm.expectEmit(address(models));
        emit ModelRegistry.ModelFrozen(id, 3);
        vm.prank(alice);
        models.freeze(id);
        vm.assertTrue(models.modelOf(id).frozen, "frozen");
        expectError(abi.encodeWithSelector(ModelRegistry.ModelIsFrozen.selector, id));
        commit(id, 2, hashOf("tiny", 1), ROOT);
        expectError(abi.encodeWithSelector(ModelRegistry.ModelIsFrozen.selector, id));
        vm.prank(alice);
        models.freeze(id);
    }

    function test_a_model_moves_in_two_steps() public {
        bytes32 id = base(alice, "tiny", 0);
        expectError(abi.encodeWithSelector(ModelRegistry.NotPendingOwner.selector, id, bob));
        vm.prank(bob);
        models.acceptModel(id);
        vm.expectEmit(address(models));
        emit ModelRegistry.ModelTransferStarted(id, alice, bob, 3);
        vm.prank(alice);
        models.transferModel(id, bob);
        vm.assertEq(models.ownerOf(id), alice, "not yet");
        vm.assertEq(models.modelOf(id).pendingOwner, bob, "offered");
        vm.expectEmit(address(models));
        emit ModelRegistry.ModelTransferred(id, alice, bob, 4);
        vm.prank(bob);
        models.acceptModel(id);
        vm.assertEq(models.ownerOf(id), bob, "taken over");
        expectError(abi.encodeWithSelector(ModelRegistry.NotPendingOwner.selector, id, bob));
        vm.prank(bob);
        models.acceptModel(id);
        expectError(abi.encodeWithSelector(ModelRegistry.NotModelOwner.selector, id, alice));
        commit(id, 2, hashOf("tiny", 1), ROOT);
        // The name stays with who registered it.
        expectError(abi.encodeWithSelector(ModelRegistry.ModelExists.selector, id));
        base(alice, "tiny", 0);
    }

    function test_an_offer_can_be_withdrawn() public {
        bytes32 id = base(alice, "tiny", 0);
        vm.startPrank(alice);
        models.transferModel(id, bob);
        models.transferModel(id, address(0));
        vm.stopPrank();
        expectError(abi.encodeWithSelector(ModelRegistry.NotPendingOwner.selector, id, bob));
        vm.prank(bob);
        models.acceptModel(id);
    }

    function testFuzz_a_royalty_is_at_most_everything(uint16 royaltyBps) public {
        bytes32 id = base(alice, "tiny", 10_000);
        if (royaltyBps > 10_000) {
            expectError(abi.encodeWithSelector(ModelRegistry.RoyaltyTooHigh.selector, royaltyBps));
            base(alice, "other", royaltyBps);
            expectError(abi.encodeWithSelector(ModelRegistry.RoyaltyTooHigh.selector, royaltyBps));
            vm.prank(alice);
            models.setRoyalty(id, royaltyBps);
            return;
        }
        vm.expectEmit(address(models));
        emit ModelRegistry.RoyaltySet(id, royaltyBps, 3);
        vm.prank(alice);
        models.setRoyalty(id, royaltyBps);
        vm.assertEq(models.modelOf(id).royaltyBps, royaltyBps, "set");
    }

    function test_deployment_needs_a_registry_of_datanets() public {
        expectError(abi.encodeWithSelector(ModelRegistry.ZeroAddress.selector));
        new ModelRegistry(address(0));
        vm.assertEq(address(models.datanets()), address(datanets), "the one given");
    }
}
