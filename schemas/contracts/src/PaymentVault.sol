// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

import {ExactTransfer} from "./ExactTransfer.sol";
import {Sequenced} from "./Sequenced.sol";
import {Debit, SpendingLimit, SpendingLimits} from "./SpendingLimits.sol";
import {Stoppable} from "./Stoppable.sol";
import {IRewardPool} from "./interfaces/IRewardPool.sol";

/// @title PaymentVault
/// @notice Holds what payers deposited. A spender debits them per batch of receipts, within limits they signed.
/// @dev Where the money can go is fixed at deployment: the reward distributor, the treasury, or back to the
/// payer. The owner can stop debits and name the operator; it can neither move money nor stop withdrawals.
///
/// A payer's loss to a dishonest spender is at most the limit that it signed. A spender's risk is a payer that
/// leaves: a withdrawal waits `withdrawalDelay` seconds, in which debits still reach the balance, so a spender
/// must count `balanceOf(payer)` less the amount in {withdrawalOf} as what backs new answers. A cancelled
/// limit ends at once, so debit often.
contract PaymentVault is EIP712, Sequenced, Stoppable, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;
    using ExactTransfer for IERC20;
    using SpendingLimits for SpendingLimit;

    struct Withdrawal {
        uint256 amount;
        uint64 availableAt;
    }

    uint256 private constant BPS = 10_000;
    /// @notice The longest withdrawal delay a deployment can choose.
    uint64 public constant MAX_WITHDRAWAL_DELAY = 30 days;

    /// @notice The ERC-20 that is deposited and paid out.
    IERC20 public immutable token;
    /// @notice Receives the data pool of each batch.
    IRewardPool public immutable distributor;
    /// @notice Receives the platform's part of each batch.
    address public immutable treasury;
    /// @notice The least part of a batch that goes to the treasury, in basis points, rounded down.
    uint16 public immutable platformBps;
    /// @notice Seconds between a withdrawal's request and its payment.
    uint64 public immutable withdrawalDelay;

    /// @notice The only account that may post batches; zero lets every spender post.
    /// @dev Batches form one chain, so while this is zero anybody can post a batch against a limit signed
    /// by himself and so take the next batch id. Name the operator wherever strangers can transact.
    address public operator;
    /// @notice Number of batches so far, and the id of the last one.
    uint64 public batchCount;
    /// @notice The receipts root of the last batch; zero before the first.
    bytes32 public lastBatchRoot;
    /// @notice What each payer has, in token wei.
    mapping(address payer => uint256) public balanceOf;
    /// @notice What was debited under a limit so far; the key is {hashLimit}.
    mapping(bytes32 limitHash => uint256) public spent;
    /// @notice Whether the payer cancelled its limits of this nonce.
    mapping(address payer => mapping(uint256 nonce => bool)) public isCancelled;
    /// @notice The payer's open request: amount and the first second at which it can be paid.
    mapping(address payer => Withdrawal) public withdrawalOf;

    event Deposited(address indexed payer, address indexed from, uint256 amount, uint64 seq);
    event WithdrawalRequested(address indexed payer, uint256 amount, uint64 availableAt, uint64 seq);
    event Withdrawn(address indexed payer, uint256 amount, uint64 seq);
    event Debited(address indexed payer, uint64 indexed batchId, uint256 amount, uint64 seq);
    event BatchDebited(
        uint64 indexed batchId,
        bytes32 indexed receiptsRoot,
        bytes32 prevRoot,
        uint256 total,
        uint256 dataPool,
        uint256 platformAmount,
        uint64 seq
    );
    event LimitCancelled(address indexed payer, uint256 nonce, uint64 seq);
    event OperatorSet(address indexed operator, uint64 seq);

    /// @notice An address given at deployment, or the payer of a deposit, is zero.
    error ZeroAddress();
    /// @notice The amount is zero.
    error ZeroAmount();
    /// @notice The platform's part is above 10,000 basis points.
    error PlatformBpsTooHigh(uint16 platformBps);
    /// @notice The withdrawal delay is above {MAX_WITHDRAWAL_DELAY}.
    error WithdrawalDelayTooLong(uint64 withdrawalDelay);
    /// @notice The distributor holds another token than the vault.
    error TokenMismatch(address vaultToken, address distributorToken);
    /// @notice The payer has less than is asked for.
    error InsufficientBalance(address payer, uint256 balance, uint256 needed);
    /// @notice The payer requested no withdrawal.
    error NoWithdrawal(address payer);
    /// @notice The withdrawal's delay has not passed.
    error WithdrawalNotReady(uint64 availableAt);
    /// @notice An operator is set and the caller is another account.
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
    /// @notice The limit's time is over.
    error LimitExpired(bytes32 limitHash, uint64 expiry);
    /// @notice The payer cancelled the limit, now or before.
    error LimitIsCancelled(address payer, uint256 nonce);
    /// @notice The debits under this limit would exceed its maximum.
    error LimitExceeded(bytes32 limitHash, uint256 maxAmount, uint256 needed);
    /// @notice The payer did not sign this limit for this vault on this chain.
    error InvalidSignature(bytes32 limitHash, address payer);
    /// @notice The data pool leaves less than the platform's minimum.
    error DataPoolTooLarge(uint256 dataPool, uint256 largest);

    /// @param token_ ERC-20 that neither charges on transfer nor rebases.
    /// @param distributor_ Takes the data pool; must hold the same token.
    /// @param treasury_ Takes the platform's part.
    /// @param owner_ May stop debits and name the operator.
    /// @param platformBps_ The platform's least part, in basis points.
    /// @param withdrawalDelay_ Seconds a payer waits for its money.
    constructor(
        address token_,
        address distributor_,
        address treasury_,
        address owner_,
        uint16 platformBps_,
        uint64 withdrawalDelay_
    ) EIP712("Headwater PaymentVault", "1") Ownable(owner_) {
        if (token_ == address(0) || distributor_ == address(0) || treasury_ == address(0)) {
            revert ZeroAddress();
        }
        if (platformBps_ > BPS) revert PlatformBpsTooHigh(platformBps_);
        if (withdrawalDelay_ > MAX_WITHDRAWAL_DELAY) revert WithdrawalDelayTooLong(withdrawalDelay_);
        address distributorToken = IRewardPool(distributor_).token();
        if (distributorToken != token_) revert TokenMismatch(token_, distributorToken);
        token = IERC20(token_);
        distributor = IRewardPool(distributor_);
        treasury = treasury_;
        platformBps = platformBps_;
        withdrawalDelay = withdrawalDelay_;
    }

    /// @notice Adds `amount` of the caller's token to the caller's balance. Approve first.
    function deposit(uint256 amount) external {
        _deposit(msg.sender, amount);
    }

    /// @notice Adds `amount` of the caller's token to `payer`'s balance. Approve first.
    function depositFor(address payer, uint256 amount) external {
        _deposit(payer, amount);
    }

    /// @notice Asks for `amount` back. Replaces an open request and starts its delay again.
    function requestWithdrawal(uint256 amount) external {
        if (amount == 0) revert ZeroAmount();
        uint256 balance = balanceOf[msg.sender];
        if (amount > balance) revert InsufficientBalance(msg.sender, balance, amount);
        uint64 availableAt = uint64(block.timestamp) + withdrawalDelay;
        withdrawalOf[msg.sender] = Withdrawal(amount, availableAt);
        emit WithdrawalRequested(msg.sender, amount, availableAt, _nextSeq());
    }

    /// @notice Pays the requested amount, or what debits have left of it. Works while stopped.
    function withdraw() external nonReentrant {
        Withdrawal memory request = withdrawalOf[msg.sender];
        if (request.amount == 0) revert NoWithdrawal(msg.sender);
        if (block.timestamp < request.availableAt) revert WithdrawalNotReady(request.availableAt);
        uint256 balance = balanceOf[msg.sender];
        if (balance == 0) revert InsufficientBalance(msg.sender, 0, request.amount);
        uint256 amount = request.amount < balance ? request.amount : balance;

        delete withdrawalOf[msg.sender];
        balanceOf[msg.sender] = balance - amount;
        emit Withdrawn(msg.sender, amount, _nextSeq());
        token.safeTransfer(msg.sender, amount);
    }

    /// @notice Ends the caller's limits of this nonce, from now on.
    function cancelLimit(uint256 nonce) external {
        if (isCancelled[msg.sender][nonce]) revert LimitIsCancelled(msg.sender, nonce);
        isCancelled[msg.sender][nonce] = true;
        emit LimitCancelled(msg.sender, nonce, _nextSeq());
    }

    /// @notice Names the only account that may post batches; zero lets every spender post. Owner only.
    function setOperator(address operator_) external onlyOwner {
        operator = operator_;
        emit OperatorSet(operator_, _nextSeq());
    }

    /// @notice Debits the payers of one batch of receipts and pays the data pool and the platform.
    /// All or nothing. The caller must be the spender of every limit.
    /// @param batchId The last batch's id plus 1.
    /// @param receiptsRoot Merkle root over the batch's receipts.
    /// @param prevRoot The last batch's receipts root; zero for the first.
    /// @param debits Each payer's signed limit and amount; one limit may occur more than once.
    /// @param dataPool What contributors get of the total, in token wei; the rest goes to the treasury.
    function debitBatch(
        uint64 batchId,
        bytes32 receiptsRoot,
        bytes32 prevRoot,
        Debit[] calldata debits,
        uint256 dataPool
    ) external nonReentrant whenNotPaused {
        if (operator != address(0) && operator != msg.sender) {
            revert NotOperator(msg.sender);
        }
        _advanceBatch(batchId, receiptsRoot, prevRoot);
        if (debits.length == 0) revert EmptyBatch();
        uint256 total = 0;
        for (uint256 i = 0; i < debits.length; ++i) {
            total += _debit(batchId, debits[i]);
        }
        uint256 largestPool = total - total * platformBps / BPS;
        if (dataPool > largestPool) revert DataPoolTooLarge(dataPool, largestPool);
        uint256 platformAmount = total - dataPool;
        emit BatchDebited(batchId, receiptsRoot, prevRoot, total, dataPool, platformAmount, _nextSeq());
        _payOut(dataPool, platformAmount);
    }

    /// @notice The EIP-712 digest that the payer signs, and the key of {spent}.
    function hashLimit(SpendingLimit calldata limit) public view returns (bytes32) {
        return _hashTypedDataV4(limit.structHash());
    }

    function _deposit(address payer, uint256 amount) private nonReentrant {
        if (payer == address(0)) revert ZeroAddress();
        if (amount == 0) revert ZeroAmount();
        balanceOf[payer] += amount;
        emit Deposited(payer, msg.sender, amount, _nextSeq());
        token.pullExact(msg.sender, amount);
    }

    function _advanceBatch(uint64 batchId, bytes32 receiptsRoot, bytes32 prevRoot) private {
        uint64 next = batchCount + 1;
        if (batchId != next) revert WrongBatchId(next, batchId);
        if (prevRoot != lastBatchRoot) revert WrongPrevRoot(lastBatchRoot, prevRoot);
        if (receiptsRoot == bytes32(0)) revert ZeroRoot();
        batchCount = batchId;
        lastBatchRoot = receiptsRoot;
    }

    /// @dev The signature check may call the payer's contract, but only by `staticcall` (ERC-1271).
    function _debit(uint64 batchId, Debit calldata debit) private returns (uint256 amount) {
        SpendingLimit calldata limit = debit.limit;
        address payer = limit.payer;
        bytes32 limitHash = hashLimit(limit);
        if (limit.spender != msg.sender) revert WrongSpender(limitHash, limit.spender);
        if (block.timestamp > limit.expiry) revert LimitExpired(limitHash, limit.expiry);
        if (isCancelled[payer][limit.nonce]) revert LimitIsCancelled(payer, limit.nonce);
        if (!SignatureChecker.isValidSignatureNowCalldata(payer, limitHash, debit.signature)) {
            revert InvalidSignature(limitHash, payer);
        }
        amount = debit.amount;
        uint256 spentAfter = spent[limitHash] + amount;
        if (spentAfter > limit.maxAmount) revert LimitExceeded(limitHash, limit.maxAmount, spentAfter);
        uint256 balance = balanceOf[payer];
        if (amount > balance) revert InsufficientBalance(payer, balance, amount);

        spent[limitHash] = spentAfter;
        balanceOf[payer] = balance - amount;
        emit Debited(payer, batchId, amount, _nextSeq());
    }

    function _payOut(uint256 dataPool, uint256 platformAmount) private {
        if (dataPool != 0) {
            token.forceApprove(address(distributor), dataPool);
            distributor.fund(dataPool);
        }
        if (platformAmount != 0) token.safeTransfer(treasury, platformAmount);
    }
}
