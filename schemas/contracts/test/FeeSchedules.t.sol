// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

import {FeeSchedule, FeeSchedules} from "../src/FeeSchedules.sol";
import {PaymentVault} from "../src/PaymentVault.sol";
import {VaultBase} from "./support/VaultBase.sol";

/// @notice How a fee schedule comes into force: announced, and not before payers could leave.
contract FeeSchedulesTest is VaultBase {
    function other() private pure returns (FeeSchedule memory) {
        return FeeSchedule(9_000, 0, 0, 1_000, address(0));
    }

    function assertSchedule(FeeSchedule memory found, FeeSchedule memory expected) private pure {
        vm.assertEq(keccak256(abi.encode(found)), keccak256(abi.encode(expected)), "schedule");
    }

    function test_the_first_schedule_is_in_force_at_once() public {
        assertSchedule(vault.fees(), schedule());
        vm.expectEmit();
        emit FeeSchedules.FeesActivated(1_500, 1_000, 500, 7_000, stakers, 1);
        PaymentVault fresh = vaultOf(address(token), address(distributor));
        vm.assertEq(fresh.seq(), 2, "schedule and operator");
        (, uint64 activatableAt) = fresh.proposedFees();
        vm.assertEq(activatableAt, 0, "nothing proposed");
    }

    function test_a_schedule_is_announced_and_then_activated_by_anybody() public {
        uint64 due = uint64(START) + NOTICE;
        uint64 seq = vault.seq();
        vm.expectEmit(address(vault));
        emit FeeSchedules.FeesProposed(9_000, 0, 0, 1_000, address(0), due, seq + 1);
        vm.prank(owner);
        vault.proposeFees(other());
        (FeeSchedule memory proposed, uint64 activatableAt) = vault.proposedFees();
        assertSchedule(proposed, other());
        vm.assertEq(activatableAt, due, "when");
        assertSchedule(vault.fees(), schedule());

        vm.warp(due - 1);
        expectError(abi.encodeWithSelector(FeeSchedules.FeeNoticeNotOver.selector, due));
        vault.activateFees();
        vm.warp(due);
        vm.expectEmit(address(vault));
        emit FeeSchedules.FeesActivated(9_000, 0, 0, 1_000, address(0), seq + 2);
        vm.prank(stranger);
        vault.activateFees();
        assertSchedule(vault.fees(), other());
        (, activatableAt) = vault.proposedFees();
        vm.assertEq(activatableAt, 0, "nothing proposed");
        expectError(abi.encodeWithSelector(FeeSchedules.NoFeesProposed.selector));
        vault.activateFees();
    }

    function test_a_payer_who_disagrees_leaves_before() public {
        vm.prank(owner);
        vault.proposeFees(other());
        vm.warp(START + NOTICE - DELAY);
        vm.prank(alice);
        vault.requestWithdrawal(DEPOSIT);
        vm.warp(START + NOTICE);
        vm.prank(alice);
        vault.withdraw();
        vm.assertEq(token.balanceOf(alice), DEPOSIT, "gone");
    }

    function test_a_second_proposal_starts_the_notice_again() public {
        vm.startPrank(owner);
        vault.proposeFees(other());
        vm.warp(START + NOTICE - 1);
        FeeSchedule memory second = FeeSchedule(10_000, 0, 0, 0, address(0));
        vault.proposeFees(second);
        vm.stopPrank();
        uint64 due = uint64(START) + 2 * NOTICE - 1;
        vm.warp(due - 1);
        expectError(abi.encodeWithSelector(FeeSchedules.FeeNoticeNotOver.selector, due));
        vault.activateFees();
        vm.warp(due);
        vault.activateFees();
        assertSchedule(vault.fees(), second);
    }

    function test_only_the_owner_proposes() public {
        expectError(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, spender));
        vm.prank(spender);
        vault.proposeFees(other());
    }

    function testFuzz_parts_sum_to_the_whole(uint16 platform, uint16 model, uint16 staked, uint16 data)
        public
    {
        FeeSchedule memory fees = FeeSchedule(platform, model, staked, data, stakers);
        uint256 sum = uint256(platform) + model + staked + data;
        if (sum != 10_000) expectError(abi.encodeWithSelector(FeeSchedules.FeesDoNotSum.selector, sum));
        vm.prank(owner);
        vault.proposeFees(fees);
    }

    function test_stakers_with_a_part_have_a_pool() public {
        expectError(abi.encodeWithSelector(FeeSchedules.StakersPoolMissing.selector));
        vm.prank(owner);
        vault.proposeFees(FeeSchedule(9_998, 0, 1, 1, address(0)));
    }

    function test_deployment_refuses_what_cannot_work() public {
        FeeSchedule memory fees = schedule();
        fees.dataBps += 1;
        expectError(abi.encodeWithSelector(FeeSchedules.FeesDoNotSum.selector, 10_001));
        new PaymentVault(address(token), address(distributor), treasury, owner, spender, fees, 0, 0);
        expectError(abi.encodeWithSelector(FeeSchedules.FeeNoticeTooLong.selector, uint64(90 days + 1)));
        new PaymentVault(
            address(token), address(distributor), treasury, owner, spender, schedule(), 0, 90 days + 1
        );
        new PaymentVault(
            address(token), address(distributor), treasury, owner, spender, schedule(), 0, 90 days
        );
    }
}
