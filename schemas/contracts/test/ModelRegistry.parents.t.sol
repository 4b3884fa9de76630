// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {DatanetRegistry} from "../src/DatanetRegistry.sol";
import {ModelRegistry} from "../src/ModelRegistry.sol";
import {ModelBase} from "./support/ModelBase.sol";

/// @notice What a model says it was made from, and what it owes for that.
contract ModelRegistryParentsTest is ModelBase {
    ModelRegistry.Kind private constant ADAPTER = ModelRegistry.Kind.Adapter;
    ModelRegistry.Kind private constant BASE = ModelRegistry.Kind.Base;

    function test_an_adapter_names_its_base_and_its_data() public {
        bytes32 parent = base(alice, "tiny", 300);
        bytes32 data = datanet("cold-chain");
        bytes32 id = idOf(bob, "adapter");
        ModelRegistry.ParentModel[] memory tiny = only(parentOf(parent));
        uint64 seq = models.seq();
        vm.expectEmit(address(models));
        emit ModelRegistry.ModelRegistered(id, bob, ADAPTER, keccak256("adapter"), 100, seq + 1);
        vm.expectEmit(address(models));
        emit ModelRegistry.ModelVersionCommitted(id, 1, hashOf("adapter", 1), 0, META, seq + 2);
        vm.expectEmit(address(models));
        emit ModelRegistry.ModelDerived(id, 1, parent, 1, hashOf("tiny", 1), 300, seq + 3);
        vm.expectEmit(address(models));
        emit ModelRegistry.ModelTrained(id, 1, data, 1, ROOT, seq + 4);
        vm.prank(bob);
        models.registerModel(
            keccak256("adapter"), ADAPTER, hashOf("adapter", 1), META, 100, tiny, trained(data)
        );
        ModelRegistry.Royalty[] memory parents = models.parentsOf(id);
        vm.assertEq(parents.length, 1, "one parent");
        vm.assertEq(parents[0].modelId, parent, "which");
        vm.assertEq(parents[0].royaltyBps, 300, "what it is owed");
        vm.assertEq(models.seq(), seq + 4, "an event for each");
    }

    function test_an_adapter_has_exactly_one_base() public {
        expectError(abi.encodeWithSelector(ModelRegistry.AdapterNeedsOneBase.selector, 0));
        register(bob, "adapter", ADAPTER, 0, noModels());
        bytes32 first = base(alice, "first", 0);
        bytes32 second = base(alice, "second", 0);
        ModelRegistry.ParentModel[] memory both = two(parentOf(first), parentOf(second));
        expectError(abi.encodeWithSelector(ModelRegistry.AdapterNeedsOneBase.selector, 2));
        register(bob, "adapter", ADAPTER, 0, both);
        bytes32 adapter = register(bob, "adapter", ADAPTER, 0, only(parentOf(first)));
        ModelRegistry.ParentModel[] memory alone = only(parentOf(adapter));
        expectError(abi.encodeWithSelector(ModelRegistry.AdapterNeedsOneBase.selector, 0));
        register(bob, "merged", ADAPTER, 0, alone);
        register(bob, "merged", ADAPTER, 0, two(parentOf(adapter), parentOf(first)));
        // A base model may come from any number of them.
        register(bob, "merged base", BASE, 0, both);
    }

    function test_a_parent_exists_at_that_version_with_that_hash() public {
        bytes32 parent = base(alice, "tiny", 0);
        ModelRegistry.ParentModel memory wrong = parentOf(parent);
        wrong.modelId = keccak256("unknown");
        ModelRegistry.ParentModel[] memory parents = only(wrong);
        expectError(abi.encodeWithSelector(ModelRegistry.ModelUnknown.selector, wrong.modelId));
        register(bob, "adapter", ADAPTER, 0, parents);

        parents[0] = parentOf(parent);
        parents[0].contentHash = ROOT;
        expectError(
            abi.encodeWithSelector(
                ModelRegistry.WrongParentModel.selector, parent, 1, hashOf("tiny", 1), ROOT
            )
        );
        register(bob, "adapter", ADAPTER, 0, parents);

        // A version that does not exist has hash zero; naming zero does not help.
        parents[0].version = 2;
        parents[0].contentHash = 0;
        expectError(
            abi.encodeWithSelector(ModelRegistry.WrongParentModel.selector, parent, 2, bytes32(0), bytes32(0))
        );
        register(bob, "adapter", ADAPTER, 0, parents);
    }

    function test_a_model_is_not_its_own_parent() public {
        bytes32 id = idOf(bob, "loop");
        ModelRegistry.ParentModel[] memory parents =
            only(ModelRegistry.ParentModel(id, 1, hashOf("loop", 1), 0));
        expectError(abi.encodeWithSelector(ModelRegistry.ModelUnknown.selector, id));
        register(bob, "loop", BASE, 0, parents);
    }

    function test_a_parent_counts_once() public {
        bytes32 parent = base(alice, "tiny", 0);
        ModelRegistry.ParentModel[] memory twice = two(parentOf(parent), parentOf(parent));
        expectError(abi.encodeWithSelector(ModelRegistry.DuplicateParent.selector, parent));
        register(bob, "child", BASE, 0, twice);
        bytes32 data = datanet("cold-chain");
        ModelRegistry.ParentDatanet[] memory doubled = new ModelRegistry.ParentDatanet[](2);
        (doubled[0], doubled[1]) = (trained(data)[0], trained(data)[0]);
        expectError(abi.encodeWithSelector(ModelRegistry.DuplicateParent.selector, data));
        models.registerModel(keccak256("child"), BASE, ROOT, META, 0, noModels(), doubled);
    }

    function test_parents_are_limited_in_number() public {
        ModelRegistry.ParentModel[] memory parents = new ModelRegistry.ParentModel[](9);
        for (uint256 i = 0; i < 9; ++i) {
            parents[i] = parentOf(base(alice, string(abi.encode(i)), 0));
        }
        expectError(abi.encodeWithSelector(ModelRegistry.TooManyParents.selector, 8, 9));
        register(bob, "child", BASE, 0, parents);
        ModelRegistry.ParentModel[] memory eight = new ModelRegistry.ParentModel[](8);
        for (uint256 i = 0; i < 8; ++i) {
            eight[i] = parents[i];
        }
        vm.assertEq(models.parentsOf(register(bob, "child", BASE, 0, eight)).length, 8, "eight are fine");
    }

    function test_datanets_are_limited_in_number() public {
        ModelRegistry.ParentDatanet[] memory data = new ModelRegistry.ParentDatanet[](33);
        for (uint256 i = 0; i < 33; ++i) {
            data[i] = trained(datanet(string(abi.encode(i))))[0];
        }
        expectError(abi.encodeWithSelector(ModelRegistry.TooManyParents.selector, 32, 33));
        models.registerModel(keccak256("child"), BASE, ROOT, META, 0, noModels(), data);
        ModelRegistry.ParentDatanet[] memory most = new ModelRegistry.ParentDatanet[](32);
        for (uint256 i = 0; i < 32; ++i) {
            most[i] = data[i];
        }
        uint64 seq = models.seq();
        models.registerModel(keccak256("child"), BASE, ROOT, META, 0, noModels(), most);
        vm.assertEq(models.seq(), seq + 34, "one event for each");
    }

    function test_data_stands_in_the_registry_of_datanets() public {
        bytes32 data = datanet("cold-chain");
        ModelRegistry.ParentDatanet[] memory wrong = trained(data);
        wrong[0].root = META;
        expectError(abi.encodeWithSelector(ModelRegistry.WrongParentDatanet.selector, data, 1, ROOT, META));
        models.registerModel(keccak256("m"), BASE, ROOT, META, 0, noModels(), wrong);
        wrong[0] = ModelRegistry.ParentDatanet(data, 2, 0);
        expectError(
            abi.encodeWithSelector(ModelRegistry.WrongParentDatanet.selector, data, 2, bytes32(0), bytes32(0))
        );
        models.registerModel(keccak256("m"), BASE, ROOT, META, 0, noModels(), wrong);
        // The same Datanet in another registry is none here.
        models = new ModelRegistry(address(new DatanetRegistry()));
        expectError(
            abi.encodeWithSelector(ModelRegistry.WrongParentDatanet.selector, data, 1, bytes32(0), ROOT)
        );
        models.registerModel(keccak256("m"), BASE, ROOT, META, 0, noModels(), trained(data));
    }

    function testFuzz_royalties_of_parents_are_at_most_everything(uint16 a, uint16 b) public {
        a %= 10_001;
        b %= 10_001;
        bytes32 first = base(alice, "first", a);
        bytes32 second = base(alice, "second", b);
        ModelRegistry.ParentModel[] memory both = two(parentOf(first), parentOf(second));
        uint256 sum = uint256(a) + b;
        if (sum > 10_000) expectError(abi.encodeWithSelector(ModelRegistry.RoyaltiesTooHigh.selector, sum));
        register(bob, "child", BASE, 0, both);
    }

    function test_a_royalty_raised_later_binds_no_child() public {
        bytes32 parent = base(alice, "tiny", 300);
        ModelRegistry.ParentModel[] memory agreed = only(parentOf(parent));
        bytes32 id = register(bob, "adapter", ADAPTER, 0, agreed);
        vm.prank(alice);
        models.setRoyalty(parent, 10_000);
        vm.assertEq(models.parentsOf(id)[0].royaltyBps, 300, "as agreed");
        uint64 seq = models.seq();
        vm.expectEmit(address(models));
        emit ModelRegistry.ModelVersionCommitted(id, 2, ROOT, hashOf("adapter", 1), META, seq + 1);
        vm.expectEmit(address(models));
        emit ModelRegistry.ModelDerived(id, 2, parent, 1, hashOf("tiny", 1), 300, seq + 2);
        vm.prank(bob);
        models.commitModelVersion(id, 2, hashOf("adapter", 1), ROOT, META, agreed, noDatanets());
        // Who comes later agrees to the new one, or does not register.
        expectError(abi.encodeWithSelector(ModelRegistry.WrongRoyalty.selector, parent, 10_000, 300));
        register(bob, "later", ADAPTER, 0, agreed);
        agreed[0].royaltyBps = 10_000;
        expectError(abi.encodeWithSelector(ModelRegistry.WrongRoyalty.selector, parent, 300, 10_000));
        vm.prank(bob);
        models.commitModelVersion(id, 3, ROOT, META, META, agreed, noDatanets());
    }

    function test_a_version_keeps_the_parents_and_may_move_to_their_newer_versions() public {
        bytes32 parent = base(alice, "tiny", 0);
        bytes32 other = base(alice, "other", 0);
        bytes32 id = register(bob, "adapter", ADAPTER, 0, only(parentOf(parent)));
        ModelRegistry.ParentModel[] memory changed = only(parentOf(other));
        ModelRegistry.ParentModel[] memory more = two(parentOf(parent), parentOf(other));
        vm.startPrank(bob);
        bytes32 hash = hashOf("adapter", 1);
        bytes memory refused = abi.encodeWithSelector(ModelRegistry.ParentsChanged.selector, id);
        expectError(refused);
        models.commitModelVersion(id, 2, hash, ROOT, META, changed, noDatanets());
        expectError(refused);
        models.commitModelVersion(id, 2, hash, ROOT, META, more, noDatanets());
        expectError(refused);
        models.commitModelVersion(id, 2, hash, ROOT, META, noModels(), noDatanets());
        vm.stopPrank();

        vm.prank(alice);
        models.commitModelVersion(
            parent, 2, hashOf("tiny", 1), hashOf("tiny", 2), META, noModels(), noDatanets()
        );
        changed[0] = ModelRegistry.ParentModel(parent, 2, hashOf("tiny", 2), 0);
        vm.prank(bob);
        models.commitModelVersion(id, 2, hash, ROOT, META, changed, noDatanets());
        vm.assertEq(models.versionHash(id, 2), ROOT, "on the newer base");
    }
}
