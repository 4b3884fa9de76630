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
        (debits[0].dataPart, debits[0].modelPart) = (6 ether, 1 ether);
        (debits[1].dataPart, debits[1].modelPart) = (14 ether, 1 ether);
        bytes32[2] memory hashes = [vault.hashLimit(debits[0].limit), vault.hashLimit(debits[1].limit)];
        uint64 seq = vault.seq();
        vm.expectEmit(address(vault));
        emit PaymentVault.Debited(alice, 1, hashes[0], 1, 10 ether, 6 ether, 1 ether, seq + 1);
        vm.expectEmit(address(vault));
        emit PaymentVault.Debited(bob, 1, hashes[1], 1, 20 ether, 14 ether, 1 ether, seq + 2);
        vm.expectEmit(address(vault));
        emit PaymentVault.BatchDebited(
            1, 1, RECEIPTS_1, true, 0, 30 ether, 30 ether, 20 ether, 2 ether, 1.5 ether, 6.5 ether, seq + 3
        );
        vm.prank(spender);
        vault.debitBatch(whole(1, RECEIPTS_1), 0, debits);

        vm.assertEq(vault.balanceOf(alice), 90 ether, "alice");
        vm.assertEq(vault.balanceOf(bob), 80 ether, "bob");
        vm.assertEq(distributor.totalFunded(), 22 ether, "both pools");
        vm.assertEq(token.balanceOf(stakers), 1.5 ether, "stakers");
        vm.assertEq(token.balanceOf(treasury), 6.5 ether, "platform and what the pools left");
        vm.assertEq(token.balanceOf(address(vault)), 170 ether, "left in the vault");
        vm.assertEq(token.allowance(address(vault), address(distributor)), 0, "no allowance left");
        vm.assertEq(last().epoch, 1, "epoch");
        vm.assertEq(last().receiptsRoot, RECEIPTS_1, "receipts root");
        vm.assertEq(vault.spent(hashes[0]), 10 ether, "spent");
        vm.assertEq(vault.seq(), seq + 3, "three events");
    }

    function test_a_pool_gets_at_most_its_scheduled_part() public {
        Debit[] memory debits = only(signed(limitOf(alice, 50 ether), ALICE_KEY, 10 ether));
        (debits[0].dataPart, debits[0].modelPart) = (7 ether + 1, 1 ether + 1);
        bytes32 hash = vault.hashLimit(debits[0].limit);
        uint64 seq = vault.seq();
        vm.expectEmit(address(vault));
        emit PaymentVault.Debited(alice, 1, hash, 1, 10 ether, 7 ether, 1 ether, seq + 1);
        vm.expectEmit(address(vault));
        emit PaymentVault.BatchDebited(
            1, 1, RECEIPTS_1, true, 0, 10 ether, 10 ether, 7 ether, 1 ether, 0.5 ether, 1.5 ether, seq + 2
        );
        vm.prank(spender);
        vault.debitBatch(whole(1, RECEIPTS_1), 0, debits);
        vm.assertEq(distributor.totalFunded(), 8 ether, "the scheduled parts");
        vm.assertEq(token.balanceOf(treasury), 1.5 ether, "the platform keeps its own");
    }

    /// @dev The next batch must be refused with this error.
    function refused(
        PaymentVault.Batch memory batch,
        bytes32 prevRoot,
        Debit[] memory debits,
        bytes memory revertData
    ) private {
        expectError(revertData);
        postBatch(batch, prevRoot, debits);
    }

    function postBatch(PaymentVault.Batch memory batch, bytes32 prevRoot, Debit[] memory debits) private {
        vm.prank(spender);
        vault.debitBatch(batch, prevRoot, debits);
    }

    function wrongBatch(uint64 epoch, uint64 part, PaymentVault.Batch memory given)
        private
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(PaymentVault.WrongBatch.selector, epoch, part, given.epoch, given.part);
    }

    function test_epochs_form_one_chain() public {
        Debit[] memory debits = only(signed(limitOf(alice, 50 ether), ALICE_KEY, 1 ether));
        PaymentVault.Batch memory second = whole(2, RECEIPTS_2);
        refused(second, 0, debits, wrongBatch(1, 1, second));
        postBatch(whole(1, RECEIPTS_1), 0, debits);
        PaymentVault.Batch memory wrong = whole(1, RECEIPTS_2);
        refused(wrong, RECEIPTS_1, debits, wrongBatch(2, 1, wrong));
        wrong.epoch = 3;
        refused(wrong, RECEIPTS_1, debits, wrongBatch(2, 1, wrong));
        bytes memory wrongRoot =
            abi.encodeWithSelector(PaymentVault.WrongPrevRoot.selector, RECEIPTS_1, RECEIPTS_2);
        refused(second, RECEIPTS_2, debits, wrongRoot);
        bytes memory zeroRoot = abi.encodeWithSelector(PaymentVault.ZeroRoot.selector);
        refused(whole(2, 0), RECEIPTS_1, debits, zeroRoot);
        bytes memory empty = abi.encodeWithSelector(PaymentVault.EmptyBatch.selector);
        refused(second, RECEIPTS_1, new Debit[](0), empty);
        postBatch(second, RECEIPTS_1, debits);
        vm.assertEq(last().receiptsRoot, RECEIPTS_2, "the second");
    }

    function test_an_epoch_can_have_parts() public {
        Debit[] memory debits = only(signed(limitOf(alice, 50 ether), ALICE_KEY, 1 ether));
        PaymentVault.Batch memory part = whole(1, RECEIPTS_1);
        part.part = 2;
        refused(part, 0, debits, wrongBatch(1, 1, part));
        (part.part, part.isLast) = (1, false);
        postBatch(part, 0, debits);
        refused(part, RECEIPTS_1, debits, wrongBatch(1, 2, part));
        PaymentVault.Batch memory second = whole(2, RECEIPTS_2);
        refused(second, RECEIPTS_1, debits, wrongBatch(1, 2, second));
        part.part = 3;
        refused(part, RECEIPTS_1, debits, wrongBatch(1, 2, part));
        part.part = 2;
        part.receiptsRoot = RECEIPTS_2;
        bytes memory otherReceipts =
            abi.encodeWithSelector(PaymentVault.WrongReceiptsRoot.selector, RECEIPTS_1, RECEIPTS_2);
        refused(part, RECEIPTS_1, debits, otherReceipts);
        part.receiptsRoot = RECEIPTS_1;
        bytes memory empty = abi.encodeWithSelector(PaymentVault.EmptyBatch.selector);
        refused(part, RECEIPTS_1, new Debit[](0), empty);
        postBatch(part, RECEIPTS_1, debits);
        (part.part, part.isLast) = (3, true);
        uint64 seq = vault.seq();
        vm.expectEmit(address(vault));
        emit PaymentVault.BatchDebited(1, 3, RECEIPTS_1, true, RECEIPTS_1, 0, 0, 0, 0, 0, 0, seq + 1);
        // Nobody who is left can be debited any more: the last part may be empty.
        postBatch(part, RECEIPTS_1, new Debit[](0));
        part.part = 4;
        refused(part, RECEIPTS_1, debits, wrongBatch(2, 1, part));
        refused(second, RECEIPTS_1, new Debit[](0), empty);
        postBatch(second, RECEIPTS_1, debits);
        vm.assertEq(vault.balanceOf(alice), DEPOSIT - 3 ether, "three debits");
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
        Debit memory debit = signed(limitOf(alice, DEPOSIT), ALICE_KEY, amount);
        (debit.dataPart, debit.modelPart) = (dataPool, modelPool);
        post(only(debit));

        uint256 data = min(dataPool, (amount * fees.dataBps + 9_999) / 10_000);
        uint256 model = min(modelPool, amount * fees.modelBps / 10_000);
        uint256 staked = amount * fees.stakersBps / 10_000;
        vm.assertEq(token.balanceOf(address(distributor)), data + model, "pools");
        vm.assertEq(distributor.totalFunded(), data + model, "funded");
        vm.assertEq(token.balanceOf(stakers), staked, "stakers");
        vm.assertEq(token.balanceOf(treasury), amount - data - model - staked, "platform");
        vm.assertLe(
            amount * fees.platformBps / 10_000, token.balanceOf(treasury) + 1, "platform's least part"
        );
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

    /// @dev However a debt is cut into debits, the data pool gets what the receipts attributed to it.
    function testFuzz_a_debt_in_pieces_funds_the_data_pool_as_one_does(uint256[4] memory pieces, uint256 bps)
        public
    {
        FeeSchedule memory fees = randomSchedule(bps);
        vm.prank(owner);
        vault.proposeFees(fees);
        vm.warp(START + NOTICE);
        vault.activateFees();
        uint256 owed = 0;
        for (uint256 i = 0; i < 4; ++i) {
            pieces[i] = bound(pieces[i], 1, 1_000);
            owed += pieces[i];
        }
        uint256 left = owed * fees.dataBps / 10_000;
        uint256 attributed = left;
        for (uint256 i = 0; i < 4; ++i) {
            Debit memory debit = signed(limitOf(alice, DEPOSIT), ALICE_KEY, pieces[i]);
            (debit.dataPart, debit.modelPart) = (left, 0);
            uint256 funded = distributor.totalFunded();
            post(only(debit));
            left -= distributor.totalFunded() - funded;
        }
        vm.assertEq(distributor.totalFunded(), attributed, "to the wei");
        vm.assertEq(token.balanceOf(address(vault)), 2 * DEPOSIT - owed, "vault");
    }

    /// @dev The first limit gives less than it should; what it leaves of the parts is the second's.
    function test_a_payers_parts_go_over_to_its_next_debit() public {
        SpendingLimit memory second = limitOf(alice, 50 ether);
        second.nonce = 2;
        Debit[] memory debits = new Debit[](3);
        debits[0] = signed(limitOf(alice, 1 ether), ALICE_KEY, 10 ether);
        debits[1] = signed(second, ALICE_KEY, 10 ether);
        debits[2] = signed(limitOf(bob, 50 ether), BOB_KEY, 10 ether);
        (debits[0].dataPart, debits[0].modelPart) = (6 ether, 1 ether);
        (debits[1].dataPart, debits[1].modelPart) = (0, 0);
        (debits[2].dataPart, debits[2].modelPart) = (0, 0);
        post(debits);
        vm.assertEq(distributor.totalFunded(), 7 ether, "alice's parts, once; nothing of bob's");
    }

    function test_a_single_wei_is_the_data_pools() public {
        post(only(signed(limitOf(alice, DEPOSIT), ALICE_KEY, 1)));
        vm.assertEq(distributor.totalFunded(), 1, "the data pool rounds up");
        vm.assertEq(token.balanceOf(stakers), 0, "stakers down");
        vm.assertEq(token.balanceOf(treasury), 0, "platform");
    }

    function test_a_batch_of_which_nothing_is_collected_goes_on() public {
        SpendingLimit memory none = limitOf(alice, 0);
        post(only(signed(none, ALICE_KEY, 1 ether)));
        vm.assertEq(last().epoch, 1, "counted");
        vm.assertEq(token.balanceOf(address(vault)), 2 * DEPOSIT, "nothing moved");
    }

    function test_only_the_operator_posts() public {
        SpendingLimit memory limit = limitOf(alice, 50 ether);
        limit.spender = stranger;
        Debit[] memory debits = only(signed(limit, ALICE_KEY, 1 ether));
        expectError(abi.encodeWithSelector(PaymentVault.NotOperator.selector, stranger));
        vm.prank(stranger);
        vault.debitBatch(whole(1, RECEIPTS_1), 0, debits);

        vm.assertEq(vault.operator(), spender, "from the beginning");
        uint64 next = vault.seq() + 1;
        vm.expectEmit(address(vault));
        emit PaymentVault.OperatorSet(stranger, next);
        vm.prank(owner);
        vault.setOperator(stranger);
        postReverts(debits, abi.encodeWithSelector(PaymentVault.NotOperator.selector, spender));
        vm.prank(stranger);
        vault.debitBatch(whole(1, RECEIPTS_1), 0, debits);

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
