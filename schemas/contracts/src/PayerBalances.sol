// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {ExactTransfer} from "./ExactTransfer.sol";
import {Sequenced} from "./Sequenced.sol";

/// @title PayerBalances
/// @notice What payers have, and what they alone decide: paying in, taking back, ending a spending limit.
/// @dev Nobody but the payer can start any of this, and nothing here can be stopped. Leaving, whether by
/// withdrawal or by ending a limit, takes effect after `withdrawalDelay` seconds: long enough for answers
/// already given to be debited.
abstract contract PayerBalances is Sequenced, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;
    using ExactTransfer for IERC20;

    struct Withdrawal {
        uint256 amount;
        uint64 availableAt;
    }

    /// @notice The longest withdrawal delay a deployment can choose.
    uint64 public constant MAX_WITHDRAWAL_DELAY = 30 days;

    /// @notice The ERC-20 that is deposited and paid out.
    IERC20 public immutable token;
    /// @notice Seconds between asking for a withdrawal, or cancelling a limit, and its effect.
    uint64 public immutable withdrawalDelay;

    /// @notice What each payer has, in token wei.
    mapping(address payer => uint256) public balanceOf;
    /// @notice The payer's open request: amount and the first second at which it can be paid.
    mapping(address payer => Withdrawal) public withdrawalOf;
    /// @notice The first second at which the payer's limits of this nonce allow no debit any more; 0 while
    /// they are not cancelled.
    mapping(address payer => mapping(uint256 nonce => uint64)) public cancelledFrom;

    event Deposited(address indexed payer, address indexed from, uint256 amount, uint64 seq);
    event WithdrawalRequested(address indexed payer, uint256 amount, uint64 availableAt, uint64 seq);
    event Withdrawn(address indexed payer, uint256 amount, uint64 seq);
    event LimitCancelled(address indexed payer, uint256 nonce, uint64 cancelledFrom, uint64 seq);

    /// @notice An address given at deployment, or the payer of a deposit, is zero.
    error ZeroAddress();
    /// @notice The amount is zero.
    error ZeroAmount();
    /// @notice The withdrawal delay is above {MAX_WITHDRAWAL_DELAY}.
    error WithdrawalDelayTooLong(uint64 withdrawalDelay);
    /// @notice The payer has less than is asked for.
    error InsufficientBalance(address payer, uint256 balance, uint256 needed);
    /// @notice The payer requested no withdrawal.
    error NoWithdrawal(address payer);
    /// @notice The withdrawal's delay has not passed.
    error WithdrawalNotReady(uint64 availableAt);
    /// @notice The payer cancelled its limits of this nonce before.
    error LimitIsCancelled(address payer, uint256 nonce);

    /// @param token_ ERC-20 that neither charges on transfer nor rebases.
    /// @param withdrawalDelay_ Seconds a payer waits for its money, and for a limit to end.
    constructor(address token_, uint64 withdrawalDelay_) {
        if (token_ == address(0)) revert ZeroAddress();
        if (withdrawalDelay_ > MAX_WITHDRAWAL_DELAY) revert WithdrawalDelayTooLong(withdrawalDelay_);
        token = IERC20(token_);
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

    /// @notice Ends the caller's limits of this nonce, once the delay has passed. Cannot be undone.
    function cancelLimit(uint256 nonce) external {
        if (cancelledFrom[msg.sender][nonce] != 0) revert LimitIsCancelled(msg.sender, nonce);
        uint64 from = uint64(block.timestamp) + withdrawalDelay;
        cancelledFrom[msg.sender][nonce] = from;
        emit LimitCancelled(msg.sender, nonce, from, _nextSeq());
    }

    function _deposit(address payer, uint256 amount) private nonReentrant {
        if (payer == address(0)) revert ZeroAddress();
        if (amount == 0) revert ZeroAmount();
        balanceOf[payer] += amount;
        emit Deposited(payer, msg.sender, amount, _nextSeq());
        token.pullExact(msg.sender, amount);
    }
}
