// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The events the indexers are measured on
/// @notice Four of the product's own event signatures, their values spread as a busy chain spreads them:
///         few Datanets, many payers, every hash and every amount another one.
abstract contract Emitter {
    /// @notice The number of the last event emitted; 0 before the first.
    uint64 public seq;

    event VersionCommitted(
        bytes32 indexed datanetId,
        uint64 indexed version,
        bytes32 indexed root,
        bytes32 parentRoot,
        uint64 chunkCount,
        bytes32 manifestHash,
        address committer,
        uint64 seq
    );
    event Debited(address indexed payer, uint64 indexed batchId, uint256 amount, uint64 seq);
    event Claimed(
        address indexed account, uint64 indexed epoch, uint256 amount, uint256 cumulative, uint64 seq
    );
    event Transfer(address indexed from, address indexed to, uint256 value);

    /// @notice Emits `count` events, the four kinds in turn.
    function emitMany(uint256 count) public {
        uint64 last = seq;
        for (uint256 i = 0; i < count; ++i) {
            _emitOne(++last);
        }
        seq = last;
    }

    function _emitOne(uint64 number) private {
        bytes32 noise = keccak256(abi.encode(number));
        uint256 amount = uint256(noise) >> 176;
        address account = _account(uint256(noise) % 1000);
        uint256 kind = number % 4;
        if (kind == 0) {
            bytes32 root = keccak256(abi.encode(noise));
            emit VersionCommitted(
                bytes32(uint256(number % 64)),
                number / 256 + 1,
                root,
                noise,
                uint64(amount % 4096),
                keccak256(abi.encode(root)),
                account,
                number
            );
        } else if (kind == 1) {
            emit Debited(account, number / 100, amount, number);
        } else if (kind == 2) {
            emit Claimed(account, number / 1000, amount, amount * 3, number);
        } else {
            emit Transfer(account, _account(uint256(noise) % 997), amount);
        }
    }

    function _account(uint256 index) private pure returns (address) {
        return address(uint160(uint256(keccak256(abi.encode("account", index)))));
    }
}

/// @notice Emits the same events from an address that nobody asked for.
contract Child is Emitter {}

contract Storm is Emitter {
    Child public child;

    event Spawned(address indexed child, uint64 seq);
    event Blob(bytes data);
    event Unnamed(uint256 indexed first, bytes32 value) anonymous;

    /// @notice Creates a child, which emits from its own address.
    function spawn() external {
        child = new Child();
        emit Spawned(address(child), ++seq);
    }

    /// @notice One log of `size` bytes.
    function boom(uint256 size) external {
        emit Blob(new bytes(size));
    }

    /// @notice A log whose only topic is no signature.
    function unnamed(uint256 first) external {
        emit Unnamed(first, keccak256(abi.encode(first)));
    }

    /// @notice A log with no topic at all.
    function bare() external {
        assembly ("memory-safe") {
            mstore(0, number())
            log0(0, 32)
        }
    }
}
