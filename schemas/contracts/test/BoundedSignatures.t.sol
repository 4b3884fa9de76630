// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BoundedSignatures} from "../src/BoundedSignatures.sol";
import {HostileWallet} from "./support/HostileWallet.sol";
import {TestBase} from "./support/TestBase.sol";

/// @notice Agrees, after spending nearly all that a check may cost.
contract SlowWallet {
    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        uint256 start = gasleft();
        while (start - gasleft() < 250_000) {}
        return this.isValidSignature.selector;
    }
}

/// @notice The check by itself, with no contract around it that could hide what it does.
contract BoundedSignaturesTest is TestBase {
    /// @dev Called from outside, so that its gas can be chosen.
    function check(address signer) external view returns (bool) {
        return BoundedSignatures.isValid(signer, keccak256("digest"), msg.data[0:0]);
    }

    function test_a_wallet_is_given_its_due_or_the_call_reverts() public {
        address wallet = address(new SlowWallet());
        vm.assertTrue(this.check(wallet), "with all the gas there is");
        uint256 refused = 0;
        for (uint256 gasLimit = 30_000; gasLimit < 400_000; gasLimit += 5_000) {
            (bool ok, bytes memory result) =
                address(this).staticcall{gas: gasLimit}(abi.encodeCall(this.check, (wallet)));
            if (ok) {
                vm.assertTrue(abi.decode(result, (bool)), "never refused for want of gas");
            } else {
                vm.assertEq(
                    bytes32(bytes4(result)),
                    bytes32(BoundedSignatures.GasTooLow.selector),
                    "says what it lacks"
                );
                ++refused;
            }
        }
        vm.assertTrue(refused > 40 && refused < 70, "both were seen");
    }

    function test_whatever_a_wallet_does_it_has_not_signed() public {
        for (uint256 i = 0; i <= uint256(type(HostileWallet.Mood).max); ++i) {
            address wallet = address(new HostileWallet(HostileWallet.Mood(i)));
            uint256 before = gasleft();
            vm.assertTrue(!this.check(wallet), "not signed");
            vm.assertLe(before - gasleft(), 320_000, "gas");
        }
    }

    function test_an_account_without_code_and_signature_has_not_signed() public view {
        vm.assertTrue(!this.check(account("nobody")), "nobody");
        vm.assertTrue(!this.check(address(0)), "zero");
    }
}
