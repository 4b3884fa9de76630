// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

import {ExactTransfer} from "../src/ExactTransfer.sol";
import {RewardDistributor} from "../src/RewardDistributor.sol";
import {DistributorBase} from "./support/DistributorBase.sol";
import {MerkleTree} from "./support/MerkleTree.sol";
import {CallbackToken, FeeToken} from "./support/Tokens.sol";

/// @notice Who is paid what, once, and never from another chain, contract or tree.
contract RewardDistributorClaimsTest is DistributorBase {
    function claim(uint256 i, uint256 cumulative, bytes32[] memory tree) private returns (uint256) {
        bytes32[] memory path = MerkleTree.proof(tree, distributor.leafOf(earner(i), cumulative));
        return distributor.claim(earner(i), cumulative, tree[0], path);
    }

    function test_fund_counts_what_arrived() public {
        token.mint(stranger, 5);
        vm.startPrank(stranger);
        token.approve(address(distributor), 5);
        uint64 next = distributor.seq() + 1;
        vm.expectEmit(address(distributor));
        emit RewardDistributor.Funded(stranger, 5, FUNDED + 5, next);
        distributor.fund(5);
        vm.assertEq(distributor.totalFunded(), FUNDED + 5, "funded");
        vm.assertEq(token.balanceOf(address(distributor)), FUNDED + 5, "held");

        expectError(abi.encodeWithSelector(RewardDistributor.ZeroAmount.selector));
        distributor.fund(0);
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientAllowance.selector);
        distributor.fund(1);
        vm.stopPrank();
    }

    function test_fund_refuses_a_token_that_charges_on_transfer() public {
        FeeToken fee = new FeeToken();
        RewardDistributor pool = distributorOf(address(fee));
        fee.mint(address(this), 1_000);
        fee.approve(address(pool), 1_000);
        expectError(abi.encodeWithSelector(ExactTransfer.InexactTransfer.selector, 1_000, 990));
        pool.fund(1_000);
        vm.assertEq(pool.totalFunded(), 0, "nothing counted");
    }

    function test_anybody_claims_for_an_account_and_the_account_is_paid() public {
        (bytes32[] memory tree, uint256 total) = treeOf(pair(30, 70));
        putInForce(1, tree[0], total);
        bytes32[] memory path = MerkleTree.proof(tree, distributor.leafOf(earner(1), 70));
        uint64 next = distributor.seq() + 1;
        vm.expectEmit(address(distributor));
        emit RewardDistributor.Claimed(earner(1), 1, 70, 70, next);
        vm.prank(stranger);
        vm.assertEq(distributor.claim(earner(1), 70, tree[0], path), 70, "paid");
        vm.assertEq(token.balanceOf(earner(1)), 70, "received");
        vm.assertEq(token.balanceOf(stranger), 0, "the caller gets nothing");
        vm.assertEq(distributor.claimed(earner(1)), 70, "claimed");
        vm.assertEq(distributor.totalClaimed(), 70, "total claimed");
    }

    function test_nothing_is_paid_twice_and_a_later_root_pays_the_difference() public {
        (bytes32[] memory first, uint256 total) = treeOf(pair(30, 70));
        putInForce(1, first[0], total);
        claim(0, 30, first);
        bytes32[] memory path = MerkleTree.proof(first, distributor.leafOf(earner(0), 30));
        expectError(abi.encodeWithSelector(RewardDistributor.NothingToClaim.selector, earner(0), 30, 30));
        distributor.claim(earner(0), 30, first[0], path);

        (bytes32[] memory second, uint256 more) = treeOf(pair(45, 70));
        putInForce(2, second[0], more);
        expectError(abi.encodeWithSelector(RewardDistributor.UnexpectedRoot.selector, second[0], first[0]));
        distributor.claim(earner(0), 30, first[0], path);
        vm.assertEq(claim(0, 45, second), 15, "the difference");
        vm.assertEq(token.balanceOf(earner(0)), 45, "in all");
        vm.assertEq(distributor.claimed(earner(0)), 45, "recorded in all");
        path = MerkleTree.proof(second, distributor.leafOf(earner(0), 45));
        expectError(abi.encodeWithSelector(RewardDistributor.NothingToClaim.selector, earner(0), 45, 45));
        distributor.claim(earner(0), 45, second[0], path);
        vm.assertEq(claim(1, 70, second), 70, "what was not claimed before is not lost");
    }

    function test_no_claim_before_a_root_is_in_force() public {
        (bytes32[] memory tree, uint256 total) = treeOf(pair(30, 70));
        bytes32[] memory path = MerkleTree.proof(tree, distributor.leafOf(earner(0), 30));
        expectError(abi.encodeWithSelector(RewardDistributor.InvalidProof.selector, earner(0), 30));
        distributor.claim(earner(0), 30, 0, path);
        propose(1, tree[0], total);
        expectError(abi.encodeWithSelector(RewardDistributor.UnexpectedRoot.selector, 0, tree[0]));
        distributor.claim(earner(0), 30, tree[0], path);
    }

    function testFuzz_only_the_exact_leaf_is_paid(uint256 who, uint256 cumulative, bytes32 junk) public {
        (bytes32[] memory tree, uint256 total) = treeOf(pair(30, 70));
        putInForce(1, tree[0], total);
        bytes32[] memory path = MerkleTree.proof(tree, distributor.leafOf(earner(0), 30));
        address other = address(uint160(who));
        vm.assume(other != earner(0) || cumulative != 30);
        expectError(abi.encodeWithSelector(RewardDistributor.InvalidProof.selector, other, cumulative));
        distributor.claim(other, cumulative, tree[0], path);

        vm.assume(junk != path[0]);
        path[0] = junk;
        expectError(abi.encodeWithSelector(RewardDistributor.InvalidProof.selector, earner(0), 30));
        distributor.claim(earner(0), 30, tree[0], path);
        expectError(abi.encodeWithSelector(RewardDistributor.InvalidProof.selector, earner(0), 30));
        distributor.claim(earner(0), 30, tree[0], new bytes32[](0));
    }

    function test_a_proof_is_no_good_on_another_chain() public {
        (bytes32[] memory tree, uint256 total) = treeOf(pair(30, 70));
        putInForce(1, tree[0], total);
        bytes32[] memory path = MerkleTree.proof(tree, distributor.leafOf(earner(0), 30));
        vm.chainId(block.chainid + 1);
        expectError(abi.encodeWithSelector(RewardDistributor.InvalidProof.selector, earner(0), 30));
        distributor.claim(earner(0), 30, tree[0], path);
    }

    function test_a_proof_is_no_good_at_another_contract() public {
        (bytes32[] memory tree, uint256 total) = treeOf(pair(30, 70));
        bytes32[] memory path = MerkleTree.proof(tree, distributor.leafOf(earner(0), 30));
        distributor = distributorOf(address(token));
        token.mint(address(this), total);
        token.approve(address(distributor), total);
        distributor.fund(total);
        putInForce(1, tree[0], total);
        expectError(abi.encodeWithSelector(RewardDistributor.InvalidProof.selector, earner(0), 30));
        distributor.claim(earner(0), 30, tree[0], path);
    }

    function test_an_inner_node_is_no_leaf() public {
        uint256[] memory amounts = new uint256[](4);
        (amounts[0], amounts[1], amounts[2], amounts[3]) = (1, 2, 3, 4);
        (bytes32[] memory tree, uint256 total) = treeOf(amounts);
        putInForce(1, tree[0], total);
        bytes32[] memory path = new bytes32[](1);
        path[0] = tree[2];
        // The two halves of tree[1]'s preimage, offered as account and amount.
        address half = address(uint160(uint256(tree[3])));
        expectError(abi.encodeWithSelector(RewardDistributor.InvalidProof.selector, half, uint256(tree[4])));
        distributor.claim(half, uint256(tree[4]), tree[0], path);
    }

    function test_a_tree_that_promises_more_than_its_total_cannot_take_more() public {
        (bytes32[] memory tree,) = treeOf(pair(60, 70));
        putInForce(1, tree[0], 100);
        claim(0, 60, tree);
        bytes32[] memory path = MerkleTree.proof(tree, distributor.leafOf(earner(1), 70));
        expectError(abi.encodeWithSelector(RewardDistributor.ClaimExceedsTotal.selector, 100, 130));
        distributor.claim(earner(1), 70, tree[0], path);
        vm.assertEq(distributor.totalClaimed(), 60, "at most the total");
    }

    function test_stopping_delays_claims_and_takes_nothing() public {
        (bytes32[] memory tree, uint256 total) = treeOf(pair(30, 70));
        putInForce(1, tree[0], total);
        bytes32[] memory path = MerkleTree.proof(tree, distributor.leafOf(earner(0), 30));
        vm.prank(owner);
        distributor.pause();
        expectError(abi.encodeWithSelector(Pausable.EnforcedPause.selector));
        distributor.claim(earner(0), 30, tree[0], path);
        vm.prank(owner);
        distributor.unpause();
        vm.assertEq(distributor.claim(earner(0), 30, tree[0], path), 30, "paid afterwards");
    }

    function test_a_token_that_calls_back_cannot_claim_again() public {
        CallbackToken callback = new CallbackToken();
        distributor = new RewardDistributor(address(callback), owner, proposer, 0, 0, bondRecipient);
        callback.mint(address(this), 100);
        callback.approve(address(distributor), 100);
        distributor.fund(100);
        (bytes32[] memory tree, uint256 total) = treeOf(pair(30, 70));
        putInForce(1, tree[0], total);
        bytes32[] memory path = MerkleTree.proof(tree, distributor.leafOf(earner(0), 30));
        callback.arm(address(distributor), abi.encodeCall(distributor.claim, (earner(0), 30, tree[0], path)));
        distributor.claim(earner(0), 30, tree[0], path);
        vm.assertEq(
            bytes32(callback.innerRevert()),
            bytes32(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector),
            "inner call"
        );
        vm.assertEq(callback.balanceOf(earner(0)), 30, "paid once");
    }

    function testFuzz_two_epochs_pay_each_account_its_cumulative_to_the_wei(
        uint96[9] memory first,
        uint96[9] memory growth,
        uint256 early
    ) public {
        uint256[] memory before = new uint256[](9);
        uint256[] memory then = new uint256[](9);
        uint256 sum = 0;
        for (uint256 i = 0; i < 9; ++i) {
            before[i] = first[i];
            then[i] = before[i] + growth[i];
            sum += then[i];
        }
        token.mint(address(this), sum);
        token.approve(address(distributor), sum);
        if (sum > 0) distributor.fund(sum);
        (bytes32[] memory tree, uint256 total) = treeOf(before);
        putInForce(1, tree[0], total);
        for (uint256 i = 0; i < 9; ++i) {
            if (early >> i & 1 == 1 && before[i] > 0) claim(i, before[i], tree);
        }
        (tree, total) = treeOf(then);
        putInForce(2, tree[0], total);
        for (uint256 i = 0; i < 9; ++i) {
            if (then[i] > distributor.claimed(earner(i))) claim(i, then[i], tree);
            vm.assertEq(token.balanceOf(earner(i)), then[i], "paid its cumulative");
        }
        vm.assertEq(distributor.totalClaimed(), total, "all paid");
        vm.assertEq(token.balanceOf(address(distributor)), FUNDED, "what was not in the tree is left");
    }
}
