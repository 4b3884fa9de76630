// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

/// @title Stoppable
/// @notice An owner that can stop and restart what is marked `whenNotPaused`, and moves in two steps.
/// @dev Stopping never moves or takes money.
abstract contract Stoppable is Ownable2Step, Pausable {
    /// @notice Ownership cannot be given up: nobody could restart a stopped contract.
    error OwnershipIsRequired();

    /// @notice Stops. Owner only.
    function pause() external onlyOwner {
        _pause();
    }

    /// @notice Restarts. Owner only.
    function unpause() external onlyOwner {
        _unpause();
    }

    /// @notice Always reverts; see {OwnershipIsRequired}.
    function renounceOwnership() public view override onlyOwner {
        revert OwnershipIsRequired();
    }
}
