// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {BoundedSignatures} from "./BoundedSignatures.sol";
import {FeeSchedule, FeeSchedules} from "./FeeSchedules.sol";
import {PayerBalances} from "./PayerBalances.sol";
import {Debit, ShortReason, SpendingLimit, SpendingLimits} from "./SpendingLimits.sol";
import {IRewardPool} from "./interfaces/IRewardPool.sol";

/// @title PaymentVault
/// @notice Holds what payers deposited. The operator debits them per batch of receipts, within limits they
/// signed, and each batch is divided by the fee schedule.
/// @dev Where the money can go: the reward distributor and the treasury, both fixed at deployment, the
/// stakers' pool of the fee schedule, or back to the payer. The owner can stop debits, name the operator and
/// propose a fee schedule; it can neither move money nor stop withdrawals.
///
/// A payer's loss to a dishonest operator is at most the limit that it signed. What a payer can do to a debit
/// (an ended limit, a small balance, a wallet that takes its signature back) makes that debit short and the
/// batch goes on: the operator bears the shortfall. It has to count pending withdrawals and cancellations as
/// gone when it decides what backs a new answer; `withdrawalDelay` is its time to debit what was given before.
contract PaymentVault is EIP712, FeeSchedules, PayerBalances {
    using SafeERC20 for IERC20;
    using SpendingLimits for SpendingLimit;

    /// @dev One batch on its way through {debitBatch}; all amounts in token wei.
    struct Batch {
        uint64 id;
        bytes32 receiptsRoot;
        bytes32 prevRoot;
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
    /// @notice Number of batches so far, and the id of the last one.
    uint64 public batchCount;
    /// @notice The receipts root of the last batch; zero before the first.
    bytes32 public lastBatchRoot;
    /// @notice What was debited under a limit so far; the key is {hashLimit}.
    mapping(bytes32 limitHash => uint256) public spent;

    event Debited(address indexed payer, uint64 indexed batchId, uint256 amount, uint64 seq);
    /// @dev Says nothing against the payer where `reason` is `SignatureInvalid`: then nothing shows that the
    /// payer signed.
    event DebitShort(
        address indexed payer,
        uint64 indexed batchId,
        uint256 owed,
        uint256 taken,
        ShortReason reason,
        uint64 seq
    );
    event BatchDebited(
        uint64 indexed batchId,
        bytes32 indexed receiptsRoot,
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
    /// @notice The batch is not the one after the last.
    error WrongBatchId(uint64 expected, uint64 given);
    /// @notice The batch does not build on the last one.
    error WrongPrevRoot(bytes32 expected, bytes32 given);
    /// @notice A batch's receipts root cannot be zero.
    error ZeroRoot();
    /// @notice A batch needs at least one debit.
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

    /// @notice Debits the payers of one batch of receipts and divides what was collected. Operator only, who
    /// must be the spender of every limit.
    /// @param batchId The last batch's id plus 1.
    /// @param receiptsRoot Merkle root over the batch's receipts.
    /// @param prevRoot The last batch's receipts root; zero for the first.
    /// @param debits Each payer's signed limit and amount; one limit may occur more than once.
    /// @param dataPool What the receipts attributed to contributors, in token wei; at most their scheduled
    /// part of what was collected is paid.
    /// @param modelPool What the receipts attributed to owners of models; likewise.
    function debitBatch(
        uint64 batchId,
        bytes32 receiptsRoot,
        bytes32 prevRoot,
        Debit[] calldata debits,
        uint256 dataPool,
        uint256 modelPool
    ) external nonReentrant whenNotPaused {
        if (msg.sender != operator) revert NotOperator(msg.sender);
        if (debits.length == 0) revert EmptyBatch();
        _advanceBatch(batchId, receiptsRoot, prevRoot);
        Batch memory batch = Batch(batchId, receiptsRoot, prevRoot, 0, 0, 0, 0, 0, 0);
        for (uint256 i = 0; i < debits.length; ++i) {
            batch.owed += debits[i].amount;
            batch.total += _debit(batchId, debits[i]);
        }
        _divide(batch, dataPool, modelPool);
        _emitDebited(batch);
        _payOut(batch);
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

    function _advanceBatch(uint64 batchId, bytes32 receiptsRoot, bytes32 prevRoot) private {
        uint64 next = batchCount + 1;
        if (batchId != next) revert WrongBatchId(next, batchId);
        if (prevRoot != lastBatchRoot) revert WrongPrevRoot(lastBatchRoot, prevRoot);
        if (receiptsRoot == bytes32(0)) revert ZeroRoot();
        batchCount = batchId;
        lastBatchRoot = receiptsRoot;
    }

    function _debit(uint64 batchId, Debit calldata debit) private returns (uint256 taken) {
        SpendingLimit calldata limit = debit.limit;
        bytes32 limitHash = hashLimit(limit);
        if (limit.spender != msg.sender) revert WrongSpender(limitHash, limit.spender);
        if (debit.amount == 0) revert ZeroAmount();
        ShortReason reason;
        (taken, reason) = _collectable(limitHash, debit);
        if (taken != 0) {
            spent[limitHash] += taken;
            balanceOf[limit.payer] -= taken;
            emit Debited(limit.payer, batchId, taken, _nextSeq());
        }
        if (taken != debit.amount) {
            emit DebitShort(limit.payer, batchId, debit.amount, taken, reason, _nextSeq());
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

    function _divide(Batch memory batch, uint256 dataPool, uint256 modelPool) private view {
        FeeSchedule memory schedule = fees();
        uint256 total = batch.total;
        uint256 largestData = total * schedule.dataBps / BPS;
        uint256 largestModel = total * schedule.modelBps / BPS;
        batch.dataPool = dataPool < largestData ? dataPool : largestData;
        batch.modelPool = modelPool < largestModel ? modelPool : largestModel;
        batch.stakersAmount = total * schedule.stakersBps / BPS;
        batch.platformAmount = total - batch.dataPool - batch.modelPool - batch.stakersAmount;
    }

    function _emitDebited(Batch memory batch) private {
        emit BatchDebited(
            batch.id,
            batch.receiptsRoot,
            batch.prevRoot,
            batch.owed,
            batch.total,
            batch.dataPool,
            batch.modelPool,
            batch.stakersAmount,
            batch.platformAmount,
            _nextSeq()
        );
    }

    function _payOut(Batch memory batch) private {
        uint256 pools = batch.dataPool + batch.modelPool;
        if (pools != 0) {
            token.forceApprove(address(distributor), pools);
            distributor.fund(pools);
        }
        if (batch.stakersAmount != 0) token.safeTransfer(fees().stakersPool, batch.stakersAmount);
        if (batch.platformAmount != 0) token.safeTransfer(treasury, batch.platformAmount);
    }
}
