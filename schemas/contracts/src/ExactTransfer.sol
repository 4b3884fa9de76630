// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// @title ExactTransfer
/// @notice Takes in ERC-20 money and insists that what was promised is what arrived.
/// @dev Keeps tokens that charge a fee on transfer out, whose books would not add up. It cannot see a token
/// that changes balances later (rebasing): such a token must not be named at deployment.
library ExactTransfer {
    using SafeERC20 for IERC20;

    /// @notice The transfer moved another amount than was asked for.
    error InexactTransfer(uint256 expected, uint256 received);

    /// @notice Moves `amount` from `from`, who approved this contract, to this contract.
    function pullExact(IERC20 token, address from, uint256 amount) internal {
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(from, address(this), amount);
        uint256 received = token.balanceOf(address(this)) - before;
        if (received != amount) revert InexactTransfer(amount, received);
    }
}
