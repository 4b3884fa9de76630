// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice A payer whose ERC-1271 check does what it can to end somebody else's transaction.
contract HostileWallet {
    enum Mood {
        Refuses,
        Reverts,
        BurnsGas,
        ReturnsMuch,
        ReturnsTooLittle,
        RevertsWithMuch,
        Writes
    }

    Mood private immutable _mood;
    uint256 private _written;

    constructor(Mood mood) {
        _mood = mood;
    }

    function isValidSignature(bytes32, bytes calldata) external returns (bytes4) {
        if (_mood == Mood.Reverts) revert("no");
        if (_mood == Mood.BurnsGas) {
            while (true) {}
        }
        if (_mood == Mood.Writes) ++_written;
        if (_mood == Mood.ReturnsMuch) {
            assembly {
                return(0, 50000)
            }
        }
        if (_mood == Mood.RevertsWithMuch) {
            assembly {
                revert(0, 50000)
            }
        }
        if (_mood == Mood.ReturnsTooLittle) {
            assembly {
                mstore(0, shl(224, 0x1626ba7e))
                return(0, 31)
            }
        }
        return _mood == Mood.Refuses ? bytes4(0xffffffff) : this.isValidSignature.selector;
    }
}
