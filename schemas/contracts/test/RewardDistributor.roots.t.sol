// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

import {RewardDistributor} from "../src/RewardDistributor.sol";
import {RootProposals} from "../src/RootProposals.sol";
import {Stoppable} from "../src/Stoppable.sol";
import {DistributorBase} from "./support/DistributorBase.sol";

/// @notice How a root comes into force, and every way in which it does not.
contract RewardDistributorRootsTest is DistributorBase {
    bytes32 private constant ROOT = keccak256("root");
    bytes32 private constant EVIDENCE = keccak256("evidence");

    function test_a_root_is_proposed_waits_and_is_accepted() public {
        uint64 seq = distributor.seq();
        uint64 until = uint64(block.timestamp) + WINDOW;
        vm.expectEmit(address(distributor));
        emit RootProposals.RootProposed(1, ROOT, ARTIFACT, 10, 77, BLOCK_HASH, DIGEST, until, seq + 1);
        propose(1, ROOT, 10);
        RootProposals.Proposal memory pending = distributor.pending();
        vm.assertEq(pending.epoch, 1, "epoch");
        vm.assertEq(pending.root, ROOT, "root");
        vm.assertEq(pending.artifactHash, ARTIFACT, "artifact");
        vm.assertEq(pending.totalCumulative, 10, "total");
        vm.assertEq(pending.toBlock, 77, "block");
        vm.assertEq(pending.toBlockHash, BLOCK_HASH, "block hash");
        vm.assertEq(pending.indexDigest, DIGEST, "digest");
        vm.assertEq(pending.disputableUntil, until, "window");
        vm.assertEq(distributor.root(), 0, "not in force");

        vm.warp(until - 1);
        expectError(abi.encodeWithSelector(RootProposals.DisputeWindowOpen.selector, until));
        distributor.acceptRoot(1);
        vm.warp(until);
        vm.expectEmit(address(distributor));
        emit RootProposals.RootAccepted(1, ROOT, 10, seq + 2);
        vm.prank(stranger);
        distributor.acceptRoot(1);
        vm.assertEq(distributor.root(), ROOT, "in force");
        vm.assertEq(distributor.acceptedEpoch(), 1, "epoch in force");
        vm.assertEq(distributor.totalCumulative(), 10, "total in force");
        vm.assertEq(distributor.pending().epoch, 0, "nothing pending");

        expectError(abi.encodeWithSelector(RootProposals.NoProposal.selector, 1));
        distributor.acceptRoot(1);
        expectError(abi.encodeWithSelector(RootProposals.NoProposal.selector, 0));
        distributor.acceptRoot(0);
    }

    function test_only_the_proposer_proposes() public {
        expectError(abi.encodeWithSelector(RootProposals.NotProposer.selector, owner));
        vm.prank(owner);
        distributor.proposeRoot(1, ROOT, ARTIFACT, 10, 77, BLOCK_HASH, DIGEST);

        expectError(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, proposer));
        vm.prank(proposer);
        distributor.setProposer(stranger);
        uint64 next = distributor.seq() + 1;
        vm.expectEmit(address(distributor));
        emit RootProposals.ProposerSet(stranger, next);
        vm.prank(owner);
        distributor.setProposer(stranger);
        expectError(abi.encodeWithSelector(RootProposals.NotProposer.selector, proposer));
        propose(1, ROOT, 10);
        vm.prank(stranger);
        distributor.proposeRoot(1, ROOT, ARTIFACT, 10, 77, BLOCK_HASH, DIGEST);

        expectError(abi.encodeWithSelector(RootProposals.ZeroAddress.selector));
        vm.prank(owner);
        distributor.setProposer(address(0));
    }

    function testFuzz_the_epoch_is_the_next_one(uint64 epoch) public {
        putInForce(1, ROOT, 10);
        if (epoch != 2) expectError(abi.encodeWithSelector(RootProposals.WrongEpoch.selector, 2, epoch));
        propose(epoch, ROOT, 10);
    }

    function test_one_proposal_at_a_time() public {
        propose(1, ROOT, 10);
        expectError(abi.encodeWithSelector(RootProposals.ProposalPending.selector, 1));
        propose(1, keccak256("other"), 10);
    }

    function test_the_zero_root_is_refused() public {
        expectError(abi.encodeWithSelector(RootProposals.ZeroRoot.selector));
        propose(1, 0, 10);
    }

    function testFuzz_the_total_lies_between_the_accepted_and_the_funded(uint256 total) public {
        putInForce(1, ROOT, FUNDED / 2);
        total = bound(total, 0, FUNDED * 2);
        if (total < FUNDED / 2) {
            expectError(abi.encodeWithSelector(RootProposals.TotalDecreased.selector, FUNDED / 2, total));
        } else if (total > FUNDED) {
            expectError(abi.encodeWithSelector(RootProposals.TotalUnfunded.selector, FUNDED, total));
        }
        propose(2, ROOT, total);
    }

    function test_the_totals_bounds_are_exact() public {
        putInForce(1, ROOT, FUNDED - 1);
        expectError(abi.encodeWithSelector(RootProposals.TotalDecreased.selector, FUNDED - 1, FUNDED - 2));
        propose(2, ROOT, FUNDED - 2);
        expectError(abi.encodeWithSelector(RootProposals.TotalUnfunded.selector, FUNDED, FUNDED + 1));
        propose(2, ROOT, FUNDED + 1);
        putInForce(2, ROOT, FUNDED - 1);
        putInForce(3, ROOT, FUNDED);
    }

    function test_a_valid_dispute_removes_the_proposal() public {
        propose(1, ROOT, 10);
        uint64 seq = distributor.seq();
        giveBond(stranger);
        vm.expectEmit(address(distributor));
        emit RootProposals.RootDisputed(1, stranger, EVIDENCE, BOND, seq + 1);
        vm.prank(stranger);
        distributor.dispute(1, ROOT, EVIDENCE);
        vm.assertEq(distributor.openDispute().by, stranger, "by");
        vm.assertEq(distributor.openDispute().evidenceHash, EVIDENCE, "evidence");

        vm.warp(block.timestamp + WINDOW);
        expectError(abi.encodeWithSelector(RootProposals.DisputeOpen.selector, 1));
        distributor.acceptRoot(1);
        expectError(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, proposer));
        vm.prank(proposer);
        distributor.resolveDispute(1, false);

        vm.expectEmit(address(distributor));
        emit RootProposals.DisputeResolved(1, stranger, true, seq + 2);
        vm.prank(owner);
        distributor.resolveDispute(1, true);
        vm.assertEq(distributor.pending().epoch, 0, "removed");
        vm.assertEq(distributor.openDispute().by, address(0), "closed");
        vm.assertEq(distributor.removedRoot(), ROOT, "remembered");
        expectError(abi.encodeWithSelector(RootProposals.NoProposal.selector, 1));
        distributor.acceptRoot(1);
        propose(1, keccak256("corrected"), 10);
    }

    function test_an_invalid_dispute_lets_the_proposal_go_on() public {
        propose(1, ROOT, 10);
        disputeAs(stranger, 1, EVIDENCE);
        vm.prank(owner);
        distributor.resolveDispute(1, false);
        expectError(abi.encodeWithSelector(RootProposals.DisputeWindowOpen.selector, uint64(START) + WINDOW));
        distributor.acceptRoot(1);
        vm.warp(block.timestamp + WINDOW);
        distributor.acceptRoot(1);
        vm.assertEq(distributor.root(), ROOT, "in force");
        vm.assertEq(distributor.removedRoot(), 0, "nothing was removed");
    }

    function test_a_dispute_needs_a_proposal_an_open_window_and_no_other_dispute() public {
        expectError(abi.encodeWithSelector(RootProposals.NoProposal.selector, 1));
        distributor.dispute(1, ROOT, EVIDENCE);
        propose(1, ROOT, 10);
        expectError(abi.encodeWithSelector(RootProposals.NoProposal.selector, 2));
        distributor.dispute(2, ROOT, EVIDENCE);
        expectError(abi.encodeWithSelector(RootProposals.NoDispute.selector, 1));
        vm.prank(owner);
        distributor.resolveDispute(1, true);
        uint64 until = uint64(START) + WINDOW;
        vm.warp(until);
        expectError(abi.encodeWithSelector(RootProposals.DisputeWindowOver.selector, until));
        distributor.dispute(1, ROOT, EVIDENCE);
        vm.warp(until - 1);
        disputeAs(stranger, 1, EVIDENCE);
        expectError(abi.encodeWithSelector(RootProposals.DisputeOpen.selector, 1));
        distributor.dispute(1, ROOT, EVIDENCE);
    }

    function test_a_dispute_is_of_one_root_only() public {
        propose(1, ROOT, 10);
        giveBond(stranger);
        vm.prank(owner);
        distributor.revokeRoot(1);
        bytes32 corrected = keccak256("corrected");
        propose(1, corrected, 10);
        expectError(abi.encodeWithSelector(RootProposals.WrongRoot.selector, corrected, ROOT));
        vm.prank(stranger);
        distributor.dispute(1, ROOT, EVIDENCE);
        vm.assertEq(distributor.openDispute().by, address(0), "not disputed");
        vm.assertEq(token.balanceOf(stranger), BOND, "not taken");
        disputeAs(stranger, 1, EVIDENCE);
        vm.assertEq(distributor.openDispute().by, stranger, "disputed");
    }

    function test_the_owner_revokes_what_is_pending_and_nothing_else() public {
        putInForce(1, ROOT, 10);
        expectError(abi.encodeWithSelector(RootProposals.NoProposal.selector, 1));
        vm.prank(owner);
        distributor.revokeRoot(1);

        propose(2, keccak256("2"), 10);
        disputeAs(stranger, 2, EVIDENCE);
        expectError(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, stranger));
        vm.prank(stranger);
        distributor.revokeRoot(2);
        uint64 next = distributor.seq() + 1;
        vm.expectEmit(address(distributor));
        emit RootProposals.RootRevoked(2, keccak256("2"), next);
        vm.prank(owner);
        distributor.revokeRoot(2);
        vm.assertEq(distributor.root(), ROOT, "the accepted root stays");
        vm.assertEq(distributor.removedRoot(), keccak256("2"), "remembered");
        // The dispute went with it: the next proposal of this epoch is not disputed.
        putInForce(2, keccak256("2b"), 10);
        vm.assertEq(distributor.root(), keccak256("2b"), "the next one comes into force");
    }

    function test_while_stopped_no_root_is_proposed_or_accepted_but_disputes_go_on() public {
        propose(1, ROOT, 10);
        expectError(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, stranger));
        vm.prank(stranger);
        distributor.pause();
        vm.prank(owner);
        distributor.pause();
        disputeAs(stranger, 1, EVIDENCE);
        vm.prank(owner);
        distributor.resolveDispute(1, false);
        vm.warp(block.timestamp + WINDOW);
        expectError(abi.encodeWithSelector(Pausable.EnforcedPause.selector));
        distributor.acceptRoot(1);
        vm.prank(owner);
        distributor.revokeRoot(1);
        expectError(abi.encodeWithSelector(Pausable.EnforcedPause.selector));
        propose(1, ROOT, 10);
        expectError(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, stranger));
        vm.prank(stranger);
        distributor.unpause();
        vm.prank(owner);
        distributor.unpause();
        propose(1, ROOT, 10);
    }

    function test_ownership_cannot_be_given_up() public {
        expectError(abi.encodeWithSelector(Stoppable.OwnershipIsRequired.selector));
        vm.prank(owner);
        distributor.renounceOwnership();
        expectError(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, stranger));
        vm.prank(stranger);
        distributor.renounceOwnership();
    }

    function test_deployment_refuses_what_cannot_work() public {
        expectError(abi.encodeWithSelector(RootProposals.ZeroAddress.selector));
        new RewardDistributor(address(0), owner, proposer, WINDOW, BOND, bondRecipient);
        expectError(abi.encodeWithSelector(RootProposals.ZeroAddress.selector));
        new RewardDistributor(address(token), owner, address(0), WINDOW, BOND, bondRecipient);
        expectError(abi.encodeWithSelector(RootProposals.ZeroAddress.selector));
        new RewardDistributor(address(token), owner, proposer, WINDOW, BOND, address(0));
        expectError(abi.encodeWithSelector(Ownable.OwnableInvalidOwner.selector, address(0)));
        new RewardDistributor(address(token), address(0), proposer, WINDOW, BOND, bondRecipient);
        expectError(abi.encodeWithSelector(RootProposals.DisputeWindowTooLong.selector, uint64(30 days + 1)));
        new RewardDistributor(address(token), owner, proposer, 30 days + 1, BOND, bondRecipient);
        RewardDistributor longest =
            new RewardDistributor(address(token), owner, proposer, 30 days, BOND, bondRecipient);
        vm.assertEq(longest.disputeWindow(), 30 days, "the longest window");
    }
}
