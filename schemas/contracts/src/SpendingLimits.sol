// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice What a payer signs: `spender` may take up to `maxAmount` in all, until `expiry`.
/// @dev The signed type is
/// `SpendingLimit(address payer,address spender,uint256 maxAmount,uint64 expiry,uint256 nonce)`.
struct SpendingLimit {
    address payer;
    address spender;
    /// In token wei, over all debits together.
    uint256 maxAmount;
    /// The last second (Unix time) at which a debit is allowed.
    uint64 expiry;
    /// The payer cancels by this number. A payer signs each number once: two limits of one number are
    /// two limits, and are cancelled together.
    uint256 nonce;
}

/// @notice One payer's part of a batch, under one of its limits. Amounts in token wei.
struct Debit {
    SpendingLimit limit;
    bytes signature;
    uint256 amount;
    /// What the receipts attributed to contributors; at most their scheduled part of what is taken is paid. What
    /// this debit leaves of it goes over to the payer's next one, if that follows in the batch.
    uint256 dataPart;
    /// What the receipts attributed to owners of models; likewise.
    uint256 modelPart;
}

/// @notice Why a debit took less than was owed.
enum ShortReason {
    None,
    LimitExpired,
    LimitCancelled,
    LimitExhausted,
    BalanceTooSmall,
    SignatureInvalid
}

/// @title SpendingLimits
/// @notice The EIP-712 struct hash of a spending limit.
library SpendingLimits {
    bytes32 internal constant TYPEHASH = keccak256(
        "SpendingLimit(address payer,address spender,uint256 maxAmount,uint64 expiry,uint256 nonce)"
    );

    /// @notice EIP-712 `hashStruct`; the domain is added by the contract that checks the signature.
    function structHash(SpendingLimit calldata limit) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(TYPEHASH, limit.payer, limit.spender, limit.maxAmount, limit.expiry, limit.nonce)
        );
    }
}
