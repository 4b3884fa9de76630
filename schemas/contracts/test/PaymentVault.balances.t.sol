// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {ExactTransfer} from "../src/ExactTransfer.sol";
import {OpenToken} from "../src/OpenToken.sol";
import {PayerBalances} from "../src/PayerBalances.sol";
import {PaymentVault} from "../src/PaymentVault.sol";
import {Stoppable} from "../src/Stoppable.sol";
import {CallbackToken, FeeToken} from "./support/Tokens.sol";
import {VaultBase} from "./support/VaultBase.sol";

/// @notice Money in, and money back to its payer.
contract PaymentVaultBalancesTest is VaultBase {
    function testFuzz_a_deposit_credits_its_payer(uint96 amount) public {
        if (amount == 0) return;
        token.mint(stranger, amount);
        vm.startPrank(stranger);
        token.approve(address(vault), amount);
        uint64 next = vault.seq() + 1;
        vm.expectEmit(address(vault));
        emit PayerBalances.Deposited(alice, stranger, amount, next);
        vault.depositFor(alice, amount);
        vm.stopPrank();
        vm.assertEq(vault.balanceOf(alice), DEPOSIT + amount, "credited");
        vm.assertEq(vault.balanceOf(stranger), 0, "the sender is not");
        vm.assertEq(token.balanceOf(address(vault)), 2 * DEPOSIT + amount, "held");
    }

    function test_a_deposit_needs_an_amount_and_a_payer() public {
        expectError(abi.encodeWithSelector(PayerBalances.ZeroAmount.selector));
        vault.deposit(0);
        expectError(abi.encodeWithSelector(PayerBalances.ZeroAddress.selector));
        vault.depositFor(address(0), 1);
    }

    function test_a_deposit_of_a_token_that_charges_on_transfer_is_refused() public {
        FeeToken fee = new FeeToken();
        vault = vaultOf(address(fee), address(poolOf(address(fee))));
        fee.mint(address(this), 1_000);
        fee.approve(address(vault), 1_000);
        expectError(abi.encodeWithSelector(ExactTransfer.InexactTransfer.selector, 1_000, 990));
        vault.deposit(1_000);
    }

    function test_a_withdrawal_waits_and_pays() public {
        uint64 seq = vault.seq();
        uint64 availableAt = uint64(START) + DELAY;
        vm.expectEmit(address(vault));
        emit PayerBalances.WithdrawalRequested(alice, 40 ether, availableAt, seq + 1);
        vm.startPrank(alice);
        vault.requestWithdrawal(40 ether);
        (uint256 requested, uint64 due) = vault.withdrawalOf(alice);
        vm.assertEq(requested, 40 ether, "requested");
        vm.assertEq(due, availableAt, "available at");

        vm.warp(availableAt - 1);
        expectError(abi.encodeWithSelector(PayerBalances.WithdrawalNotReady.selector, availableAt));
        vault.withdraw();
        vm.warp(availableAt);
        vm.expectEmit(address(vault));
        emit PayerBalances.Withdrawn(alice, 40 ether, seq + 2);
        vault.withdraw();
        vm.assertEq(token.balanceOf(alice), 40 ether, "paid");
        vm.assertEq(vault.balanceOf(alice), 60 ether, "left");

        expectError(abi.encodeWithSelector(PayerBalances.NoWithdrawal.selector, alice));
        vault.withdraw();
        vm.stopPrank();
    }

    function test_a_second_request_replaces_the_first_and_waits_again() public {
        vm.startPrank(alice);
        vault.requestWithdrawal(40 ether);
        vm.warp(START + DELAY);
        vault.requestWithdrawal(10 ether);
        expectError(
            abi.encodeWithSelector(PayerBalances.WithdrawalNotReady.selector, uint64(START) + 2 * DELAY)
        );
        vault.withdraw();
        vm.warp(START + 2 * DELAY);
        vault.withdraw();
        vm.assertEq(token.balanceOf(alice), 10 ether, "the second amount alone");
        vm.stopPrank();
    }

    function test_a_request_needs_an_amount_within_the_balance() public {
        vm.startPrank(alice);
        expectError(abi.encodeWithSelector(PayerBalances.ZeroAmount.selector));
        vault.requestWithdrawal(0);
        expectError(
            abi.encodeWithSelector(PayerBalances.InsufficientBalance.selector, alice, DEPOSIT, DEPOSIT + 1)
        );
        vault.requestWithdrawal(DEPOSIT + 1);
        vm.stopPrank();
    }

    function test_debits_reach_a_balance_that_is_on_its_way_out() public {
        vm.prank(alice);
        vault.requestWithdrawal(DEPOSIT);
        post(only(signed(limitOf(alice, DEPOSIT), ALICE_KEY, 30 ether)));
        vm.warp(START + DELAY);
        vm.prank(alice);
        vault.withdraw();
        vm.assertEq(token.balanceOf(alice), 70 ether, "what was left");
        vm.assertEq(vault.balanceOf(alice), 0, "nothing stays");
    }

    function test_a_request_that_debits_have_emptied_pays_nothing() public {
        vm.prank(alice);
        vault.requestWithdrawal(1 ether);
        post(only(signed(limitOf(alice, DEPOSIT), ALICE_KEY, DEPOSIT)));
        vm.warp(START + DELAY);
        vm.prank(alice);
        expectError(abi.encodeWithSelector(PayerBalances.InsufficientBalance.selector, alice, 0, 1 ether));
        vault.withdraw();
    }

    function test_the_owner_cannot_keep_payers_in() public {
        vm.prank(owner);
        vault.pause();
        vm.startPrank(alice);
        vault.requestWithdrawal(DEPOSIT);
        vm.warp(START + DELAY);
        vault.withdraw();
        vm.stopPrank();
        vm.assertEq(token.balanceOf(alice), DEPOSIT, "all of it");
    }

    function test_a_token_that_calls_back_cannot_withdraw_again() public {
        CallbackToken callback = new CallbackToken();
        vault = vaultOf(address(callback), address(poolOf(address(callback))));
        callback.mint(address(this), 100);
        callback.approve(address(vault), 100);
        vault.deposit(100);
        vault.requestWithdrawal(60);
        vm.warp(START + DELAY);
        callback.arm(address(vault), abi.encodeCall(vault.withdraw, ()));
        vault.withdraw();
        vm.assertEq(
            bytes32(callback.innerRevert()),
            bytes32(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector),
            "inner call"
        );
        vm.assertEq(callback.balanceOf(address(this)), 60, "paid once");
    }

    function test_owner_rights_are_the_owners() public {
        vm.startPrank(stranger);
        bytes memory denied = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, stranger);
        expectError(denied);
        vault.pause();
        expectError(denied);
        vault.unpause();
        expectError(denied);
        vault.setOperator(stranger);
        vm.stopPrank();
        vm.prank(owner);
        expectError(abi.encodeWithSelector(Stoppable.OwnershipIsRequired.selector));
        vault.renounceOwnership();
    }

    function test_deployment_refuses_what_cannot_work() public {
        (address asset, address pool) = (address(token), address(distributor));
        expectError(abi.encodeWithSelector(PayerBalances.ZeroAddress.selector));
        new PaymentVault(address(0), pool, treasury, owner, spender, schedule(), 0, 0);
        expectError(abi.encodeWithSelector(PayerBalances.ZeroAddress.selector));
        new PaymentVault(asset, address(0), treasury, owner, spender, schedule(), 0, 0);
        expectError(abi.encodeWithSelector(PayerBalances.ZeroAddress.selector));
        new PaymentVault(asset, pool, address(0), owner, spender, schedule(), 0, 0);
        expectError(abi.encodeWithSelector(PayerBalances.ZeroAddress.selector));
        new PaymentVault(asset, pool, treasury, owner, address(0), schedule(), 0, 0);
        uint64 longest = 30 days;
        expectError(abi.encodeWithSelector(PayerBalances.WithdrawalDelayTooLong.selector, longest + 1));
        new PaymentVault(asset, pool, treasury, owner, spender, schedule(), longest + 1, longest + 1);
        expectError(abi.encodeWithSelector(PaymentVault.FeeNoticeTooShort.selector, longest - 1, longest));
        new PaymentVault(asset, pool, treasury, owner, spender, schedule(), longest, longest - 1);
        new PaymentVault(asset, pool, treasury, owner, spender, schedule(), longest, longest);
        address other = address(new OpenToken(owner));
        expectError(abi.encodeWithSelector(PaymentVault.TokenMismatch.selector, other, asset));
        new PaymentVault(other, pool, treasury, owner, spender, schedule(), 0, 0);
    }
}
