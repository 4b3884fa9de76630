// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @notice Keeps one percent of each transfer, as tokens do that our contracts refuse.
contract FeeToken is ERC20("Fee", "FEE") {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (from != address(0) && to != address(0)) super._update(to, address(0), value / 100);
    }
}

/// @notice Calls back into whatever it was told to, once, in the middle of a transfer.
contract CallbackToken is ERC20("Callback", "CALL") {
    address private _target;
    bytes private _call;
    /// @notice What the inner call reverted with; empty when it succeeded.
    bytes public innerRevert;

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function arm(address target, bytes calldata call) external {
        _target = target;
        _call = call;
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        address target = _target;
        if (target == address(0)) return;
        delete _target;
        (bool ok, bytes memory result) = target.call(_call);
        if (!ok) innerRevert = result;
    }
}
