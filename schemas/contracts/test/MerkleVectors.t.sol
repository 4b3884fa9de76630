// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

import {MerkleTree} from "./support/MerkleTree.sol";
import {TestBase} from "./support/TestBase.sol";

/// @notice OpenZeppelin's JavaScript library, its Solidity verifier and our test tree agree on every vector.
contract MerkleVectorsTest is TestBase {
    string private json;

    function setUp() public {
        json = vm.readFile("vectors/standard-merkle-tree.json");
    }

    function test_every_proof_of_every_tree_verifies() public view {
        uint256 trees = 0;
        uint256 proofs = 0;
        for (; vm.keyExistsJson(json, item(".trees", trees)); ++trees) {
            proofs += checkTree(item(".trees", trees));
        }
        vm.assertEq(trees, 18, "trees");
        vm.assertEq(proofs, 2 * (1 + 2 + 3 + 4 + 5 + 7 + 8 + 16 + 5), "proofs");
    }

    function checkTree(string memory tree) private view returns (uint256 proofs) {
        bytes32 root = vm.parseJsonBytes32(json, string.concat(tree, ".root"));
        uint256 size = vm.parseJsonUint(json, string.concat(tree, ".size"));
        bool reward =
            keccak256(bytes(vm.parseJsonString(json, string.concat(tree, ".kind")))) == keccak256("reward");
        bytes32[] memory leaves = new bytes32[](size);
        for (uint256 i = 0; i < size; ++i) {
            string memory value = item(string.concat(tree, ".values"), i);
            leaves[i] = reward ? rewardLeaf(value) : versionLeaf(value);
        }
        for (; vm.keyExistsJson(json, item(string.concat(tree, ".leaves"), proofs)); ++proofs) {
            string memory leaf = item(string.concat(tree, ".leaves"), proofs);
            uint256 index = vm.parseJsonUint(json, string.concat(leaf, ".index"));
            bytes32 hash = vm.parseJsonBytes32(json, string.concat(leaf, ".leafHash"));
            vm.assertEq(hash, leaves[index], "leaf hash");
            bytes32[] memory path = vm.parseJsonBytes32Array(json, string.concat(leaf, ".proof"));
            vm.assertTrue(MerkleProof.verify(path, root, hash), "proof");
        }
        vm.assertEq(MerkleTree.build(leaves)[0], root, "our test tree's root");
    }

    function rewardLeaf(string memory value) private view returns (bytes32) {
        return twice(
            abi.encode(
                vm.parseJsonUint(json, item(value, 0)),
                vm.parseJsonAddress(json, item(value, 1)),
                vm.parseJsonAddress(json, item(value, 2)),
                vm.parseJsonUint(json, item(value, 3))
            )
        );
    }

    function versionLeaf(string memory value) private view returns (bytes32) {
        return twice(
            abi.encode(
                vm.parseJsonBytes32(json, item(value, 0)),
                vm.parseJsonAddress(json, item(value, 1)),
                vm.parseJsonBytes32(json, item(value, 2))
            )
        );
    }

    function twice(bytes memory encoded) private pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(encoded)));
    }

    function item(string memory list, uint256 index) private pure returns (string memory) {
        return string.concat(list, "[", vm.toString(index), "]");
    }
}
