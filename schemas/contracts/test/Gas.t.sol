// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {DatanetRegistry} from "../src/DatanetRegistry.sol";
import {ModelRegistry} from "../src/ModelRegistry.sol";
import {RewardDistributor} from "../src/RewardDistributor.sol";
import {Debit} from "../src/SpendingLimits.sol";
import {MerkleTree} from "./support/MerkleTree.sol";
import {VaultBase} from "./support/VaultBase.sol";

/// @notice One test for each thing that costs somebody gas every day. What they use is in gas.snapshot.
contract GasTest is VaultBase {
    bytes32 private constant HASH = keccak256("hash");
    uint256 private constant EARNERS = 256;

    DatanetRegistry private datanets;
    ModelRegistry private models;
    bytes32 private datanetId;
    bytes32 private baseId;
    RewardDistributor private rewards;
    bytes32 private root;
    bytes32[] private path;
    Debit[] private first;
    Debit[] private second;
    Debit[] private ten;
    Debit[] private junk;

    function setUp() public override {
        super.setUp();
        first.push(signed(limitOf(alice, 50 ether), ALICE_KEY, 1 ether));
        second.push(signed(limitOf(bob, 50 ether), BOB_KEY, 1 ether));
        post(second);
        for (uint256 i = 0; i < 10; ++i) {
            uint256 key = 0xCAFE + i;
            depositAs(vm.addr(key), DEPOSIT);
            ten.push(signed(limitOf(vm.addr(key), 50 ether), key, 1 ether));
        }
        junk.push(first[0]);
        junk[0].signature = "junk";
        setUpRegistries();
        setUpRewards();
    }

    function setUpRegistries() private {
        datanets = new DatanetRegistry();
        models = new ModelRegistry(address(datanets));
        datanetId = datanets.createDatanet(HASH, HASH, HASH);
        datanets.commitVersion(datanetId, 1, 0, HASH, 3, HASH);
        ModelRegistry.ParentModel[] memory none;
        ModelRegistry.ParentDatanet[] memory nothing;
        baseId = models.registerModel(HASH, ModelRegistry.Kind.Base, HASH, HASH, 100, none, nothing);
    }

    /// @dev A root over 256 earners is in force, and another is pending.
    function setUpRewards() private {
        rewards = new RewardDistributor(address(token), owner, owner, 1 days, 1 ether, treasury);
        token.mint(owner, EARNERS + 1 ether);
        bytes32[] memory leaves = new bytes32[](EARNERS);
        for (uint256 i = 0; i < EARNERS; ++i) {
            leaves[i] = rewards.leafOf(address(uint160(0xEA0000 + i)), 1);
        }
        bytes32[] memory tree = MerkleTree.build(leaves);
        root = tree[0];
        path = MerkleTree.proof(tree, rewards.leafOf(address(0xEA0000), 1));
        vm.startPrank(owner);
        token.approve(address(rewards), type(uint256).max);
        rewards.fund(EARNERS);
        rewards.proposeRoot(1, root, HASH, EARNERS, 1, HASH, HASH);
        vm.warp(START + 1 days);
        rewards.acceptRoot(1);
        rewards.proposeRoot(2, root, HASH, EARNERS, 2, HASH, HASH);
        vm.stopPrank();
    }

    function test_deposit() public {
        token.mint(address(this), 1 ether);
        token.approve(address(vault), 1 ether);
        vault.deposit(1 ether);
    }

    function test_debit_one_payer_for_the_first_time() public {
        post(first);
    }

    function test_debit_one_payer_again() public {
        post(second);
    }

    function test_debit_ten_payers() public {
        post(ten);
    }

    function test_debit_that_comes_short() public {
        post(junk);
    }

    function test_request_withdrawal() public {
        vm.prank(alice);
        vault.requestWithdrawal(1 ether);
    }

    function test_cancel_limit() public {
        vm.prank(alice);
        vault.cancelLimit(1);
    }

    function test_propose_fees() public {
        vm.prank(owner);
        vault.proposeFees(schedule());
    }

    function test_claim_among_256() public {
        rewards.claim(address(0xEA0000), 1, root, path);
    }

    function test_dispute_and_resolve() public {
        vm.startPrank(owner);
        rewards.dispute(2, root, HASH);
        rewards.resolveDispute(2, true);
        rewards.withdrawBond(owner);
        vm.stopPrank();
    }

    function test_accept_and_propose() public {
        vm.warp(START + 2 days);
        rewards.acceptRoot(2);
        vm.prank(owner);
        rewards.proposeRoot(3, root, HASH, EARNERS, 3, HASH, HASH);
    }

    function test_commit_version() public {
        datanets.commitVersion(datanetId, 2, HASH, keccak256("2"), 3, HASH);
    }

    function test_register_adapter() public {
        ModelRegistry.ParentModel[] memory parents = new ModelRegistry.ParentModel[](1);
        parents[0] = ModelRegistry.ParentModel(baseId, 1, HASH, 100);
        ModelRegistry.ParentDatanet[] memory trained = new ModelRegistry.ParentDatanet[](1);
        trained[0] = ModelRegistry.ParentDatanet(datanetId, 1, HASH);
        models.registerModel("adapter", ModelRegistry.Kind.Adapter, HASH, HASH, 0, parents, trained);
    }
}
