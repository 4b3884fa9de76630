// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title BoundedSignatures
/// @notice Checks a signature of an account that may be hostile: whatever the account's code does, the check
/// costs a bounded amount of gas, changes no state and does not revert.
/// @dev OpenZeppelin's SignatureChecker forwards all gas, so that one payer's wallet could end a whole batch.
library BoundedSignatures {
    /// @dev What an account's code may spend on one check; multi-signature wallets and verifiers of passkeys
    /// need less.
    uint256 internal constant CHECK_GAS = 300_000;
    /// @dev So that {CHECK_GAS} is really given: a call gets at most 63/64 of what is left, less its own cost.
    uint256 internal constant NEEDED_GAS = CHECK_GAS + CHECK_GAS / 63 + 10_000;

    /// @notice Too little gas is left to give the account's code its due; a signature that fails for want of
    /// gas would count as refused by the account.
    error GasTooLow(uint256 left, uint256 needed);

    /// @notice Whether `signer` signed `digest`: by its key, or as a contract by its word (ERC-1271).
    /// @dev The key counts also for an account that has code: under EIP-7702 the holder of the key can set
    /// and remove that code at will, and must not get out of what it signed by doing so.
    function isValid(address signer, bytes32 digest, bytes calldata signature) internal view returns (bool) {
        (address recovered, ECDSA.RecoverError problem,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (problem == ECDSA.RecoverError.NoError && recovered == signer) return true;
        if (signer.code.length == 0) return false;
        return _contractAgrees(signer, abi.encodeCall(IERC1271.isValidSignature, (digest, signature)));
    }

    /// @dev Takes one word of what is returned, however much it is.
    function _contractAgrees(address signer, bytes memory question) private view returns (bool) {
        if (gasleft() < NEEDED_GAS) revert GasTooLow(gasleft(), NEEDED_GAS);
        uint256 gasLimit = CHECK_GAS;
        bool answered;
        bytes32 answer;
        assembly ("memory-safe") {
            answered := staticcall(gasLimit, signer, add(question, 0x20), mload(question), 0x00, 0x20)
            answered := and(answered, gt(returndatasize(), 0x1f))
            answer := mload(0x00)
        }
        return answered && answer == bytes32(IERC1271.isValidSignature.selector);
    }
}
