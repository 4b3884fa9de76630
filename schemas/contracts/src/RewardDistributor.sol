// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

import {ExactTransfer} from "./ExactTransfer.sol";
import {RootProposals} from "./RootProposals.sol";
import {IRewardPool} from "./interfaces/IRewardPool.sol";

/// @title RewardDistributor
/// @notice Pays contributors of data and owners of models by cumulative Merkle claims: a leaf says what an
/// account has earned since the beginning, a claim pays what it has not been paid yet.
/// @dev How a root comes into force is in {RootProposals}.
/// Always: `totalClaimed <= totalCumulative <= totalFunded`, and the contract holds at least
/// `totalFunded - totalClaimed + bondsHeld`. Nobody can take rewards out but the accounts in an accepted tree.
contract RewardDistributor is IRewardPool, RootProposals {
    using SafeERC20 for IERC20;
    using ExactTransfer for IERC20;

    IERC20 private immutable _token;

    /// @notice All that was ever funded, in token wei.
    uint256 public totalFunded;
    /// @notice All that was ever paid, in token wei.
    uint256 public totalClaimed;
    /// @notice What an account was paid so far, in token wei.
    mapping(address account => uint256) public claimed;

    event Funded(address indexed from, uint256 amount, uint256 totalFunded, uint64 seq);
    event Claimed(
        address indexed account, uint64 indexed epoch, uint256 amount, uint256 cumulative, uint64 seq
    );

    /// @notice The amount is zero.
    error ZeroAmount();
    /// @notice The accepted root is another: fetch a new proof.
    error UnexpectedRoot(bytes32 accepted, bytes32 expected);
    /// @notice The proof does not lead from this account and amount to the accepted root.
    error InvalidProof(address account, uint256 cumulative);
    /// @notice The account was already paid this much or more.
    error NothingToClaim(address account, uint256 claimed, uint256 cumulative);
    /// @notice The claim would pay more than the accepted total: the tree's leaves exceed its stated sum.
    error ClaimExceedsTotal(uint256 totalCumulative, uint256 needed);

    /// @param token_ ERC-20 that neither charges on transfer nor rebases.
    /// @param owner_ May stop, revoke a pending root, decide disputes and replace the proposer.
    /// @param proposer_ Proposes roots.
    /// @param disputeWindow_ Seconds in which a proposed root can be disputed.
    /// @param disputeBond_ What a dispute costs until it is decided, in token wei.
    /// @param bondRecipient_ Receives the bonds of disputes found invalid.
    constructor(
        address token_,
        address owner_,
        address proposer_,
        uint64 disputeWindow_,
        uint256 disputeBond_,
        address bondRecipient_
    ) Ownable(owner_) RootProposals(proposer_, disputeWindow_, disputeBond_, bondRecipient_) {
        if (token_ == address(0)) revert ZeroAddress();
        _token = IERC20(token_);
    }

    /// @notice Takes `amount` of the caller's token into the pool, for good. Approve first.
    function fund(uint256 amount) external nonReentrant {
        if (amount == 0) revert ZeroAmount();
        totalFunded += amount;
        emit Funded(msg.sender, amount, totalFunded, _nextSeq());
        _token.pullExact(msg.sender, amount);
    }

    /// @notice Pays `account` what it earned and was not paid yet. Anybody, for anybody: the money can only
    /// go to `account`.
    /// @param cumulative All that the account earned since the beginning: the leaf's amount.
    /// @param expectedRoot The root that `proof` was made for; a mismatch tells a race from a bad proof.
    /// @param proof The siblings from the leaf to the root.
    /// @return paid What was paid, in token wei; never zero.
    function claim(address account, uint256 cumulative, bytes32 expectedRoot, bytes32[] calldata proof)
        external
        nonReentrant
        whenNotPaused
        returns (uint256 paid)
    {
        if (expectedRoot != _acceptedRoot) revert UnexpectedRoot(_acceptedRoot, expectedRoot);
        if (!MerkleProof.verifyCalldata(proof, expectedRoot, leafOf(account, cumulative))) {
            revert InvalidProof(account, cumulative);
        }
        uint256 before = claimed[account];
        if (cumulative <= before) revert NothingToClaim(account, before, cumulative);
        paid = cumulative - before;
        uint256 claimedAfter = totalClaimed + paid;
        if (claimedAfter > _acceptedTotal) revert ClaimExceedsTotal(_acceptedTotal, claimedAfter);

        claimed[account] = cumulative;
        totalClaimed = claimedAfter;
        emit Claimed(account, acceptedEpoch, paid, cumulative, _nextSeq());
        _token.safeTransfer(account, paid);
    }

    /// @notice The accepted root; zero before the first.
    function root() external view returns (bytes32) {
        return _acceptedRoot;
    }

    /// @notice Sum of all leaves under the accepted root, in token wei.
    function totalCumulative() external view returns (uint256) {
        return _acceptedTotal;
    }

    /// @inheritdoc IRewardPool
    function token() external view returns (address) {
        return address(_token);
    }

    /// @notice The leaf of an account: hashed twice, so that no inner node can pass for a leaf, and bound to
    /// this chain and contract, so that no proof is good elsewhere.
    function leafOf(address account, uint256 cumulative) public view returns (bytes32) {
        return
            keccak256(bytes.concat(keccak256(abi.encode(block.chainid, address(this), account, cumulative))));
    }

    /// @inheritdoc RootProposals
    function _fundedTotal() internal view override returns (uint256) {
        return totalFunded;
    }

    /// @inheritdoc RootProposals
    function _takeBond(address account, uint256 amount) internal override {
        _token.pullExact(account, amount);
    }

    /// @inheritdoc RootProposals
    function _payBond(address account, uint256 amount) internal override {
        _token.safeTransfer(account, amount);
    }
}
