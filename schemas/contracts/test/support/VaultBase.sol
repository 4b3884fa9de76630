// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {FeeSchedule} from "../../src/FeeSchedules.sol";
import {OpenToken} from "../../src/OpenToken.sol";
import {PaymentVault} from "../../src/PaymentVault.sol";
import {RewardDistributor} from "../../src/RewardDistributor.sol";
import {Debit, ShortReason, SpendingLimit} from "../../src/SpendingLimits.sol";
import {TestBase} from "./TestBase.sol";

/// @notice A vault, its distributor and payers who can sign.
abstract contract VaultBase is TestBase {
    uint64 internal constant DELAY = 1 days;
    uint64 internal constant NOTICE = 3 days;
    uint256 internal constant DEPOSIT = 100 ether;
    uint256 internal constant ALICE_KEY = 0xA11CE;
    uint256 internal constant BOB_KEY = 0xB0B;
    bytes32 internal constant RECEIPTS_1 = keccak256("receipts 1");
    bytes32 internal constant RECEIPTS_2 = keccak256("receipts 2");

    OpenToken internal token;
    RewardDistributor internal distributor;
    PaymentVault internal vault;
    address internal owner = account("owner");
    address internal treasury = account("treasury");
    address internal stakers = account("stakers");
    address internal spender = account("spender");
    address internal stranger = account("stranger");
    address internal alice = vm.addr(ALICE_KEY);
    address internal bob = vm.addr(BOB_KEY);

    function setUp() public virtual {
        vm.warp(START);
        token = new OpenToken(address(this));
        distributor = poolOf(address(token));
        vault = vaultOf(address(token), address(distributor));
        depositAs(alice, DEPOSIT);
        depositAs(bob, DEPOSIT);
    }

    /// @dev Platform 15 %, models 10 %, stakers 5 %, data 70 %.
    function schedule() internal view returns (FeeSchedule memory) {
        return FeeSchedule(1_500, 1_000, 500, 7_000, stakers);
    }

    function poolOf(address asset) internal returns (RewardDistributor) {
        return new RewardDistributor(asset, owner, owner, 1 days, 0, treasury);
    }

    function vaultOf(address asset, address pool) internal returns (PaymentVault) {
        return new PaymentVault(asset, pool, treasury, owner, spender, schedule(), DELAY, NOTICE);
    }

    function depositAs(address payer, uint256 amount) internal {
        token.mint(payer, amount);
        vm.startPrank(payer);
        token.approve(address(vault), amount);
        vault.deposit(amount);
        vm.stopPrank();
    }

    function limitOf(address payer, uint256 maxAmount) internal view returns (SpendingLimit memory) {
        return SpendingLimit(payer, spender, maxAmount, uint64(START + 30 days), 1);
    }

    function signed(SpendingLimit memory limit, uint256 key, uint256 amount)
        internal
        view
        returns (Debit memory)
    {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, vault.hashLimit(limit));
        return Debit(limit, abi.encodePacked(r, s, v), amount, type(uint256).max, type(uint256).max);
    }

    function only(Debit memory debit) internal pure returns (Debit[] memory debits) {
        debits = new Debit[](1);
        debits[0] = debit;
    }

    function two(Debit memory first, Debit memory second) internal pure returns (Debit[] memory debits) {
        debits = new Debit[](2);
        (debits[0], debits[1]) = (first, second);
    }

    /// @dev The only part of an epoch.
    function whole(uint64 epoch, bytes32 receiptsRoot) internal pure returns (PaymentVault.Batch memory) {
        return PaymentVault.Batch(epoch, 1, true, receiptsRoot);
    }

    function last() internal view returns (PaymentVault.Batch memory batch) {
        (batch.epoch, batch.part, batch.isLast, batch.receiptsRoot) = vault.lastBatch();
    }

    /// @dev Posts the next epoch in one part as the operator.
    function post(Debit[] memory debits) internal {
        uint64 next = last().epoch + 1;
        PaymentVault.Batch memory batch = whole(next, keccak256(abi.encode("receipts", next)));
        bytes32 prev = last().receiptsRoot;
        vm.prank(spender);
        vault.debitBatch(batch, prev, debits);
    }

    /// @dev Posts the next batch as the operator and expects this error.
    function postReverts(Debit[] memory debits, bytes memory revertData) internal {
        PaymentVault.Batch memory batch = whole(last().epoch + 1, RECEIPTS_1);
        bytes32 prev = last().receiptsRoot;
        vm.prank(spender);
        vm.expectRevert(revertData);
        vault.debitBatch(batch, prev, debits);
    }

    /// @dev Posts one debit, which must be short by this much for this reason.
    function postShort(Debit memory debit, uint256 taken, ShortReason reason) internal {
        address payer = debit.limit.payer;
        uint256 balance = vault.balanceOf(payer);
        bytes32 hash = vault.hashLimit(debit.limit);
        uint256 spent = vault.spent(hash);
        uint256 held = token.balanceOf(address(vault));
        uint64 next = last().epoch + 1;
        uint64 seq = vault.seq();
        if (taken != 0) {
            (uint256 data, uint256 model) = (taken * 7 / 10, taken / 10);
            vm.expectEmit(address(vault));
            emit PaymentVault.Debited(payer, next, hash, 1, taken, data, model, ++seq);
        }
        vm.expectEmit(address(vault));
        emit PaymentVault.DebitShort(payer, next, hash, 1, debit.amount, taken, reason, seq + 1);
        post(only(debit));
        vm.assertEq(vault.seq(), seq + 2, "a short debit and the batch");
        vm.assertEq(last().epoch, next, "the batch went on");
        vm.assertEq(vault.balanceOf(payer), balance - taken, "payer");
        vm.assertEq(vault.spent(hash), spent + taken, "spent");
        vm.assertEq(token.balanceOf(address(vault)), held - taken, "vault");
    }
}
