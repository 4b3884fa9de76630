// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

import {OpenToken} from "../src/OpenToken.sol";
import {RewardDistributor} from "../src/RewardDistributor.sol";
import {MerkleTree} from "./support/MerkleTree.sol";
import {TestBase} from "./support/TestBase.sol";

/// @notice OpenZeppelin's JavaScript library, its Solidity verifier and our test tree agree on every vector.
contract MerkleVectorsTest is TestBase {
    string private json;

    function setUp() public {
        json = vm.readFile("vectors/standard-merkle-tree.json");
    }

    /// @dev Two tests, for reading all of the file takes more than the gas of one.
    function test_every_proof_of_every_version_tree_verifies() public view {
        checkTrees(0, 18);
    }

    function test_every_proof_of_every_reward_and_receipt_tree_verifies() public view {
        checkTrees(18, 36);
        vm.assertTrue(!vm.keyExistsJson(json, item(".trees", 36)), "no more trees");
    }

    function checkTrees(uint256 from, uint256 until) private view {
        uint256 proofs = 0;
        for (uint256 tree = from; tree < until; ++tree) {
            proofs += checkTree(item(".trees", tree));
        }
        vm.assertEq(proofs, 2 * (1 + 2 + 3 + 4 + 5 + 7 + 8 + 16 + 5), "proofs");
    }

    function checkTree(string memory tree) private view returns (uint256 proofs) {
        bytes32 root = vm.parseJsonBytes32(json, string.concat(tree, ".root"));
        uint256 size = vm.parseJsonUint(json, string.concat(tree, ".size"));
        bytes32[] memory leaves = new bytes32[](size);
        for (uint256 i = 0; i < size; ++i) {
            leaves[i] = leafOf(kindOf(tree), item(string.concat(tree, ".values"), i));
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

    /// @dev From JavaScript's tree to the money: the contract itself, at the address the tree was made for.
    function test_the_distributor_pays_by_trees_of_the_library() public {
        uint256 claims = 0;
        for (uint256 i = 0; vm.keyExistsJson(json, item(".trees", i)); ++i) {
            string memory tree = item(".trees", i);
            if (kindOf(tree) != keccak256("reward")) continue;
            uint256 before = vm.snapshotState();
            claims += claimAll(tree);
            vm.assertTrue(vm.revertToState(before), "the trees share their accounts");
        }
        vm.assertEq(claims, 1 + 2 + 3 + 4 + 5 + 7 + 8 + 16 + 5, "claims");
    }

    function claimAll(string memory tree) private returns (uint256 claims) {
        OpenToken token = new OpenToken(address(this));
        RewardDistributor pool = distributorIn(tree, token);
        uint256 total = 0;
        uint256 size = vm.parseJsonUint(json, string.concat(tree, ".size"));
        for (uint256 i = 0; i < size; ++i) {
            total += vm.parseJsonUint(json, item(item(string.concat(tree, ".values"), i), 3));
        }
        token.mint(address(this), total);
        token.approve(address(pool), total);
        pool.fund(total);
        bytes32 root = vm.parseJsonBytes32(json, string.concat(tree, ".root"));
        vm.prank(pool.proposer());
        pool.proposeRoot(1, root, 0, total, 1, 0, 0);
        pool.acceptRoot(1);
        for (; vm.keyExistsJson(json, item(string.concat(tree, ".leaves"), claims)); ++claims) {
            claimOne(pool, tree, item(string.concat(tree, ".leaves"), claims), root);
        }
    }

    function claimOne(RewardDistributor pool, string memory tree, string memory leaf, bytes32 root) private {
        string memory value =
            item(string.concat(tree, ".values"), vm.parseJsonUint(json, string.concat(leaf, ".index")));
        address account = vm.parseJsonAddress(json, item(value, 2));
        uint256 amount = vm.parseJsonUint(json, item(value, 3));
        bytes32 expected = vm.parseJsonBytes32(json, string.concat(leaf, ".leafHash"));
        vm.assertEq(pool.leafOf(account, amount), expected, "the contract's own leaf");
        bytes32[] memory path = vm.parseJsonBytes32Array(json, string.concat(leaf, ".proof"));
        vm.assertEq(pool.claim(account, amount, root, path), amount, "paid");
    }

    /// @dev A distributor with nothing in its storage, at the address and on the chain that the tree names.
    function distributorIn(string memory tree, OpenToken token) private returns (RewardDistributor pool) {
        string memory value = item(string.concat(tree, ".values"), 0);
        vm.chainId(vm.parseJsonUint(json, item(value, 0)));
        address self = address(this);
        RewardDistributor made = new RewardDistributor(address(token), self, self, 0, 0, self);
        pool = RewardDistributor(vm.parseJsonAddress(json, item(value, 1)));
        vm.etch(address(pool), address(made).code);
    }

    function kindOf(string memory tree) private view returns (bytes32) {
        return keccak256(bytes(vm.parseJsonString(json, string.concat(tree, ".kind"))));
    }

    function leafOf(bytes32 kind, string memory value) private view returns (bytes32) {
        if (kind == keccak256("reward")) return rewardLeaf(value);
        if (kind == keccak256("version")) return firstVersionLeaf(value);
        if (kind == keccak256("version/2")) return versionLeaf(value);
        return twice(abi.encode(vm.parseJsonBytes32(json, item(value, 0))));
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

    function firstVersionLeaf(string memory value) private view returns (bytes32) {
        return twice(
            abi.encode(
                vm.parseJsonBytes32(json, item(value, 0)),
                vm.parseJsonAddress(json, item(value, 1)),
                vm.parseJsonBytes32(json, item(value, 2))
            )
        );
    }

    function versionLeaf(string memory value) private view returns (bytes32) {
        return twice(
            abi.encode(
                vm.parseJsonBytes32(json, item(value, 0)),
                vm.parseJsonAddress(json, item(value, 1)),
                vm.parseJsonBytes32(json, item(value, 2)),
                uint64(vm.parseJsonUint(json, item(value, 3)))
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
