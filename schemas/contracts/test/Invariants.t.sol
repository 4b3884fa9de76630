// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {OpenToken} from "../src/OpenToken.sol";
import {PaymentVault} from "../src/PaymentVault.sol";
import {RewardDistributor} from "../src/RewardDistributor.sol";
import {Journey} from "./support/Journey.sol";
import {TestBase} from "./support/TestBase.sol";

/// @notice What holds after any order of deposits, debits, withdrawals, settlements, disputes and claims.
contract InvariantsTest is TestBase {
    Journey private journey;
    OpenToken private token;
    PaymentVault private vault;
    RewardDistributor private distributor;

    function setUp() public {
        vm.warp(START);
        journey = new Journey();
        (token, vault, distributor) = (journey.token(), journey.vault(), journey.distributor());
    }

    /// @dev Read by forge: the contract whose functions it calls at random.
    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(journey);
    }

    function invariant_paid_is_at_most_entitled_and_entitled_at_most_funded() public view {
        vm.assertLe(distributor.totalClaimed(), distributor.totalCumulative(), "paid, entitled");
        vm.assertLe(distributor.totalCumulative(), distributor.totalFunded(), "entitled, funded");
        uint256 paid = 0;
        for (uint256 i = 0; i < journey.EARNERS(); ++i) {
            address earner = journey.earner(i);
            uint256 received = token.balanceOf(earner);
            vm.assertEq(received, distributor.claimed(earner), "received what is recorded");
            vm.assertLe(received, journey.entitled(i), "never more than its leaf");
            paid += received;
        }
        vm.assertEq(paid, distributor.totalClaimed(), "sum of payments");
    }

    function invariant_no_wei_appears_or_vanishes() public view {
        uint256 held = 0;
        uint256 withdrawn = 0;
        for (uint256 i = 0; i < journey.PAYERS(); ++i) {
            held += vault.balanceOf(journey.payer(i));
            withdrawn += token.balanceOf(journey.payer(i));
        }
        vm.assertEq(token.balanceOf(address(vault)), held, "the vault holds its payers' balances");
        vm.assertEq(
            token.balanceOf(address(distributor)),
            distributor.totalFunded() - distributor.totalClaimed() + distributor.bondsHeld(),
            "the distributor holds what it was given less what it paid, and the bonds"
        );
        vm.assertEq(distributor.bondsHeld(), journey.bondsTaken() - journey.bondsPaid(), "bonds held");
        vm.assertEq(
            journey.deposited(),
            held + withdrawn + token.balanceOf(journey.TREASURY()) + token.balanceOf(journey.STAKERS())
                + distributor.totalFunded(),
            "deposits = balances + withdrawals + platform + stakers + pools"
        );
        vm.assertEq(
            token.balanceOf(journey.STAKERS()), journey.stakersPart(), "stakers get exactly their part"
        );
        vm.assertLe(
            journey.platformLeast(), token.balanceOf(journey.TREASURY()), "the platform at least its part"
        );
    }

    function invariant_no_limit_is_overspent() public view {
        for (uint256 i = 0; i < journey.PAYERS(); ++i) {
            bytes32 hash = vault.hashLimit(journey.limit(i));
            vm.assertLe(vault.spent(hash), journey.LIMIT(), "spent");
            vm.assertEq(vault.spent(hash), journey.debited(i), "spent is what was debited");
        }
    }

    function invariant_events_are_numbered_without_a_gap() public view {
        vm.assertEq(vault.seq(), journey.vaultEvents(), "vault");
        vm.assertEq(distributor.seq(), journey.distributorEvents(), "distributor");
    }

    /// @dev Guards the others against a run in which nothing happened: each action is reachable.
    function test_the_journey_reaches_a_claim() public {
        journey.deposit(0, 50 ether);
        journey.debit(0, 10 ether, type(uint256).max, type(uint256).max, 1);
        journey.propose(7);
        journey.accept();
        journey.claim(0);
        vm.assertTrue(distributor.totalClaimed() > 0, "something was paid");
        vm.assertTrue(token.balanceOf(journey.TREASURY()) > 0, "the platform too");
        journey.requestWithdrawal(0, 5 ether);
        journey.withdraw(0);
        vm.assertTrue(token.balanceOf(journey.payer(0)) > 0, "and a withdrawal");
        journey.debit(0, 149 ether, 0, 0, 1);
        vm.assertEq(vault.balanceOf(journey.payer(0)), 0, "a debit that came short");
        journey.propose(7);
        journey.dispute();
        journey.resolve(true);
        journey.withdrawBond(true);
        vm.assertTrue(journey.bondsPaid() > 0, "a bond that came back");
        journey.changeFees(1, 2, 3);
        journey.cancel(0, 0);
        vm.assertTrue(vault.cancelledFrom(journey.payer(0), 1) > 0, "a cancelled limit");
    }
}
