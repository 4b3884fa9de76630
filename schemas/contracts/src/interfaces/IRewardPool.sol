// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title IRewardPool
/// @notice What the payment vault needs of the contract that it sends the data and model pools to.
interface IRewardPool {
    /// @notice Takes `amount` of the token from the caller, who approved it before.
    function fund(uint256 amount) external;

    /// @notice The ERC-20 in which the pool is held.
    function token() external view returns (address);
}
