// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

import {FeeSchedule} from "../src/FeeSchedules.sol";
import {PayerBalances} from "../src/PayerBalances.sol";
import {PaymentVault} from "../src/PaymentVault.sol";
import {Debit, SpendingLimit} from "../src/SpendingLimits.sol";
import {VaultBase} from "./support/VaultBase.sol";

/// @notice Batches: who posts them, in what order, and where each wei goes.
contract PaymentVaultDebitsTest is VaultBase {
    function test_a_batch_is_divided_by_the_schedule() public {
        Debit[] memory debits = two(
            signed(limitOf(alice, 50 ether), ALICE_KEY, 10 ether),
            signed(limitOf(bob, 50 ether), BOB_KEY, 20 ether)
        );
        uint64 seq = vault.seq();
        vm.expectEmit(address(vault));
        emit PaymentVault.Debited(alice, 1, 10 ether, seq + 1);
        vm.expectEmit(address(vault));
        emit PaymentVault.Debited(bob, 1, 20 ether, seq + 2);
        vm.expectEmit(address(vault));
        emit PaymentVault.BatchDebited(
            1, RECEIPTS_1, 0, 30 ether, 30 ether, 20 ether, 2 ether, 1.5 ether, 6.5 ether, seq + 3
        );
        vm.prank(spender);
        vault.debitBatch(1, RECEIPTS_1, 0, debits, 20 ether, 2 ether);

        vm.assertEq(vault.balanceOf(alice), 90 ether, "alice");
        vm.assertEq(vault.balanceOf(bob), 80 ether, "bob");
        vm.assertEq(distributor.totalFunded(), 22 ether, "both pools");
        vm.assertEq(token.balanceOf(stakers), 1.5 ether, "stakers");
        vm.assertEq(token.balanceOf(treasury), 6.5 ether, "platform and what the pools left");
        vm.assertEq(token.balanceOf(address(vault)), 170 ether, "left in the vault");
        vm.assertEq(token.allowance(address(vault), address(distributor)), 0, "no allowance left");
        vm.assertEq(vault.batchCount(), 1, "batch count");
        vm.assertEq(vault.lastBatchRoot(), RECEIPTS_1, "batch root");
        vm.assertEq(vault.spent(vault.hashLimit(debits[0].limit)), 10 ether, "spent");
        vm.assertEq(vault.seq(), seq + 3, "three events");
    }

    function test_a_pool_gets_at_most_its_scheduled_part() public {
        Debit[] memory debits = only(signed(limitOf(alice, 50 ether), ALICE_KEY, 10 ether));
        uint64 seq = vault.seq();
        vm.expectEmit(address(vault));
        emit PaymentVault.Debited(alice, 1, 10 ether, seq + 1);
        vm.expectEmit(address(vault));
        emit PaymentVault.BatchDebited(
            1, RECEIPTS_1, 0, 10 ether, 10 ether, 7 ether, 1 ether, 0.5 ether, 1.5 ether, seq + 2
        );
        vm.prank(spender);
        vault.debitBatch(1, RECEIPTS_1, 0, debits, 7 ether + 1, 1 ether + 1);
        vm.assertEq(distributor.totalFunded(), 8 ether, "the scheduled parts");
        vm.assertEq(token.balanceOf(treasury), 1.5 ether, "the platform keeps its own");
    }

    function test_batches_form_one_chain() public {
        Debit[] memory debits = only(signed(limitOf(alice, 50 ether), ALICE_KEY, 1 ether));
        vm.startPrank(spender);
        vault.debitBatch(1, RECEIPTS_1, 0, debits, 0, 0);
        expectError(abi.encodeWithSelector(PaymentVault.WrongBatchId.selector, 2, 1));
        vault.debitBatch(1, RECEIPTS_2, RECEIPTS_1, debits, 0, 0);
        expectError(abi.encodeWithSelector(PaymentVault.WrongBatchId.selector, 2, 3));
        vault.debitBatch(3, RECEIPTS_2, RECEIPTS_1, debits, 0, 0);
        expectError(abi.encodeWithSelector(PaymentVault.WrongPrevRoot.selector, RECEIPTS_1, RECEIPTS_2));
        vault.debitBatch(2, RECEIPTS_2, RECEIPTS_2, debits, 0, 0);
        expectError(abi.encodeWithSelector(PaymentVault.ZeroRoot.selector));
        vault.debitBatch(2, 0, RECEIPTS_1, debits, 0, 0);
        expectError(abi.encodeWithSelector(PaymentVault.EmptyBatch.selector));
        vault.debitBatch(2, RECEIPTS_2, RECEIPTS_1, new Debit[](0), 0, 0);
        vault.debitBatch(2, RECEIPTS_2, RECEIPTS_1, debits, 0, 0);
        vm.assertEq(vault.lastBatchRoot(), RECEIPTS_2, "the second");
        vm.stopPrank();
    }

    function testFuzz_every_wei_arrives(uint256 amount, uint256 dataPool, uint256 modelPool, uint256 bps)
        public
    {
        amount = bound(amount, 1, DEPOSIT);
        FeeSchedule memory fees = randomSchedule(bps);
        vm.prank(owner);
        vault.proposeFees(fees);
        vm.warp(START + NOTICE);
        vault.activateFees();
        dataPool = bound(dataPool, 0, 2 * amount);
        modelPool = bound(modelPool, 0, 2 * amount);
        post(only(signed(limitOf(alice, DEPOSIT), ALICE_KEY, amount)), dataPool, modelPool);

        uint256 data = min(dataPool, amount * fees.dataBps / 10_000);
        uint256 model = min(modelPool, amount * fees.modelBps / 10_000);
        uint256 staked = amount * fees.stakersBps / 10_000;
        vm.assertEq(token.balanceOf(address(distributor)), data + model, "pools");
        vm.assertEq(distributor.totalFunded(), data + model, "funded");
        vm.assertEq(token.balanceOf(stakers), staked, "stakers");
        vm.assertEq(token.balanceOf(treasury), amount - data - model - staked, "platform");
        vm.assertLe(amount * fees.platformBps / 10_000, token.balanceOf(treasury), "platform's least part");
        vm.assertEq(vault.balanceOf(alice), DEPOSIT - amount, "payer");
        vm.assertEq(token.balanceOf(address(vault)), 2 * DEPOSIT - amount, "vault");
    }

    function randomSchedule(uint256 seed) private view returns (FeeSchedule memory fees) {
        fees.dataBps = uint16(seed % 10_001);
        fees.modelBps = uint16((seed >> 32) % (10_001 - fees.dataBps));
        fees.stakersBps = uint16((seed >> 64) % (10_001 - fees.dataBps - fees.modelBps));
        fees.platformBps = 10_000 - fees.dataBps - fees.modelBps - fees.stakersBps;
        fees.stakersPool = stakers;
    }

    function min(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }

    function test_a_single_wei_stays_with_the_platform() public {
        post(only(signed(limitOf(alice, DEPOSIT), ALICE_KEY, 1)));
        vm.assertEq(distributor.totalFunded(), 0, "pools round down");
        vm.assertEq(token.balanceOf(stakers), 0, "stakers too");
        vm.assertEq(token.balanceOf(treasury), 1, "platform");
    }

    function test_a_batch_of_which_nothing_is_collected_goes_on() public {
        SpendingLimit memory none = limitOf(alice, 0);
        post(only(signed(none, ALICE_KEY, 1 ether)));
        vm.assertEq(vault.batchCount(), 1, "counted");
        vm.assertEq(token.balanceOf(address(vault)), 2 * DEPOSIT, "nothing moved");
    }

    function test_only_the_operator_posts() public {
        SpendingLimit memory limit = limitOf(alice, 50 ether);
        limit.spender = stranger;
        Debit[] memory debits = only(signed(limit, ALICE_KEY, 1 ether));
        expectError(abi.encodeWithSelector(PaymentVault.NotOperator.selector, stranger));
        vm.prank(stranger);
        vault.debitBatch(1, RECEIPTS_1, 0, debits, 0, 0);

        vm.assertEq(vault.operator(), spender, "from the beginning");
        uint64 next = vault.seq() + 1;
        vm.expectEmit(address(vault));
        emit PaymentVault.OperatorSet(stranger, next);
        vm.prank(owner);
        vault.setOperator(stranger);
        postReverts(debits, abi.encodeWithSelector(PaymentVault.NotOperator.selector, spender));
        vm.prank(stranger);
        vault.debitBatch(1, RECEIPTS_1, 0, debits, 0, 0);

        expectError(abi.encodeWithSelector(PayerBalances.ZeroAddress.selector));
        vm.prank(owner);
        vault.setOperator(address(0));
    }

    function test_only_the_limits_spender_debits() public {
        SpendingLimit memory limit = limitOf(alice, 50 ether);
        limit.spender = stranger;
        Debit[] memory debits =
            two(signed(limitOf(bob, 50 ether), BOB_KEY, 1 ether), signed(limit, ALICE_KEY, 1 ether));
        bytes32 hash = vault.hashLimit(limit);
        postReverts(debits, abi.encodeWithSelector(PaymentVault.WrongSpender.selector, hash, stranger));
    }

    function test_a_debit_of_nothing_is_refused() public {
        postReverts(
            only(signed(limitOf(alice, 50 ether), ALICE_KEY, 0)),
            abi.encodeWithSelector(PayerBalances.ZeroAmount.selector)
        );
    }

    function test_one_limit_twice_in_a_batch_counts_twice() public {
        SpendingLimit memory limit = limitOf(alice, 50 ether);
        post(two(signed(limit, ALICE_KEY, 30 ether), signed(limit, ALICE_KEY, 21 ether)));
        vm.assertEq(vault.spent(vault.hashLimit(limit)), 50 ether, "at most the limit");
        vm.assertEq(vault.balanceOf(alice), 50 ether, "taken");
    }

    function test_limits_add_up() public {
        SpendingLimit memory second = limitOf(alice, 30 ether);
        second.nonce = 2;
        post(two(signed(limitOf(alice, 50 ether), ALICE_KEY, 50 ether), signed(second, ALICE_KEY, 20 ether)));
        vm.assertEq(vault.balanceOf(alice), 30 ether, "taken under both");
        vm.assertEq(vault.spent(vault.hashLimit(second)), 20 ether, "the second");
    }

    function test_while_stopped_nobody_is_debited() public {
        Debit[] memory debits = only(signed(limitOf(alice, 50 ether), ALICE_KEY, 1 ether));
        vm.prank(owner);
        vault.pause();
        postReverts(debits, abi.encodeWithSelector(Pausable.EnforcedPause.selector));
        vm.prank(owner);
        vault.unpause();
        post(debits);
    }

    function test_a_distributor_that_is_stopped_stops_no_batch() public {
        vm.prank(owner);
        distributor.pause();
        post(only(signed(limitOf(alice, 50 ether), ALICE_KEY, 1 ether)));
        vm.assertEq(distributor.totalFunded(), 0.8 ether, "funded");
    }

    function test_ownership_moves_in_two_steps() public {
        vm.prank(owner);
        vault.transferOwnership(stranger);
        vm.assertEq(vault.owner(), owner, "not yet");
        expectError(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, stranger));
        vm.prank(stranger);
        vault.setOperator(stranger);
        vm.prank(stranger);
        vault.acceptOwnership();
        vm.assertEq(vault.owner(), stranger, "accepted");
    }

    function test_the_signed_type_is_the_published_one() public view {
        SpendingLimit memory limit = limitOf(alice, 50 ether);
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("Headwater PaymentVault"),
                keccak256("1"),
                block.chainid,
                address(vault)
            )
        );
        bytes32 body = keccak256(
            abi.encode(
                keccak256(
                    "SpendingLimit(address payer,address spender,uint256 maxAmount,uint64 expiry,uint256 nonce)"
                ),
                limit.payer,
                limit.spender,
                limit.maxAmount,
                limit.expiry,
                limit.nonce
            )
        );
        vm.assertEq(vault.hashLimit(limit), keccak256(abi.encodePacked("\x19\x01", domain, body)), "digest");
    }
}
