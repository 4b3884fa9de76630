// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";

/// @notice The tree of OpenZeppelin's JavaScript library, over leaves that are hashed already: sorted leaves
/// in the last places of an array, each parent the commutative hash of its two children.
library MerkleTree {
    /// @return tree `tree[0]` is the root; node i has the children 2i+1 and 2i+2.
    function build(bytes32[] memory leaves) internal pure returns (bytes32[] memory tree) {
        uint256 count = leaves.length;
        bytes32[] memory sorted = sort(leaves);
        tree = new bytes32[](2 * count - 1);
        for (uint256 i = 0; i < count; ++i) {
            tree[tree.length - 1 - i] = sorted[i];
        }
        for (uint256 i = count - 1; i > 0; --i) {
            tree[i - 1] = Hashes.commutativeKeccak256(tree[2 * i - 1], tree[2 * i]);
        }
    }

    function proof(bytes32[] memory tree, bytes32 leaf) internal pure returns (bytes32[] memory path) {
        uint256 node = tree.length / 2;
        while (tree[node] != leaf) ++node;
        uint256 length = 0;
        for (uint256 i = node; i > 0; i = (i - 1) / 2) {
            ++length;
        }
        path = new bytes32[](length);
        for (uint256 step = 0; node > 0; ++step) {
            path[step] = tree[node % 2 == 1 ? node + 1 : node - 1];
            node = (node - 1) / 2;
        }
    }

    function sort(bytes32[] memory values) private pure returns (bytes32[] memory sorted) {
        sorted = values;
        for (uint256 i = 1; i < sorted.length; ++i) {
            bytes32 value = sorted[i];
            uint256 j = i;
            for (; j > 0 && sorted[j - 1] > value; --j) {
                sorted[j] = sorted[j - 1];
            }
            sorted[j] = value;
        }
    }
}
