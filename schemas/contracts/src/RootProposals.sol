// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {Sequenced} from "./Sequenced.sol";
import {Stoppable} from "./Stoppable.sol";

/// @title RootProposals
/// @notice How a reward root comes into force: proposed by the proposer, disputable for `disputeWindow`
/// seconds against a bond, then accepted by anybody unless a dispute is open.
/// @dev At most one proposal is pending, and the accepted root stays in force until the next is accepted.
/// The owner can stop, revoke a pending root, decide disputes and replace the proposer; it cannot touch what
/// is accepted.
///
/// A dispute's bond goes back to who disputed when the dispute is found valid or the root is revoked, and to
/// `bondRecipient` when it is found invalid. Deciding only writes down who is owed the bond; {withdrawBond}
/// pays it. So an account to which the token cannot be sent holds up no decision.
abstract contract RootProposals is Sequenced, Stoppable, ReentrancyGuardTransient {
    struct Proposal {
        uint64 epoch;
        uint64 toBlock;
        uint64 disputableUntil;
        bytes32 root;
        bytes32 artifactHash;
        uint256 totalCumulative;
        bytes32 toBlockHash;
        bytes32 indexDigest;
    }

    struct Dispute {
        address by;
        bytes32 evidenceHash;
    }

    /// @notice The longest dispute window a deployment can choose.
    uint64 public constant MAX_DISPUTE_WINDOW = 30 days;

    /// @notice Seconds in which a proposed root can be disputed.
    uint64 public immutable disputeWindow;
    /// @notice What a dispute costs until it is decided, in token wei.
    uint256 public immutable disputeBond;
    /// @notice Receives the bonds of disputes found invalid.
    address public immutable bondRecipient;
    /// @notice The account that proposes roots.
    /// @dev Set by the owner in one step, unlike ownership itself: it is a hot key, which has to be replaceable
    /// at once when it is stolen, and a mistake is mended by setting it again.
    address public proposer;
    /// @notice The epoch of the accepted root; 0 before the first.
    uint64 public acceptedEpoch;
    /// @notice The root that the owner removed last, by revoking it or finding its dispute valid; zero before
    /// the first. Whoever proposes by machine must not propose it again unasked.
    bytes32 public removedRoot;
    /// @notice Bonds that this contract holds, of the open dispute and not withdrawn, in token wei. They are no
    /// part of the rewards.
    uint256 public bondsHeld;
    /// @notice Bonds of decided disputes that an account can withdraw, in token wei.
    mapping(address account => uint256) public bondOf;

    bytes32 internal _acceptedRoot;
    uint256 internal _acceptedTotal;
    Proposal private _pending;
    Dispute private _dispute;

    event RootProposed(
        uint64 indexed epoch,
        bytes32 indexed root,
        bytes32 artifactHash,
        uint256 totalCumulative,
        uint64 toBlock,
        bytes32 toBlockHash,
        bytes32 indexDigest,
        uint64 disputableUntil,
        uint64 seq
    );
    event RootDisputed(
        uint64 indexed epoch, address indexed by, bytes32 evidenceHash, uint256 bond, uint64 seq
    );
    event RootRevoked(uint64 indexed epoch, bytes32 indexed root, uint64 seq);
    event DisputeResolved(uint64 indexed epoch, address indexed by, bool valid, uint64 seq);
    event BondReleased(uint64 indexed epoch, address indexed account, uint256 amount, uint64 seq);
    event BondWithdrawn(address indexed account, uint256 amount, uint64 seq);
    event RootAccepted(uint64 indexed epoch, bytes32 indexed root, uint256 totalCumulative, uint64 seq);
    event ProposerSet(address indexed proposer, uint64 seq);

    /// @notice An address given is zero.
    error ZeroAddress();
    /// @notice A root cannot be zero: zero means "none".
    error ZeroRoot();
    /// @notice The dispute window is above {MAX_DISPUTE_WINDOW}.
    error DisputeWindowTooLong(uint64 disputeWindow);
    /// @notice Only the proposer proposes.
    error NotProposer(address caller);
    /// @notice The epoch is not the one after the accepted one.
    error WrongEpoch(uint64 expected, uint64 given);
    /// @notice A root is pending already.
    error ProposalPending(uint64 epoch);
    /// @notice No root of this epoch is pending.
    error NoProposal(uint64 epoch);
    /// @notice Another root is pending than the one that was meant.
    error WrongRoot(bytes32 pending, bytes32 expected);
    /// @notice The sum of all leaves cannot shrink.
    error TotalDecreased(uint256 accepted, uint256 proposed);
    /// @notice The sum of all leaves is more than was funded.
    error TotalUnfunded(uint256 funded, uint256 proposed);
    /// @notice The dispute window is over.
    error DisputeWindowOver(uint64 disputableUntil);
    /// @notice The dispute window is still open.
    error DisputeWindowOpen(uint64 disputableUntil);
    /// @notice A dispute over the pending root is open.
    error DisputeOpen(uint64 epoch);
    /// @notice No dispute over the pending root is open.
    error NoDispute(uint64 epoch);
    /// @notice The account has no bond to withdraw.
    error NoBond(address account);

    /// @param proposer_ Proposes roots.
    /// @param disputeWindow_ Seconds in which a proposed root can be disputed.
    /// @param disputeBond_ What a dispute costs until it is decided, in token wei. Zero is for development
    /// chains: anybody could hold up every root at no cost.
    /// @param bondRecipient_ Receives the bonds of disputes found invalid.
    constructor(address proposer_, uint64 disputeWindow_, uint256 disputeBond_, address bondRecipient_) {
        if (proposer_ == address(0) || bondRecipient_ == address(0)) revert ZeroAddress();
        if (disputeWindow_ > MAX_DISPUTE_WINDOW) revert DisputeWindowTooLong(disputeWindow_);
        proposer = proposer_;
        disputeWindow = disputeWindow_;
        disputeBond = disputeBond_;
        bondRecipient = bondRecipient_;
    }

    /// @notice Proposes the next epoch's root. Proposer only.
    /// @param epoch The accepted epoch plus 1.
    /// @param root Merkle root over (chain id, distributor, account, cumulative).
    /// @param artifactHash keccak256 of the published settlement that `root` was computed from.
    /// @param totalCumulative Sum of all leaves, in token wei.
    /// @param toBlock The last block the settlement covers.
    /// @param toBlockHash That block's hash.
    /// @param indexDigest The indexer's digest at that block.
    function proposeRoot(
        uint64 epoch,
        bytes32 root,
        bytes32 artifactHash,
        uint256 totalCumulative,
        uint64 toBlock,
        bytes32 toBlockHash,
        bytes32 indexDigest
    ) external whenNotPaused {
        if (msg.sender != proposer) revert NotProposer(msg.sender);
        if (_pending.epoch != 0) revert ProposalPending(_pending.epoch);
        if (epoch != acceptedEpoch + 1) revert WrongEpoch(acceptedEpoch + 1, epoch);
        if (root == bytes32(0)) revert ZeroRoot();
        if (totalCumulative < _acceptedTotal) revert TotalDecreased(_acceptedTotal, totalCumulative);
        uint256 funded = _fundedTotal();
        if (totalCumulative > funded) revert TotalUnfunded(funded, totalCumulative);
        Proposal memory proposal = Proposal({
            epoch: epoch,
            toBlock: toBlock,
            disputableUntil: uint64(block.timestamp) + disputeWindow,
            root: root,
            artifactHash: artifactHash,
            totalCumulative: totalCumulative,
            toBlockHash: toBlockHash,
            indexDigest: indexDigest
        });
        _pending = proposal;
        _emitProposed(proposal);
    }

    /// @notice Disputes the pending root, which then waits for the owner. Anybody, within the window, who
    /// approved `disputeBond` of the token before.
    /// @param expectedRoot The root that the evidence is against: after it was removed, another can be pending
    /// for the same epoch, and the bond is not to be lost on that one.
    /// @param evidenceHash keccak256 of the published evidence.
    function dispute(uint64 epoch, bytes32 expectedRoot, bytes32 evidenceHash) external nonReentrant {
        Proposal storage proposal = _proposalOf(epoch);
        if (proposal.root != expectedRoot) revert WrongRoot(proposal.root, expectedRoot);
        if (block.timestamp >= proposal.disputableUntil) revert DisputeWindowOver(proposal.disputableUntil);
        if (_dispute.by != address(0)) revert DisputeOpen(epoch);
        _dispute = Dispute(msg.sender, evidenceHash);
        bondsHeld += disputeBond;
        emit RootDisputed(epoch, msg.sender, evidenceHash, disputeBond, _nextSeq());
        if (disputeBond != 0) _takeBond(msg.sender, disputeBond);
    }

    /// @notice Decides the open dispute: `valid` removes the proposal, otherwise it goes on. Owner only.
    function resolveDispute(uint64 epoch, bool valid) external onlyOwner {
        _proposalOf(epoch);
        address by = _dispute.by;
        if (by == address(0)) revert NoDispute(epoch);
        delete _dispute;
        if (valid) _removePending();
        emit DisputeResolved(epoch, by, valid, _nextSeq());
        _releaseBond(epoch, valid ? by : bondRecipient);
    }

    /// @notice Removes the pending root, disputed or not. Owner only.
    function revokeRoot(uint64 epoch) external onlyOwner {
        bytes32 revoked = _proposalOf(epoch).root;
        address by = _dispute.by;
        delete _dispute;
        _removePending();
        emit RootRevoked(epoch, revoked, _nextSeq());
        if (by != address(0)) _releaseBond(epoch, by);
    }

    /// @notice Pays `account` the bonds it is owed. Anybody, for anybody: the money can only go to `account`.
    function withdrawBond(address account) external nonReentrant {
        uint256 amount = bondOf[account];
        if (amount == 0) revert NoBond(account);
        delete bondOf[account];
        bondsHeld -= amount;
        emit BondWithdrawn(account, amount, _nextSeq());
        _payBond(account, amount);
    }

    /// @notice Puts the pending root in force. Anybody, after the window, unless a dispute is open.
    function acceptRoot(uint64 epoch) external whenNotPaused {
        Proposal storage proposal = _proposalOf(epoch);
        if (_dispute.by != address(0)) revert DisputeOpen(epoch);
        if (block.timestamp < proposal.disputableUntil) revert DisputeWindowOpen(proposal.disputableUntil);
        bytes32 accepted = proposal.root;
        uint256 total = proposal.totalCumulative;
        _acceptedRoot = accepted;
        acceptedEpoch = epoch;
        _acceptedTotal = total;
        delete _pending;
        emit RootAccepted(epoch, accepted, total, _nextSeq());
    }

    /// @notice Replaces the account that proposes roots. Owner only.
    function setProposer(address proposer_) external onlyOwner {
        if (proposer_ == address(0)) revert ZeroAddress();
        proposer = proposer_;
        emit ProposerSet(proposer_, _nextSeq());
    }

    /// @notice The pending root; all zero when there is none.
    function pending() external view returns (Proposal memory) {
        return _pending;
    }

    /// @notice The open dispute over the pending root; all zero when there is none.
    function openDispute() external view returns (Dispute memory) {
        return _dispute;
    }

    /// @dev All that was ever funded, in token wei: the limit of any proposal's total.
    function _fundedTotal() internal view virtual returns (uint256);

    /// @dev Moves exactly `amount` of the token from `account` to this contract.
    function _takeBond(address account, uint256 amount) internal virtual;

    /// @dev Moves `amount` of the token from this contract to `account`.
    function _payBond(address account, uint256 amount) internal virtual;

    function _removePending() private {
        removedRoot = _pending.root;
        delete _pending;
    }

    function _releaseBond(uint64 epoch, address account) private {
        if (disputeBond == 0) return;
        bondOf[account] += disputeBond;
        emit BondReleased(epoch, account, disputeBond, _nextSeq());
    }

    function _proposalOf(uint64 epoch) private view returns (Proposal storage proposal) {
        proposal = _pending;
        if (epoch == 0 || proposal.epoch != epoch) revert NoProposal(epoch);
    }

    function _emitProposed(Proposal memory proposal) private {
        emit RootProposed(
            proposal.epoch,
            proposal.root,
            proposal.artifactHash,
            proposal.totalCumulative,
            proposal.toBlock,
            proposal.toBlockHash,
            proposal.indexDigest,
            proposal.disputableUntil,
            _nextSeq()
        );
    }
}
