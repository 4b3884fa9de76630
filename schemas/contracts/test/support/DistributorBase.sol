// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {OpenToken} from "../../src/OpenToken.sol";
import {RewardDistributor} from "../../src/RewardDistributor.sol";
import {MerkleTree} from "./MerkleTree.sol";
import {TestBase} from "./TestBase.sol";

/// @notice A funded distributor and the means to bring roots into force.
abstract contract DistributorBase is TestBase {
    uint64 internal constant WINDOW = 1 days;
    uint256 internal constant FUNDED = 1_000 ether;
    uint256 internal constant BOND = 5 ether;
    bytes32 internal constant ARTIFACT = keccak256("artifact");
    bytes32 internal constant BLOCK_HASH = keccak256("block");
    bytes32 internal constant DIGEST = keccak256("digest");

    OpenToken internal token;
    RewardDistributor internal distributor;
    address internal owner = account("owner");
    address internal proposer = account("proposer");
    address internal funder = account("funder");
    address internal stranger = account("stranger");
    address internal bondRecipient = account("bond recipient");

    function setUp() public virtual {
        vm.warp(START);
        token = new OpenToken(address(this));
        distributor = distributorOf(address(token));
        token.mint(funder, FUNDED);
        vm.prank(funder);
        token.approve(address(distributor), type(uint256).max);
        vm.prank(funder);
        distributor.fund(FUNDED);
    }

    function distributorOf(address asset) internal returns (RewardDistributor) {
        return new RewardDistributor(asset, owner, proposer, WINDOW, BOND, bondRecipient);
    }

    /// @dev Disputes with a bond that `by` is given for it.
    function disputeAs(address by, uint64 epoch, bytes32 evidence) internal {
        giveBond(by);
        bytes32 disputed = distributor.pending().root;
        vm.prank(by);
        distributor.dispute(epoch, disputed, evidence);
    }

    function giveBond(address to) internal {
        token.mint(to, BOND);
        vm.prank(to);
        token.approve(address(distributor), BOND);
    }

    function propose(uint64 epoch, bytes32 root, uint256 total) internal {
        vm.prank(proposer);
        distributor.proposeRoot(epoch, root, ARTIFACT, total, 77, BLOCK_HASH, DIGEST);
    }

    function putInForce(uint64 epoch, bytes32 root, uint256 total) internal {
        propose(epoch, root, total);
        vm.warp(block.timestamp + WINDOW);
        distributor.acceptRoot(epoch);
    }

    /// @dev A tree in which `earner(i)` has earned `cumulative[i]`.
    function treeOf(uint256[] memory cumulative)
        internal
        view
        returns (bytes32[] memory tree, uint256 total)
    {
        bytes32[] memory leaves = new bytes32[](cumulative.length);
        for (uint256 i = 0; i < cumulative.length; ++i) {
            leaves[i] = distributor.leafOf(earner(i), cumulative[i]);
            total += cumulative[i];
        }
        tree = MerkleTree.build(leaves);
    }

    function earner(uint256 i) internal pure returns (address) {
        return address(uint160(0xEA0000 + i));
    }

    function pair(uint256 first, uint256 second) internal pure returns (uint256[] memory values) {
        values = new uint256[](2);
        (values[0], values[1]) = (first, second);
    }
}
