// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @notice An ERC-1271 account with one key, which it can change.
contract SmartWallet is IERC1271 {
    address public key;

    constructor(address key_) {
        key = key_;
    }

    function setKey(address key_) external {
        key = key_;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        return ECDSA.recover(hash, signature) == key ? IERC1271.isValidSignature.selector : bytes4(0);
    }
}
