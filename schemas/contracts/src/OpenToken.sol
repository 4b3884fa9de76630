// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit, Nonces} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC20Votes} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Votes.sol";
import {Time} from "@openzeppelin/contracts/utils/types/Time.sol";

/// @title OpenToken
/// @notice ERC-20 with permit and votes for development chains; a real deployment names an existing token.
/// @dev The owner mints without limit up to the supply cap of {ERC20Votes} (2^208 - 1).
/// The vote clock is the timestamp (EIP-6372), because block times of rollups vary.
contract OpenToken is ERC20, ERC20Permit, ERC20Votes, Ownable2Step {
    /// @param owner The account that may mint.
    constructor(address owner)
        ERC20("Headwater Open Token", "OPEN")
        ERC20Permit("Headwater Open Token")
        Ownable(owner)
    {}

    /// @notice Creates `amount` of token in `to`. Owner only.
    function mint(address to, uint256 amount) external onlyOwner {
        _mint(to, amount);
    }

    /// @inheritdoc ERC20Permit
    function nonces(address owner) public view override(ERC20Permit, Nonces) returns (uint256) {
        return super.nonces(owner);
    }

    /// @notice The vote clock: the block's timestamp.
    function clock() public view override returns (uint48) {
        return Time.timestamp();
    }

    /// @notice Machine-readable description of {clock}, by EIP-6372.
    // solhint-disable-next-line func-name-mixedcase
    function CLOCK_MODE() public pure override returns (string memory) {
        return "mode=timestamp";
    }

    /// @dev Both parents take part in every balance change.
    function _update(address from, address to, uint256 value) internal override(ERC20, ERC20Votes) {
        super._update(from, to, value);
    }
}
