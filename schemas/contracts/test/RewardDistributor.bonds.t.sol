// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {ExactTransfer} from "../src/ExactTransfer.sol";
import {RewardDistributor} from "../src/RewardDistributor.sol";
import {RootProposals} from "../src/RootProposals.sol";
import {DistributorBase} from "./support/DistributorBase.sol";
import {MerkleTree} from "./support/MerkleTree.sol";
import {CallbackToken, FeeToken} from "./support/Tokens.sol";

/// @notice A dispute costs a bond until it is decided, and bonds are never rewards.
contract RewardDistributorBondsTest is DistributorBase {
    bytes32 private constant ROOT = keccak256("root");
    bytes32 private constant EVIDENCE = keccak256("evidence");

    function assertHeld(uint256 bonds) private view {
        vm.assertEq(distributor.bondsHeld(), bonds, "bonds held");
        vm.assertEq(
            token.balanceOf(address(distributor)),
            distributor.totalFunded() - distributor.totalClaimed() + bonds,
            "rewards and bonds"
        );
    }

    function test_a_dispute_takes_the_bond() public {
        propose(1, ROOT, 10);
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientAllowance.selector);
        vm.prank(stranger);
        distributor.dispute(1, ROOT, EVIDENCE);
        vm.assertEq(distributor.openDispute().by, address(0), "no bond, no dispute");
        disputeAs(stranger, 1, EVIDENCE);
        vm.assertEq(token.balanceOf(stranger), 0, "taken");
        vm.assertEq(distributor.totalFunded(), FUNDED, "no part of the rewards");
        assertHeld(BOND);
        expectError(abi.encodeWithSelector(RootProposals.NoBond.selector, stranger));
        distributor.withdrawBond(stranger);
    }

    function test_a_valid_dispute_gets_it_back() public {
        propose(1, ROOT, 10);
        disputeAs(stranger, 1, EVIDENCE);
        uint64 seq = distributor.seq();
        vm.expectEmit(address(distributor));
        emit RootProposals.DisputeResolved(1, stranger, true, seq + 1);
        vm.expectEmit(address(distributor));
        emit RootProposals.BondReleased(1, stranger, BOND, seq + 2);
        vm.prank(owner);
        distributor.resolveDispute(1, true);
        assertHeld(BOND);
        vm.expectEmit(address(distributor));
        emit RootProposals.BondWithdrawn(stranger, BOND, seq + 3);
        vm.prank(funder);
        distributor.withdrawBond(stranger);
        vm.assertEq(token.balanceOf(stranger), BOND, "back");
        assertHeld(0);
        expectError(abi.encodeWithSelector(RootProposals.NoBond.selector, stranger));
        distributor.withdrawBond(stranger);
    }

    function test_an_invalid_dispute_loses_it() public {
        propose(1, ROOT, 10);
        disputeAs(stranger, 1, EVIDENCE);
        vm.prank(owner);
        distributor.resolveDispute(1, false);
        vm.assertEq(distributor.bondOf(stranger), 0, "not the disputer's");
        distributor.withdrawBond(bondRecipient);
        vm.assertEq(token.balanceOf(bondRecipient), BOND, "the recipient's");
        assertHeld(0);
    }

    function test_revoking_a_disputed_root_gives_it_back() public {
        propose(1, ROOT, 10);
        disputeAs(stranger, 1, EVIDENCE);
        uint64 seq = distributor.seq();
        vm.expectEmit(address(distributor));
        emit RootProposals.RootRevoked(1, ROOT, seq + 1);
        vm.expectEmit(address(distributor));
        emit RootProposals.BondReleased(1, stranger, BOND, seq + 2);
        vm.prank(owner);
        distributor.revokeRoot(1);
        distributor.withdrawBond(stranger);
        vm.assertEq(token.balanceOf(stranger), BOND, "back");
        // A root without a dispute releases nothing.
        propose(1, ROOT, 10);
        seq = distributor.seq();
        vm.prank(owner);
        distributor.revokeRoot(1);
        vm.assertEq(distributor.seq(), seq + 1, "one event");
        assertHeld(0);
    }

    function test_bonds_of_several_disputes_add_up() public {
        propose(1, ROOT, 10);
        for (uint256 i = 0; i < 3; ++i) {
            disputeAs(stranger, 1, EVIDENCE);
            vm.prank(owner);
            distributor.resolveDispute(1, false);
        }
        vm.assertEq(distributor.bondOf(bondRecipient), 3 * BOND, "owed");
        disputeAs(stranger, 1, EVIDENCE);
        assertHeld(4 * BOND);
        distributor.withdrawBond(bondRecipient);
        assertHeld(BOND);
    }

    function test_bonds_pay_no_rewards() public {
        (bytes32[] memory tree, uint256 total) = treeOf(pair(FUNDED - 10, 10));
        putInForce(1, tree[0], total);
        propose(2, tree[0], total);
        disputeAs(stranger, 2, EVIDENCE);
        distributor.claim(
            earner(0),
            FUNDED - 10,
            tree[0],
            MerkleTree.proof(tree, distributor.leafOf(earner(0), FUNDED - 10))
        );
        distributor.claim(earner(1), 10, tree[0], MerkleTree.proof(tree, distributor.leafOf(earner(1), 10)));
        assertHeld(BOND);
        vm.prank(owner);
        distributor.resolveDispute(2, true);
        vm.prank(proposer);
        expectError(abi.encodeWithSelector(RootProposals.TotalUnfunded.selector, FUNDED, FUNDED + 1));
        distributor.proposeRoot(2, ROOT, ARTIFACT, FUNDED + 1, 77, BLOCK_HASH, DIGEST);
    }

    function test_a_bond_of_zero_moves_nothing() public {
        distributor = new RewardDistributor(address(token), owner, proposer, WINDOW, 0, bondRecipient);
        propose(1, ROOT, 0);
        distributor.dispute(1, ROOT, EVIDENCE);
        uint64 seq = distributor.seq();
        vm.prank(owner);
        distributor.resolveDispute(1, true);
        vm.assertEq(distributor.seq(), seq + 1, "one event");
        expectError(abi.encodeWithSelector(RootProposals.NoBond.selector, address(this)));
        distributor.withdrawBond(address(this));
    }

    function test_bonds_go_on_while_stopped() public {
        propose(1, ROOT, 10);
        disputeAs(stranger, 1, EVIDENCE);
        vm.startPrank(owner);
        distributor.pause();
        distributor.resolveDispute(1, true);
        vm.stopPrank();
        distributor.withdrawBond(stranger);
        vm.assertEq(token.balanceOf(stranger), BOND, "back");
    }

    function test_a_bond_that_shrinks_on_its_way_is_refused() public {
        FeeToken fee = new FeeToken();
        distributor = distributorOf(address(fee));
        propose(1, ROOT, 0);
        fee.mint(address(this), BOND);
        fee.approve(address(distributor), BOND);
        expectError(abi.encodeWithSelector(ExactTransfer.InexactTransfer.selector, BOND, BOND - BOND / 100));
        distributor.dispute(1, ROOT, EVIDENCE);
    }

    function test_a_token_that_calls_back_cannot_withdraw_twice() public {
        CallbackToken callback = new CallbackToken();
        distributor = distributorOf(address(callback));
        propose(1, ROOT, 0);
        callback.mint(address(this), 2 * BOND);
        callback.approve(address(distributor), 2 * BOND);
        distributor.fund(BOND);
        distributor.dispute(1, ROOT, EVIDENCE);
        vm.prank(owner);
        distributor.resolveDispute(1, true);
        callback.arm(address(distributor), abi.encodeCall(distributor.withdrawBond, (address(this))));
        distributor.withdrawBond(address(this));
        vm.assertEq(
            bytes32(callback.innerRevert()),
            bytes32(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector),
            "inner call"
        );
        vm.assertEq(callback.balanceOf(address(this)), BOND, "once");
    }
}
