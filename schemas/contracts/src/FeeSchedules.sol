// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Sequenced} from "./Sequenced.sol";
import {Stoppable} from "./Stoppable.sol";

/// @notice How a debit is divided, in basis points (1/10,000) that sum to 10,000.
struct FeeSchedule {
    /// The treasury's part. It also receives what the other parts leave: roundings, and pools not used up.
    uint16 platformBps;
    /// The largest part for owners of models.
    uint16 modelBps;
    /// The part for `stakersPool`, rounded down.
    uint16 stakersBps;
    /// The largest part for contributors of data.
    uint16 dataBps;
    /// Receives the stakers' part; zero only while `stakersBps` is 0.
    address stakersPool;
}

/// @title FeeSchedules
/// @notice The fee schedule in force, and how another comes into force: the owner proposes it, anybody
/// activates it when `feeNotice` seconds have passed.
/// @dev The notice lets whoever disagrees leave first. A new proposal replaces the open one and starts its
/// notice again, so that a schedule never comes into force on shorter notice; proposing the schedule in force
/// withdraws a proposal.
abstract contract FeeSchedules is Sequenced, Stoppable {
    uint256 internal constant BPS = 10_000;
    /// @notice The longest notice a deployment can choose.
    uint64 public constant MAX_FEE_NOTICE = 90 days;

    /// @notice Seconds between the proposal of a fee schedule and its first possible activation.
    uint64 public immutable feeNotice;

    FeeSchedule private _fees;
    FeeSchedule private _proposedFees;
    uint64 private _activatableAt;

    event FeesProposed(
        uint16 platformBps,
        uint16 modelBps,
        uint16 stakersBps,
        uint16 dataBps,
        address indexed stakersPool,
        uint64 activatableAt,
        uint64 seq
    );
    event FeesActivated(
        uint16 platformBps,
        uint16 modelBps,
        uint16 stakersBps,
        uint16 dataBps,
        address indexed stakersPool,
        uint64 seq
    );

    /// @notice The parts do not sum to 10,000 basis points.
    error FeesDoNotSum(uint256 sum);
    /// @notice Stakers have a part but no pool.
    error StakersPoolMissing();
    /// @notice The notice is above {MAX_FEE_NOTICE}.
    error FeeNoticeTooLong(uint64 feeNotice);
    /// @notice No fee schedule is proposed.
    error NoFeesProposed();
    /// @notice The notice of the proposed schedule is not over.
    error FeeNoticeNotOver(uint64 activatableAt);

    /// @param fees_ The first schedule, in force at once.
    /// @param feeNotice_ Seconds of notice for every later one.
    constructor(FeeSchedule memory fees_, uint64 feeNotice_) {
        if (feeNotice_ > MAX_FEE_NOTICE) revert FeeNoticeTooLong(feeNotice_);
        feeNotice = feeNotice_;
        _activate(fees_);
    }

    /// @notice Proposes a fee schedule; replaces one that is proposed already. Owner only.
    function proposeFees(FeeSchedule calldata proposed) external onlyOwner {
        _check(proposed);
        uint64 activatableAt = uint64(block.timestamp) + feeNotice;
        _proposedFees = proposed;
        _activatableAt = activatableAt;
        emit FeesProposed(
            proposed.platformBps,
            proposed.modelBps,
            proposed.stakersBps,
            proposed.dataBps,
            proposed.stakersPool,
            activatableAt,
            _nextSeq()
        );
    }

    /// @notice Puts the proposed schedule in force. Anybody, once its notice is over.
    function activateFees() external {
        uint64 activatableAt = _activatableAt;
        if (activatableAt == 0) revert NoFeesProposed();
        if (block.timestamp < activatableAt) revert FeeNoticeNotOver(activatableAt);
        FeeSchedule memory proposed = _proposedFees;
        delete _proposedFees;
        delete _activatableAt;
        _activate(proposed);
    }

    /// @notice The fee schedule in force.
    function fees() public view returns (FeeSchedule memory) {
        return _fees;
    }

    /// @notice The proposed schedule and the first second at which it can be activated; all zero when there
    /// is none.
    function proposedFees() external view returns (FeeSchedule memory proposed, uint64 activatableAt) {
        return (_proposedFees, _activatableAt);
    }

    function _activate(FeeSchedule memory schedule) private {
        _check(schedule);
        _fees = schedule;
        emit FeesActivated(
            schedule.platformBps,
            schedule.modelBps,
            schedule.stakersBps,
            schedule.dataBps,
            schedule.stakersPool,
            _nextSeq()
        );
    }

    function _check(FeeSchedule memory schedule) private pure {
        uint256 sum =
            uint256(schedule.platformBps) + schedule.modelBps + schedule.stakersBps + schedule.dataBps;
        if (sum != BPS) revert FeesDoNotSum(sum);
        if (schedule.stakersBps != 0 && schedule.stakersPool == address(0)) revert StakersPoolMissing();
    }
}
