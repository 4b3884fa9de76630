// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {DatanetRegistry} from "../src/DatanetRegistry.sol";
import {TestBase} from "./support/TestBase.sol";

contract DatanetRegistryTest is TestBase {
    bytes32 private constant NAME = keccak256("rivers");
    bytes32 private constant META = keccak256("metadata");
    bytes32 private constant POLICY = keccak256("policy");
    bytes32 private constant MANIFEST = keccak256("manifest");
    bytes32 private constant ROOT_1 = keccak256("root 1");
    bytes32 private constant ROOT_2 = keccak256("root 2");

    DatanetRegistry private registry;
    address private owner = account("owner");
    address private stranger = account("stranger");
    bytes32 private id;

    function setUp() public {
        vm.warp(START);
        registry = new DatanetRegistry();
        vm.prank(owner);
        id = registry.createDatanet(NAME, META, POLICY);
    }

    function commit(address by, uint64 version, bytes32 parent, bytes32 root) private {
        vm.prank(by);
        registry.commitVersion(id, version, parent, root, 3, MANIFEST);
    }

    function test_create_records_the_owner_and_numbers_its_event() public {
        bytes32 expected = keccak256(abi.encode(stranger, NAME));
        uint64 seq = registry.seq();
        vm.expectEmit(address(registry));
        emit DatanetRegistry.DatanetCreated(expected, stranger, NAME, META, POLICY, seq + 1);
        vm.prank(stranger);
        bytes32 created = registry.createDatanet(NAME, META, POLICY);

        vm.assertEq(created, expected, "id");
        vm.assertTrue(created != id, "two owners, one name, two ids");
        vm.assertEq(registry.ownerOf(created), stranger, "owner");
        vm.assertEq(registry.seq(), seq + 1, "seq");
    }

    function test_the_first_event_of_a_contract_is_number_one() public {
        DatanetRegistry fresh = new DatanetRegistry();
        vm.assertEq(fresh.seq(), 0, "before");
        vm.expectEmit(address(fresh));
        emit DatanetRegistry.DatanetCreated(
            keccak256(abi.encode(address(this), NAME)), address(this), NAME, META, POLICY, 1
        );
        fresh.createDatanet(NAME, META, POLICY);
        vm.assertEq(fresh.seq(), 1, "after");
    }

    function test_create_refuses_a_second_datanet_of_one_name() public {
        expectError(abi.encodeWithSelector(DatanetRegistry.DatanetExists.selector, id));
        vm.prank(owner);
        registry.createDatanet(NAME, META, POLICY);
    }

    function test_a_commit_moves_the_head() public {
        vm.expectEmit(address(registry));
        emit DatanetRegistry.VersionCommitted(id, 1, ROOT_1, 0, 3, MANIFEST, owner, registry.seq() + 1);
        commit(owner, 1, 0, ROOT_1);
        commit(owner, 2, ROOT_1, ROOT_2);
        (uint64 version, bytes32 root) = registry.head(id);
        vm.assertEq(version, 2, "head version");
        vm.assertEq(root, ROOT_2, "head root");
        vm.assertEq(registry.versionRoot(id, 1), ROOT_1, "version 1");
        vm.assertEq(registry.versionRoot(id, 2), ROOT_2, "version 2");
        vm.assertEq(registry.versionRoot(id, 3), 0, "no version 3");
        vm.assertEq(registry.versionRoot(id, 0), 0, "no version 0");
    }

    function test_nobody_but_the_owner_commits() public {
        expectError(abi.encodeWithSelector(DatanetRegistry.NotDatanetOwner.selector, id, stranger));
        commit(stranger, 1, 0, ROOT_1);
    }

    function test_of_two_racing_commits_the_second_reverts() public {
        commit(owner, 1, 0, ROOT_1);
        expectError(abi.encodeWithSelector(DatanetRegistry.WrongVersion.selector, id, 1, 1));
        commit(owner, 1, 0, ROOT_2);
        expectError(abi.encodeWithSelector(DatanetRegistry.WrongParentRoot.selector, id, ROOT_1, bytes32(0)));
        commit(owner, 2, 0, ROOT_2);
    }

    function test_a_number_may_be_left_out() public {
        commit(owner, 1, 0, ROOT_1);
        commit(owner, 4, ROOT_1, ROOT_2);
        (uint64 version, bytes32 root) = registry.head(id);
        vm.assertEq(version, 4, "head version");
        vm.assertEq(root, ROOT_2, "head root");
        vm.assertEq(registry.versionRoot(id, 3), 0, "nothing stands at 3");
        expectError(abi.encodeWithSelector(DatanetRegistry.WrongVersion.selector, id, 4, 3));
        commit(owner, 3, ROOT_2, ROOT_1);
    }

    function test_commit_refuses_the_zero_root_and_an_unknown_datanet() public {
        expectError(abi.encodeWithSelector(DatanetRegistry.ZeroRoot.selector));
        commit(owner, 1, 0, 0);
        expectError(abi.encodeWithSelector(DatanetRegistry.DatanetUnknown.selector, NAME));
        registry.commitVersion(NAME, 1, 0, ROOT_1, 3, MANIFEST);
    }

    function testFuzz_commit_accepts_only_a_higher_version_on_the_head(
        uint64 version,
        bytes32 parent,
        bytes32 root
    ) public {
        commit(owner, 1, 0, ROOT_1);
        if (root == 0) {
            expectError(abi.encodeWithSelector(DatanetRegistry.ZeroRoot.selector));
        } else if (version < 2) {
            expectError(abi.encodeWithSelector(DatanetRegistry.WrongVersion.selector, id, 1, version));
        } else if (parent != ROOT_1) {
            expectError(abi.encodeWithSelector(DatanetRegistry.WrongParentRoot.selector, id, ROOT_1, parent));
        }
        commit(owner, version, parent, root);
    }

    function testFuzz_a_chain_of_commits_keeps_every_root(bytes32[8] memory seeds) public {
        bytes32 parent = 0;
        for (uint64 v = 1; v <= 8; ++v) {
            bytes32 root = keccak256(abi.encode(seeds[v - 1], v));
            commit(owner, v, parent, root);
            parent = root;
        }
        for (uint64 v = 1; v <= 8; ++v) {
            vm.assertEq(registry.versionRoot(id, v), keccak256(abi.encode(seeds[v - 1], v)), "root");
        }
    }

    function test_freeze_ends_commits_for_ever() public {
        commit(owner, 1, 0, ROOT_1);
        expectError(abi.encodeWithSelector(DatanetRegistry.NotDatanetOwner.selector, id, stranger));
        vm.prank(stranger);
        registry.freeze(id);

        uint64 next = registry.seq() + 1;
        vm.expectEmit(address(registry));
        emit DatanetRegistry.DatanetFrozen(id, next);
        vm.prank(owner);
        registry.freeze(id);
        vm.assertTrue(registry.isFrozen(id), "frozen");

        expectError(abi.encodeWithSelector(DatanetRegistry.DatanetIsFrozen.selector, id));
        commit(owner, 2, ROOT_1, ROOT_2);
        expectError(abi.encodeWithSelector(DatanetRegistry.DatanetIsFrozen.selector, id));
        vm.prank(owner);
        registry.freeze(id);
    }

    function test_transfer_takes_two_steps() public {
        uint64 seq = registry.seq();
        vm.expectEmit(address(registry));
        emit DatanetRegistry.DatanetTransferStarted(id, owner, stranger, seq + 1);
        vm.prank(owner);
        registry.transferDatanet(id, stranger);
        vm.assertEq(registry.ownerOf(id), owner, "still the old owner");
        vm.assertEq(registry.pendingOwnerOf(id), stranger, "offered");

        expectError(abi.encodeWithSelector(DatanetRegistry.NotPendingOwner.selector, id, owner));
        vm.prank(owner);
        registry.acceptDatanet(id);

        vm.expectEmit(address(registry));
        emit DatanetRegistry.DatanetTransferred(id, owner, stranger, seq + 2);
        vm.prank(stranger);
        registry.acceptDatanet(id);
        vm.assertEq(registry.ownerOf(id), stranger, "new owner");
        vm.assertEq(registry.pendingOwnerOf(id), address(0), "no offer left");

        expectError(abi.encodeWithSelector(DatanetRegistry.NotDatanetOwner.selector, id, owner));
        commit(owner, 1, 0, ROOT_1);
        expectError(abi.encodeWithSelector(DatanetRegistry.NotPendingOwner.selector, id, stranger));
        vm.prank(stranger);
        registry.acceptDatanet(id);
    }

    function test_a_withdrawn_offer_cannot_be_accepted() public {
        vm.startPrank(owner);
        registry.transferDatanet(id, stranger);
        registry.transferDatanet(id, address(0));
        vm.stopPrank();
        expectError(abi.encodeWithSelector(DatanetRegistry.NotPendingOwner.selector, id, stranger));
        vm.prank(stranger);
        registry.acceptDatanet(id);
        // Nobody can be the zero address, but an unset offer must not match it either way.
        expectError(abi.encodeWithSelector(DatanetRegistry.DatanetUnknown.selector, NAME));
        vm.prank(address(0));
        registry.acceptDatanet(NAME);
    }

    function test_transfer_is_the_owners_right() public {
        expectError(abi.encodeWithSelector(DatanetRegistry.NotDatanetOwner.selector, id, stranger));
        vm.prank(stranger);
        registry.transferDatanet(id, stranger);
    }
}
