// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {BoundedSignatures} from "./BoundedSignatures.sol";
import {FeeSchedule, FeeSchedules} from "./FeeSchedules.sol";
import {PayerBalances} from "./PayerBalances.sol";
import {Debit, ShortReason, SpendingLimit, SpendingLimits} from "./SpendingLimits.sol";
import {IRewardPool} from "./interfaces/IRewardPool.sol";

/// @title PaymentVault
/// @notice Holds what payers deposited. The operator debits them per epoch of receipts, in one batch or several,
/// within limits they signed, and each debit is divided by the fee schedule.
/// @dev Where the money can go: the reward distributor and the treasury, both fixed at deployment, the
/// stakers' pool of the fee schedule, or back to the payer. The owner can stop debits, name the operator and
/// propose a fee schedule; it can neither move money nor stop withdrawals.
///
/// A payer's loss to a dishonest operator is at most the limit that it signed. What a payer can do to a debit
/// (an ended limit, a small balance, a wallet that takes its signature back) makes that debit short and the
/// batch goes on. It has to count pending withdrawals and cancellations as gone when it decides what backs a new
/// answer; `withdrawalDelay` is its time to debit what was given before.
/// The events say all that an auditor needs to tell, per payer and epoch, what was asked for, what was collected,
/// and what of it went to the data pool.
contract PaymentVault is EIP712, FeeSchedules, PayerBalances {
    using SafeERC20 for IERC20;
    using SpendingLimits for SpendingLimit;

    /// @notice Which batch this is.
    struct Batch {
        /// The last epoch, while its last part is still to come; else the one after it. From 1.
        uint64 epoch;
        /// From 1 within the epoch.
        uint64 part;
        /// Whether the epoch ends with this part.
        bool isLast;
        /// Merkle root over the epoch's receipts: the same in all its parts.
        bytes32 receiptsRoot;
    }

    /// @dev What a batch collected so far, and what the last payer's debits leave of its parts, in token wei.
    struct Sums {
        address payer;
        uint256 dataLeft;
        uint256 modelLeft;
        uint256 owed;
        uint256 total;
        uint256 dataPool;
        uint256 modelPool;
        uint256 stakersAmount;
        uint256 platformAmount;
    }

    /// @notice Receives the data pool and the model pool of each batch.
    IRewardPool public immutable distributor;
    /// @notice Receives the platform's part of each batch, and what the pools leave.
    address public immutable treasury;

    /// @notice The only account that posts batches.
    /// @dev Set by the owner in one step, unlike ownership itself: it is a hot key, which has to be replaceable
    /// at once when it is stolen, and a mistake is mended by setting it again.
    address public operator;
    /// @notice The last batch; all zero before the first.
    Batch public lastBatch;
    /// @notice What was debited under a limit so far; the key is {hashLimit}.
    mapping(bytes32 limitHash => uint256) public spent;

    event Debited(
        address indexed payer,
        uint64 indexed epoch,
        bytes32 indexed limitHash,
        uint64 part,
        uint256 amount,
        uint256 dataAmount,
        uint256 modelAmount,
        uint64 seq
    );
    /// @dev Says nothing against the payer where `reason` is `SignatureInvalid`: then nothing shows that the
    /// payer signed.
    event DebitShort(
        address indexed payer,
        uint64 indexed epoch,
        bytes32 indexed limitHash,
        uint64 part,
        uint256 owed,
        uint256 taken,
        ShortReason reason,
        uint64 seq
    );
    event BatchDebited(
        uint64 indexed epoch,
        uint64 indexed part,
        bytes32 indexed receiptsRoot,
        bool isLast,
        bytes32 prevRoot,
        uint256 owed,
        uint256 total,
        uint256 dataPool,
        uint256 modelPool,
        uint256 stakersAmount,
        uint256 platformAmount,
        uint64 seq
    );
    event OperatorSet(address indexed operator, uint64 seq);

    /// @notice The distributor holds another token than the vault.
    error TokenMismatch(address vaultToken, address distributorToken);
    /// @notice Payers could not leave before a new fee schedule: the notice is shorter than the delay.
    error FeeNoticeTooShort(uint64 feeNotice, uint64 withdrawalDelay);
    /// @notice Only the operator posts batches.
    error NotOperator(address caller);
    /// @notice The batch is not the one after the last: another part, or the next epoch.
    error WrongBatch(uint64 expectedEpoch, uint64 expectedPart, uint64 epoch, uint64 part);
    /// @notice The parts of one epoch are of other receipts.
    error WrongReceiptsRoot(bytes32 expected, bytes32 given);
    /// @notice The batch does not build on the last one.
    error WrongPrevRoot(bytes32 expected, bytes32 given);
    /// @notice A batch's receipts root cannot be zero.
    error ZeroRoot();
    /// @notice A batch needs at least one debit, except the last of several parts.
    error EmptyBatch();
    /// @notice The limit names another spender than the caller.
    error WrongSpender(bytes32 limitHash, address spender);

    /// @param token_ ERC-20 that neither charges on transfer nor rebases.
    /// @param distributor_ Takes the data and model pools; must hold the same token.
    /// @param treasury_ Takes the platform's part.
    /// @param owner_ May stop debits, name the operator and propose fees.
    /// @param operator_ Posts batches.
    /// @param fees_ The first fee schedule.
    /// @param withdrawalDelay_ Seconds a payer waits for its money, and for a limit to end.
    /// @param feeNotice_ Seconds of notice before another fee schedule; at least the delay.
    constructor(
        address token_,
        address distributor_,
        address treasury_,
        address owner_,
        address operator_,
        FeeSchedule memory fees_,
        uint64 withdrawalDelay_,
        uint64 feeNotice_
    )
        EIP712("Headwater PaymentVault", "1")
        Ownable(owner_)
        FeeSchedules(fees_, feeNotice_)
        PayerBalances(token_, withdrawalDelay_)
    {
        if (distributor_ == address(0) || treasury_ == address(0)) {
            revert ZeroAddress();
        }
        if (feeNotice_ < withdrawalDelay_) revert FeeNoticeTooShort(feeNotice_, withdrawalDelay_);
        address distributorToken = IRewardPool(distributor_).token();
        if (distributorToken != token_) revert TokenMismatch(token_, distributorToken);
        distributor = IRewardPool(distributor_);
        treasury = treasury_;
        _setOperator(operator_);
    }

    /// @notice Names the account that posts batches. Owner only.
    function setOperator(address operator_) external onlyOwner {
        _setOperator(operator_);
    }

    /// @notice Debits payers for one epoch of receipts, or a part of them, and divides what was collected.
    /// Operator only, who must be the spender of every limit.
    /// @param batch The batch after the last one.
    /// @param prevRoot The receipts root of the last batch; zero for the first.
    /// @param debits Each payer's signed limit and amounts; one limit may occur more than once.
    function debitBatch(Batch calldata batch, bytes32 prevRoot, Debit[] calldata debits)
        external
        nonReentrant
        whenNotPaused
    {
        if (msg.sender != operator) revert NotOperator(msg.sender);
        if (debits.length == 0 && !(batch.isLast && batch.part > 1)) revert EmptyBatch();
        _advance(batch, prevRoot);
        FeeSchedule memory schedule = fees();
        Sums memory sums = Sums(address(0), 0, 0, 0, 0, 0, 0, 0, 0);
        for (uint256 i = 0; i < debits.length; ++i) {
            _debit(batch, debits[i], schedule, sums);
        }
        _emitDebited(batch, prevRoot, sums);
        _payOut(sums, schedule.stakersPool);
    }

    /// @notice The EIP-712 digest that the payer signs, and the key of {spent}.
    function hashLimit(SpendingLimit calldata limit) public view returns (bytes32) {
        return _hashTypedDataV4(limit.structHash());
    }

    function _setOperator(address operator_) private {
        if (operator_ == address(0)) revert ZeroAddress();
        operator = operator_;
        emit OperatorSet(operator_, _nextSeq());
    }

    function _advance(Batch calldata batch, bytes32 prevRoot) private {
        Batch memory last = lastBatch;
        bool goesOn = last.epoch != 0 && !last.isLast;
        uint64 epoch = goesOn ? last.epoch : last.epoch + 1;
        uint64 part = goesOn ? last.part + 1 : 1;
        if (batch.epoch != epoch || batch.part != part) {
            revert WrongBatch(epoch, part, batch.epoch, batch.part);
        }
        if (prevRoot != last.receiptsRoot) revert WrongPrevRoot(last.receiptsRoot, prevRoot);
        if (batch.receiptsRoot == bytes32(0)) revert ZeroRoot();
        if (goesOn && batch.receiptsRoot != last.receiptsRoot) {
            revert WrongReceiptsRoot(last.receiptsRoot, batch.receiptsRoot);
        }
        lastBatch = batch;
    }

    function _debit(Batch calldata batch, Debit calldata debit, FeeSchedule memory schedule, Sums memory sums)
        private
    {
        SpendingLimit calldata limit = debit.limit;
        bytes32 limitHash = hashLimit(limit);
        if (limit.spender != msg.sender) revert WrongSpender(limitHash, limit.spender);
        if (debit.amount == 0) revert ZeroAmount();
        (uint256 taken, ShortReason reason) = _collectable(limitHash, debit);
        sums.owed += debit.amount;
        _addParts(debit, sums);
        if (taken != 0) {
            spent[limitHash] += taken;
            balanceOf[limit.payer] -= taken;
            (uint256 data, uint256 model) = _divide(taken, schedule, sums);
            emit Debited(limit.payer, batch.epoch, limitHash, batch.part, taken, data, model, _nextSeq());
        }
        if (taken != debit.amount) {
            emit DebitShort(
                limit.payer, batch.epoch, limitHash, batch.part, debit.amount, taken, reason, _nextSeq()
            );
        }
    }

    /// @dev What can be taken now, and why it is less than the amount. The signature, which may cost a call
    /// into the payer's code, is checked only when something could be taken.
    function _collectable(bytes32 limitHash, Debit calldata debit)
        private
        view
        returns (uint256 amount, ShortReason reason)
    {
        SpendingLimit calldata limit = debit.limit;
        if (block.timestamp > limit.expiry) return (0, ShortReason.LimitExpired);
        uint64 ended = cancelledFrom[limit.payer][limit.nonce];
        if (ended != 0 && block.timestamp >= ended) return (0, ShortReason.LimitCancelled);
        uint256 room = limit.maxAmount - spent[limitHash];
        uint256 balance = balanceOf[limit.payer];
        amount = debit.amount;
        if (amount > room) (amount, reason) = (room, ShortReason.LimitExhausted);
        if (amount > balance) (amount, reason) = (balance, ShortReason.BalanceTooSmall);
        if (amount != 0 && !BoundedSignatures.isValid(limit.payer, limitHash, debit.signature)) {
            return (0, ShortReason.SignatureInvalid);
        }
    }

    function _addParts(Debit calldata debit, Sums memory sums) private pure {
        if (debit.limit.payer != sums.payer) {
            (sums.payer, sums.dataLeft, sums.modelLeft) = (debit.limit.payer, 0, 0);
        }
        sums.dataLeft = Math.saturatingAdd(sums.dataLeft, debit.dataPart);
        sums.modelLeft = Math.saturatingAdd(sums.modelLeft, debit.modelPart);
    }

    /// @dev The data pool's largest part is rounded up, so that a debt taken in several debits gives it no wei
    /// less than one taken at once; the others are rounded down, and never sum to more than was taken.
    function _divide(uint256 taken, FeeSchedule memory schedule, Sums memory sums)
        private
        pure
        returns (uint256 data, uint256 model)
    {
        data = Math.min(sums.dataLeft, Math.ceilDiv(taken * schedule.dataBps, BPS));
        model = Math.min(sums.modelLeft, taken * schedule.modelBps / BPS);
        sums.dataLeft -= data;
        sums.modelLeft -= model;
        uint256 stakers = taken * schedule.stakersBps / BPS;
        sums.total += taken;
        sums.dataPool += data;
        sums.modelPool += model;
        sums.stakersAmount += stakers;
        sums.platformAmount += taken - data - model - stakers;
    }

    function _emitDebited(Batch calldata batch, bytes32 prevRoot, Sums memory sums) private {
        emit BatchDebited(
            batch.epoch,
            batch.part,
            batch.receiptsRoot,
            batch.isLast,
            prevRoot,
            sums.owed,
            sums.total,
            sums.dataPool,
            sums.modelPool,
            sums.stakersAmount,
            sums.platformAmount,
            _nextSeq()
        );
    }

    function _payOut(Sums memory sums, address stakersPool) private {
        uint256 pools = sums.dataPool + sums.modelPool;
        if (pools != 0) {
            token.forceApprove(address(distributor), pools);
            distributor.fund(pools);
        }
        if (sums.stakersAmount != 0) token.safeTransfer(stakersPool, sums.stakersAmount);
        if (sums.platformAmount != 0) token.safeTransfer(treasury, sums.platformAmount);
    }
}
