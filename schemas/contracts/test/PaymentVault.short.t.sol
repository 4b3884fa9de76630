// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BoundedSignatures} from "../src/BoundedSignatures.sol";
import {PayerBalances} from "../src/PayerBalances.sol";
import {PaymentVault} from "../src/PaymentVault.sol";
import {Debit, ShortReason, SpendingLimit} from "../src/SpendingLimits.sol";
import {HostileWallet} from "./support/HostileWallet.sol";
import {SmartWallet} from "./support/SmartWallet.sol";
import {VaultBase} from "./support/VaultBase.sol";

/// @notice What a payer can do to its debit: make it short, never more than it signed, and stall nobody.
contract PaymentVaultShortTest is VaultBase {
    function walletWith(address wallet) private returns (address) {
        token.mint(address(this), DEPOSIT);
        token.approve(address(vault), DEPOSIT);
        vault.depositFor(wallet, DEPOSIT);
        return wallet;
    }

    function test_a_limit_ends_after_its_last_second() public {
        SpendingLimit memory limit = limitOf(alice, 50 ether);
        vm.warp(limit.expiry);
        post(only(signed(limit, ALICE_KEY, 1 ether)));
        vm.assertEq(vault.balanceOf(alice), 99 ether, "the last second counts");
        vm.warp(limit.expiry + 1);
        postShort(signed(limit, ALICE_KEY, 1 ether), 0, ShortReason.LimitExpired);
    }

    function test_a_cancelled_limit_ends_after_the_delay() public {
        Debit memory debit = signed(limitOf(alice, 50 ether), ALICE_KEY, 1 ether);
        uint64 from = uint64(START) + DELAY;
        uint64 next = vault.seq() + 1;
        vm.expectEmit(address(vault));
        emit PayerBalances.LimitCancelled(alice, 1, from, next);
        vm.prank(alice);
        vault.cancelLimit(1);
        vm.assertEq(vault.cancelledFrom(alice, 1), from, "readable");
        vm.assertEq(vault.cancelledFrom(alice, 2), 0, "another nonce stands");
        vm.warp(from - 1);
        post(only(debit));
        vm.assertEq(vault.balanceOf(alice), 99 ether, "debits reach it until then");
        vm.warp(from);
        postShort(debit, 0, ShortReason.LimitCancelled);

        expectError(abi.encodeWithSelector(PayerBalances.LimitIsCancelled.selector, alice, 1));
        vm.prank(alice);
        vault.cancelLimit(1);
        // Another payer's limits of that nonce stand, and so does the payer's next one.
        SpendingLimit memory fresh = limitOf(alice, 50 ether);
        fresh.nonce = 2;
        post(two(signed(limitOf(bob, 50 ether), BOB_KEY, 1 ether), signed(fresh, ALICE_KEY, 1 ether)));
        vm.assertEq(vault.balanceOf(bob), 99 ether, "bob");
        vm.assertEq(vault.balanceOf(alice), 98 ether, "alice");
    }

    function test_cancelling_works_while_stopped() public {
        vm.prank(owner);
        vault.pause();
        vm.prank(alice);
        vault.cancelLimit(1);
        vm.assertEq(vault.cancelledFrom(alice, 1), START + DELAY, "cancelled");
    }

    function test_a_balance_too_small_gives_what_there_is() public {
        postShort(
            signed(limitOf(alice, 2 * DEPOSIT), ALICE_KEY, DEPOSIT + 1), DEPOSIT, ShortReason.BalanceTooSmall
        );
        postShort(signed(limitOf(alice, 2 * DEPOSIT), ALICE_KEY, 1), 0, ShortReason.BalanceTooSmall);
        post(only(signed(limitOf(bob, DEPOSIT), BOB_KEY, DEPOSIT)));
        vm.assertEq(vault.balanceOf(bob), 0, "exactly the balance is enough");
    }

    function test_a_limit_gives_what_room_it_has() public {
        SpendingLimit memory limit = limitOf(alice, 50 ether);
        post(only(signed(limit, ALICE_KEY, 49 ether)));
        postShort(signed(limit, ALICE_KEY, 1 ether + 1), 1 ether, ShortReason.LimitExhausted);
        postShort(signed(limit, ALICE_KEY, 1), 0, ShortReason.LimitExhausted);
    }

    function testFuzz_a_limit_is_never_overspent(uint256[4] memory amounts, uint256 most) public {
        SpendingLimit memory limit = limitOf(alice, bound(most, 0, 2 * DEPOSIT));
        uint256 expected = 0;
        for (uint256 i = 0; i < 4; ++i) {
            uint256 amount = bound(amounts[i], 1, DEPOSIT);
            expected += amount;
            post(only(signed(limit, ALICE_KEY, amount)));
            if (expected > limit.maxAmount) expected = limit.maxAmount;
            if (expected > DEPOSIT) expected = DEPOSIT;
            vm.assertEq(vault.spent(vault.hashLimit(limit)), expected, "spent");
            vm.assertEq(vault.balanceOf(alice), DEPOSIT - expected, "balance");
        }
    }

    function test_a_bad_payer_stops_nobody() public {
        Debit[] memory debits = new Debit[](4);
        debits[0] = signed(limitOf(alice, 50 ether), BOB_KEY, 10 ether);
        debits[1] = signed(limitOf(bob, 50 ether), BOB_KEY, 10 ether);
        debits[2] = signed(limitOf(account("nobody"), 50 ether), ALICE_KEY, 10 ether);
        debits[3] = signed(limitOf(bob, 15 ether), BOB_KEY, 20 ether);
        bytes32[] memory hashes = new bytes32[](4);
        for (uint256 i = 0; i < 4; ++i) {
            hashes[i] = vault.hashLimit(debits[i].limit);
            debits[i].modelPart = 0;
        }
        uint64 seq = vault.seq();
        vm.expectEmit(address(vault));
        emit PaymentVault.DebitShort(
            alice, 1, hashes[0], 1, 10 ether, 0, ShortReason.SignatureInvalid, seq + 1
        );
        vm.expectEmit(address(vault));
        emit PaymentVault.Debited(bob, 1, hashes[1], 1, 10 ether, 7 ether, 0, seq + 2);
        vm.expectEmit(address(vault));
        emit PaymentVault.DebitShort(
            account("nobody"), 1, hashes[2], 1, 10 ether, 0, ShortReason.BalanceTooSmall, seq + 3
        );
        vm.expectEmit(address(vault));
        emit PaymentVault.Debited(bob, 1, hashes[3], 1, 15 ether, 10.5 ether, 0, seq + 4);
        vm.expectEmit(address(vault));
        emit PaymentVault.DebitShort(
            bob, 1, hashes[3], 1, 20 ether, 15 ether, ShortReason.LimitExhausted, seq + 5
        );
        vm.expectEmit(address(vault));
        emit PaymentVault.BatchDebited(
            1, 1, RECEIPTS_1, true, 0, 50 ether, 25 ether, 17.5 ether, 0, 1.25 ether, 6.25 ether, seq + 6
        );
        vm.prank(spender);
        vault.debitBatch(whole(1, RECEIPTS_1), 0, debits);
        vm.assertEq(vault.balanceOf(alice), DEPOSIT, "whom nobody signed for keeps all");
        vm.assertEq(distributor.totalFunded(), 17.5 ether, "the data part of what was collected");
    }

    function test_what_a_payer_leaves_of_its_parts_is_not_for_the_next_one() public {
        Debit memory unsigned = signed(limitOf(alice, 50 ether), BOB_KEY, 10 ether);
        Debit memory paid = signed(limitOf(bob, 50 ether), BOB_KEY, 10 ether);
        (unsigned.dataPart, unsigned.modelPart) = (7 ether, 2 ether);
        (paid.dataPart, paid.modelPart) = (1 ether, 0);
        post(two(unsigned, paid));
        vm.assertEq(distributor.totalFunded(), 1 ether, "the parts of what was collected, and no others");
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
        postShort(debit, 0, ShortReason.SignatureInvalid);
    }

    function testFuzz_junk_is_no_signature(bytes memory signature) public {
        postShort(Debit(limitOf(alice, 50 ether), signature, 1 ether, 0, 0), 0, ShortReason.SignatureInvalid);
    }

    function test_a_signature_is_no_good_on_another_chain_or_vault() public {
        Debit memory debit = signed(limitOf(alice, 50 ether), ALICE_KEY, 1 ether);
        uint256 chain = block.chainid;
        vm.chainId(chain + 1);
        postShort(debit, 0, ShortReason.SignatureInvalid);
        vm.chainId(chain);
        vault = vaultOf(address(token), address(distributor));
        depositAs(alice, DEPOSIT);
        postShort(debit, 0, ShortReason.SignatureInvalid);
    }

    function test_the_zero_address_signs_nothing() public {
        SpendingLimit memory limit = limitOf(address(0), 50 ether);
        // No balance can be there; the check itself is what is asked.
        postShort(Debit(limit, new bytes(65), 1, 0, 0), 0, ShortReason.BalanceTooSmall);
    }

    function test_a_contract_pays_by_erc1271_and_can_revoke() public {
        SmartWallet wallet = new SmartWallet(alice);
        SpendingLimit memory limit = limitOf(walletWith(address(wallet)), 10 ether);
        Debit memory debit = signed(limit, ALICE_KEY, 1 ether);
        post(only(debit));
        vm.assertEq(vault.balanceOf(address(wallet)), 99 ether, "paid");
        wallet.setKey(bob);
        postShort(debit, 0, ShortReason.SignatureInvalid);
    }

    function test_hostile_wallets_cost_a_bounded_amount_of_gas() public {
        for (uint256 i = 0; i <= uint256(type(HostileWallet.Mood).max); ++i) {
            HostileWallet wallet = new HostileWallet(HostileWallet.Mood(i));
            SpendingLimit memory limit = limitOf(walletWith(address(wallet)), 10 ether);
            uint256 before = gasleft();
            postShort(Debit(limit, "", 1 ether, 0, 0), 0, ShortReason.SignatureInvalid);
            vm.assertLe(before - gasleft(), 700_000, "gas");
        }
    }

    function test_an_account_with_code_still_pays_by_its_key() public {
        Debit memory debit = signed(limitOf(alice, 50 ether), ALICE_KEY, 1 ether);
        vm.etch(alice, address(new HostileWallet(HostileWallet.Mood.Refuses)).code);
        post(only(debit));
        vm.assertEq(vault.balanceOf(alice), 99 ether, "code changes nothing");
    }

    function test_a_wallet_is_not_short_for_want_of_gas() public {
        SmartWallet wallet = new SmartWallet(alice);
        Debit[] memory debits =
            only(signed(limitOf(walletWith(address(wallet)), 10 ether), ALICE_KEY, 1 ether));
        bytes memory call = abi.encodeCall(vault.debitBatch, (whole(1, RECEIPTS_1), 0, debits));
        for (uint256 gasLimit = 100_000; gasLimit < 700_000; gasLimit += 20_000) {
            vm.prank(spender);
            (bool ok, bytes memory result) = address(vault).call{gas: gasLimit}(call);
            if (ok) {
                vm.assertEq(vault.balanceOf(address(wallet)), 99 ether, "with enough gas it is taken");
                return;
            }
            bytes4 reason = result.length == 0 ? bytes4(0) : bytes4(result);
            vm.assertTrue(
                reason == 0 || reason == BoundedSignatures.GasTooLow.selector, "too little gas, or out of it"
            );
        }
        vm.assertTrue(false, "it never went through");
    }
}
