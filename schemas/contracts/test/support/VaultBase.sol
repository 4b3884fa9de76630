// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {OpenToken} from "../../src/OpenToken.sol";
import {PaymentVault} from "../../src/PaymentVault.sol";
import {RewardDistributor} from "../../src/RewardDistributor.sol";
import {Debit, SpendingLimit} from "../../src/SpendingLimits.sol";
import {TestBase} from "./TestBase.sol";

/// @notice A vault, its distributor and payers who can sign.
abstract contract VaultBase is TestBase {
    uint16 internal constant PLATFORM_BPS = 2_000;
    uint64 internal constant DELAY = 1 days;
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
    address internal spender = account("spender");
    address internal stranger = account("stranger");
    address internal alice = vm.addr(ALICE_KEY);
    address internal bob = vm.addr(BOB_KEY);

    function setUp() public virtual {
        vm.warp(START);
        token = new OpenToken(address(this));
        distributor = new RewardDistributor(address(token), owner, owner, 1 days);
        vault = new PaymentVault(address(token), address(distributor), treasury, owner, PLATFORM_BPS, DELAY);
        depositAs(alice, DEPOSIT);
        depositAs(bob, DEPOSIT);
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
        return Debit(limit, abi.encodePacked(r, s, v), amount);
    }

    function only(Debit memory debit) internal pure returns (Debit[] memory debits) {
        debits = new Debit[](1);
        debits[0] = debit;
    }

    /// @dev Posts the next batch as the spender.
    function post(bytes32 receiptsRoot, Debit[] memory debits, uint256 dataPool) internal {
        uint64 next = vault.batchCount() + 1;
        bytes32 prev = vault.lastBatchRoot();
        vm.prank(spender);
        vault.debitBatch(next, receiptsRoot, prev, debits, dataPool);
    }

    /// @dev Posts the next batch as the spender and expects this error.
    function postReverts(Debit[] memory debits, bytes memory revertData) internal {
        uint64 next = vault.batchCount() + 1;
        bytes32 prev = vault.lastBatchRoot();
        vm.prank(spender);
        vm.expectRevert(revertData);
        vault.debitBatch(next, RECEIPTS_1, prev, debits, 0);
    }
}
