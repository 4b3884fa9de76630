// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Sequenced
/// @notice Numbers the events of a contract: the first carries 1, each later one the number before plus 1.
/// @dev A reader that holds events 1..n and sees `seq() == n` knows that none is missing, without trusting
/// the node that served them. Events inherited from OpenZeppelin (ownership, pause, ERC-20) carry no number.
abstract contract Sequenced {
    /// @notice The number of the last event this contract emitted; 0 before the first.
    uint64 public seq;

    /// @dev Call exactly once per numbered event, inside its `emit`.
    function _nextSeq() internal returns (uint64) {
        return ++seq;
    }
}
