// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

import {PaymentVault} from "../src/PaymentVault.sol";
import {Debit, SpendingLimit} from "../src/SpendingLimits.sol";
import {SmartWallet} from "./support/SmartWallet.sol";
import {VaultBase} from "./support/VaultBase.sol";

/// @notice Batches: what a signed limit allows, and where each wei goes.
contract PaymentVaultDebitsTest is VaultBase {
    function test_a_batch_pays_contributors_and_the_platform() public {
        Debit[] memory debits = new Debit[](2);
        debits[0] = signed(limitOf(alice, 50 ether), ALICE_KEY, 10 ether);
        debits[1] = signed(limitOf(bob, 50 ether), BOB_KEY, 20 ether);
        uint64 seq = vault.seq();
        vm.expectEmit(address(vault));
        emit PaymentVault.Debited(alice, 1, 10 ether, seq + 1);
        vm.expectEmit(address(vault));
        emit PaymentVault.Debited(bob, 1, 20 ether, seq + 2);
        vm.expectEmit(address(vault));
        emit PaymentVault.BatchDebited(1, RECEIPTS_1, 0, 30 ether, 24 ether, 6 ether, seq + 3);
        post(RECEIPTS_1, debits, 24 ether);

        vm.assertEq(vault.balanceOf(alice), 90 ether, "alice");
        vm.assertEq(vault.balanceOf(bob), 80 ether, "bob");
        vm.assertEq(distributor.totalFunded(), 24 ether, "data pool");
        vm.assertEq(token.balanceOf(treasury), 6 ether, "platform");
        vm.assertEq(token.balanceOf(address(vault)), 170 ether, "left in the vault");
        vm.assertEq(token.allowance(address(vault), address(distributor)), 0, "no allowance left");
        vm.assertEq(vault.batchCount(), 1, "batch count");
        vm.assertEq(vault.lastBatchRoot(), RECEIPTS_1, "batch root");
        vm.assertEq(vault.spent(vault.hashLimit(debits[0].limit)), 10 ether, "spent");
    }

    function test_batches_form_one_chain() public {
        Debit[] memory debits = only(signed(limitOf(alice, 50 ether), ALICE_KEY, 1 ether));
        post(RECEIPTS_1, debits, 0);
        vm.startPrank(spender);
        expectError(abi.encodeWithSelector(PaymentVault.WrongBatchId.selector, 2, 1));
        vault.debitBatch(1, RECEIPTS_2, 0, debits, 0);
        expectError(abi.encodeWithSelector(PaymentVault.WrongBatchId.selector, 2, 3));
        vault.debitBatch(3, RECEIPTS_2, RECEIPTS_1, debits, 0);
        expectError(abi.encodeWithSelector(PaymentVault.WrongPrevRoot.selector, RECEIPTS_1, RECEIPTS_2));
        vault.debitBatch(2, RECEIPTS_2, RECEIPTS_2, debits, 0);
        expectError(abi.encodeWithSelector(PaymentVault.ZeroRoot.selector));
        vault.debitBatch(2, 0, RECEIPTS_1, debits, 0);
        expectError(abi.encodeWithSelector(PaymentVault.EmptyBatch.selector));
        vault.debitBatch(2, RECEIPTS_2, RECEIPTS_1, new Debit[](0), 0);
        vault.debitBatch(2, RECEIPTS_2, RECEIPTS_1, debits, 0);
        vm.stopPrank();
    }

    function testFuzz_the_platform_gets_its_minimum_and_every_wei_arrives(uint256 amount, uint256 pool)
        public
    {
        amount = bound(amount, 0, DEPOSIT);
        pool = bound(pool, 0, DEPOSIT);
        uint256 largest = amount - amount * PLATFORM_BPS / 10_000;
        Debit[] memory debits = only(signed(limitOf(alice, DEPOSIT), ALICE_KEY, amount));
        if (pool > largest) {
            vm.prank(spender);
            expectError(abi.encodeWithSelector(PaymentVault.DataPoolTooLarge.selector, pool, largest));
            vault.debitBatch(1, RECEIPTS_1, 0, debits, pool);
            return;
        }
        post(RECEIPTS_1, debits, pool);
        vm.assertEq(token.balanceOf(address(distributor)), pool, "pool");
        vm.assertEq(token.balanceOf(treasury), amount - pool, "platform");
        vm.assertEq(vault.balanceOf(alice), DEPOSIT - amount, "payer");
        vm.assertEq(token.balanceOf(address(vault)), 2 * DEPOSIT - amount, "vault");
    }

    function test_a_single_wei_arrives_on_either_side() public {
        post(RECEIPTS_1, only(signed(limitOf(alice, DEPOSIT), ALICE_KEY, 1)), 1);
        vm.assertEq(token.balanceOf(address(distributor)), 1, "pool");
        vm.assertEq(token.balanceOf(treasury), 0, "no platform part");
        post(RECEIPTS_2, only(signed(limitOf(alice, DEPOSIT), ALICE_KEY, 1)), 0);
        vm.assertEq(token.balanceOf(address(distributor)), 1, "no pool");
        vm.assertEq(token.balanceOf(treasury), 1, "platform");
    }

    function test_only_the_limits_spender_debits() public {
        SpendingLimit memory limit = limitOf(alice, 50 ether);
        Debit[] memory debits = only(signed(limit, ALICE_KEY, 1 ether));
        bytes32 hash = vault.hashLimit(limit);
        expectError(abi.encodeWithSelector(PaymentVault.WrongSpender.selector, hash, spender));
        vm.prank(stranger);
        vault.debitBatch(1, RECEIPTS_1, 0, debits, 0);
    }

    function testFuzz_a_changed_limit_is_not_the_signed_one(uint256 field, uint256 value) public {
        Debit memory debit = signed(limitOf(alice, 50 ether), ALICE_KEY, 1 ether);
        field = bound(field, 0, 3);
        SpendingLimit memory limit = limitOf(alice, 50 ether);
        if (field == 0) limit.maxAmount = bound(value, 50 ether + 1, type(uint256).max);
        if (field == 1) limit.expiry += uint64(bound(value, 1, 365 days));
        if (field == 2) limit.nonce = bound(value, 2, type(uint256).max);
        if (field == 3) limit.payer = bob;
        debit.limit = limit;
        postReverts(
            only(debit),
            abi.encodeWithSelector(
                PaymentVault.InvalidSignature.selector, vault.hashLimit(limit), limit.payer
            )
        );
    }

    function test_a_signature_is_no_good_on_another_chain_or_vault() public {
        SpendingLimit memory limit = limitOf(alice, 50 ether);
        Debit[] memory debits = only(signed(limit, ALICE_KEY, 1 ether));
        uint256 chain = block.chainid;
        vm.chainId(chain + 1);
        postReverts(
            debits,
            abi.encodeWithSelector(PaymentVault.InvalidSignature.selector, vault.hashLimit(limit), alice)
        );
        vm.chainId(chain);
        vault = new PaymentVault(address(token), address(distributor), treasury, owner, PLATFORM_BPS, DELAY);
        depositAs(alice, DEPOSIT);
        postReverts(
            debits,
            abi.encodeWithSelector(PaymentVault.InvalidSignature.selector, vault.hashLimit(limit), alice)
        );
    }

    function test_a_limit_ends_after_its_last_second() public {
        SpendingLimit memory limit = limitOf(alice, 50 ether);
        Debit[] memory debits = only(signed(limit, ALICE_KEY, 1 ether));
        vm.warp(limit.expiry);
        post(RECEIPTS_1, debits, 0);
        vm.warp(limit.expiry + 1);
        bytes32 hash = vault.hashLimit(limit);
        postReverts(debits, abi.encodeWithSelector(PaymentVault.LimitExpired.selector, hash, limit.expiry));
    }

    function test_a_cancelled_nonce_ends_its_limits() public {
        Debit[] memory debits = only(signed(limitOf(alice, 50 ether), ALICE_KEY, 1 ether));
        uint64 next = vault.seq() + 1;
        vm.expectEmit(address(vault));
        emit PaymentVault.LimitCancelled(alice, 1, next);
        vm.prank(alice);
        vault.cancelLimit(1);
        vm.assertTrue(vault.isCancelled(alice, 1), "cancelled");
        postReverts(debits, abi.encodeWithSelector(PaymentVault.LimitIsCancelled.selector, alice, 1));
        expectError(abi.encodeWithSelector(PaymentVault.LimitIsCancelled.selector, alice, 1));
        vm.prank(alice);
        vault.cancelLimit(1);
        // Another payer's limits of that nonce stand, and so does the payer's next one.
        post(RECEIPTS_1, only(signed(limitOf(bob, 50 ether), BOB_KEY, 1 ether)), 0);
        SpendingLimit memory fresh = limitOf(alice, 50 ether);
        fresh.nonce = 2;
        post(RECEIPTS_2, only(signed(fresh, ALICE_KEY, 1 ether)), 0);
    }

    function testFuzz_a_limit_is_never_overspent(uint256[4] memory amounts) public {
        SpendingLimit memory limit = limitOf(alice, 50 ether);
        bytes32 hash = vault.hashLimit(limit);
        uint256 spent = 0;
        for (uint256 i = 0; i < 4; ++i) {
            uint256 amount = bound(amounts[i], 0, 40 ether);
            Debit[] memory debits = only(signed(limit, ALICE_KEY, amount));
            if (spent + amount > 50 ether) {
                postReverts(
                    debits,
                    abi.encodeWithSelector(
                        PaymentVault.LimitExceeded.selector, hash, 50 ether, spent + amount
                    )
                );
            } else {
                post(RECEIPTS_1, debits, 0);
                spent += amount;
            }
            vm.assertEq(vault.spent(hash), spent, "spent");
        }
    }

    function test_one_limit_twice_in_a_batch_counts_twice() public {
        SpendingLimit memory limit = limitOf(alice, 50 ether);
        Debit[] memory debits = new Debit[](2);
        debits[0] = signed(limit, ALICE_KEY, 30 ether);
        debits[1] = signed(limit, ALICE_KEY, 21 ether);
        bytes32 hash = vault.hashLimit(limit);
        postReverts(
            debits, abi.encodeWithSelector(PaymentVault.LimitExceeded.selector, hash, 50 ether, 51 ether)
        );
        debits[1].amount = 20 ether;
        post(RECEIPTS_1, debits, 0);
        vm.assertEq(vault.spent(hash), 50 ether, "both");
    }

    function test_one_payer_without_money_stops_the_whole_batch() public {
        Debit[] memory debits = new Debit[](2);
        debits[0] = signed(limitOf(bob, DEPOSIT), BOB_KEY, 1 ether);
        debits[1] = signed(limitOf(alice, 2 * DEPOSIT), ALICE_KEY, DEPOSIT + 1);
        postReverts(
            debits,
            abi.encodeWithSelector(PaymentVault.InsufficientBalance.selector, alice, DEPOSIT, DEPOSIT + 1)
        );
        vm.assertEq(vault.balanceOf(bob), DEPOSIT, "all or nothing");
        vm.assertEq(vault.batchCount(), 0, "no batch");
    }

    function test_a_contract_pays_by_erc1271_and_can_revoke() public {
        SmartWallet wallet = new SmartWallet(alice);
        token.mint(address(this), 10 ether);
        token.approve(address(vault), 10 ether);
        vault.depositFor(address(wallet), 10 ether);
        SpendingLimit memory limit = limitOf(address(wallet), 10 ether);
        Debit[] memory debits = only(signed(limit, ALICE_KEY, 1 ether));
        post(RECEIPTS_1, debits, 0);
        vm.assertEq(vault.balanceOf(address(wallet)), 9 ether, "paid");

        wallet.setKey(bob);
        bytes32 hash = vault.hashLimit(limit);
        postReverts(
            debits, abi.encodeWithSelector(PaymentVault.InvalidSignature.selector, hash, address(wallet))
        );
    }

    function testFuzz_junk_is_no_signature(bytes memory signature) public {
        SpendingLimit memory limit = limitOf(alice, 50 ether);
        bytes32 hash = vault.hashLimit(limit);
        postReverts(
            only(Debit(limit, signature, 1 ether)),
            abi.encodeWithSelector(PaymentVault.InvalidSignature.selector, hash, alice)
        );
    }

    function test_an_operator_shuts_other_spenders_out() public {
        Debit[] memory debits = only(signed(limitOf(alice, 50 ether), ALICE_KEY, 1 ether));
        uint64 next = vault.seq() + 1;
        vm.expectEmit(address(vault));
        emit PaymentVault.OperatorSet(stranger, next);
        vm.prank(owner);
        vault.setOperator(stranger);
        postReverts(debits, abi.encodeWithSelector(PaymentVault.NotOperator.selector, spender));
        vm.prank(owner);
        vault.setOperator(spender);
        post(RECEIPTS_1, debits, 0);
    }

    function test_while_stopped_nobody_is_debited() public {
        Debit[] memory debits = only(signed(limitOf(alice, 50 ether), ALICE_KEY, 1 ether));
        vm.prank(owner);
        vault.pause();
        postReverts(debits, abi.encodeWithSelector(Pausable.EnforcedPause.selector));
        vm.prank(owner);
        vault.unpause();
        post(RECEIPTS_1, debits, 0);
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
