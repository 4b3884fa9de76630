// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {FeeSchedule} from "../../src/FeeSchedules.sol";
import {OpenToken} from "../../src/OpenToken.sol";
import {PaymentVault} from "../../src/PaymentVault.sol";
import {RewardDistributor} from "../../src/RewardDistributor.sol";
import {Debit, SpendingLimit} from "../../src/SpendingLimits.sol";
import {MerkleTree} from "./MerkleTree.sol";
import {TestBase} from "./TestBase.sol";

/// @notice The actors of an invariant run. Every action is one that must succeed, or does nothing.
/// Keeps its own books, which the invariants compare with the contracts'.
contract Journey is TestBase {
    uint256 public constant PAYERS = 3;
    uint256 public constant EARNERS = 5;
    uint256 public constant LIMIT = 200 ether;
    uint64 private constant WINDOW = 1 hours;
    uint64 private constant DELAY = 1 hours;
    uint256 private constant BOND = 3 ether;
    address public constant TREASURY = address(0x7EA5);
    address public constant STAKERS = address(0x57A4);
    address public constant BONDS = address(0xB0D5);

    OpenToken public token;
    RewardDistributor public distributor;
    PaymentVault public vault;

    uint256 public deposited;
    uint256 public vaultEvents;
    uint256 public distributorEvents;
    uint256[PAYERS] public debited;
    /// @notice What the schedules in force promised at least to the platform and exactly to the stakers.
    uint256 public platformLeast;
    uint256 public stakersPart;
    /// @notice Bonds that were taken, and those that left again.
    uint256 public bondsTaken;
    uint256 public bondsPaid;
    /// @notice Each earner's leaf in the accepted tree.
    uint256[EARNERS] public entitled;
    uint256[EARNERS] private _proposed;
    bool private _disputed;
    /// @dev Kept here because forge sets the time back to the test's between calls.
    uint256 private _now;

    constructor() {
        _now = block.timestamp;
        token = new OpenToken(address(this));
        distributor = new RewardDistributor(address(token), address(this), address(this), WINDOW, BOND, BONDS);
        FeeSchedule memory first = FeeSchedule(1_500, 1_000, 500, 7_000, STAKERS);
        address self = address(this);
        vault =
            new PaymentVault(address(token), address(distributor), TREASURY, self, self, first, DELAY, DELAY);
        vaultEvents = vault.seq();
        token.approve(address(distributor), type(uint256).max);
    }

    function payer(uint256 i) public pure returns (address) {
        return vm.addr(0xBEEF + i);
    }

    function earner(uint256 i) public pure returns (address) {
        return address(uint160(0xEA0000 + i));
    }

    function limit(uint256 i) public view returns (SpendingLimit memory) {
        return SpendingLimit(payer(i), address(this), LIMIT, type(uint64).max, 1);
    }

    function deposit(uint256 who, uint256 amount) external {
        amount = bound(amount, 1, 100 ether);
        token.mint(address(this), amount);
        token.approve(address(vault), amount);
        vault.depositFor(payer(who % PAYERS), amount);
        deposited += amount;
        ++vaultEvents;
    }

    /// @notice Owes anything: more than the limit, more than the balance, under a junk signature or a
    /// cancelled limit. The batch must go on and take exactly what may be taken.
    function debit(uint256 who, uint256 amount, uint256 dataPool, uint256 modelPool, uint256 mischief)
        external
    {
        who %= PAYERS;
        amount = bound(amount, 1, 150 ether);
        vm.warp(_now);
        bool junk = mischief % 8 == 0;
        uint256 taken = junk ? 0 : takeable(who, amount);
        uint256 funded = distributor.totalFunded();
        Debit[] memory debits = debitOf(who, amount, junk ? 0xBAD : 0xBEEF + who);
        (debits[0].dataPart, debits[0].modelPart) = (dataPool, modelPool);
        post(debits, mischief % 3 == 0);
        debited[who] += taken;
        // The data pool's part is rounded up.
        uint256 least = taken * vault.fees().platformBps / 10_000;
        platformLeast += least == 0 ? 0 : least - 1;
        stakersPart += taken * vault.fees().stakersBps / 10_000;
        vaultEvents += (taken > 0 ? 1 : 0) + (taken < amount ? 1 : 0) + 1;
        if (distributor.totalFunded() > funded) ++distributorEvents;
    }

    function debitOf(uint256 who, uint256 amount, uint256 key) private view returns (Debit[] memory debits) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, vault.hashLimit(limit(who)));
        debits = new Debit[](1);
        debits[0] = Debit(limit(who), abi.encodePacked(r, s, v), amount, 0, 0);
    }

    /// @dev The next part of an epoch that has more, or the first of the next one.
    function post(Debit[] memory debits, bool hasMore) private {
        (uint64 epoch, uint64 part, bool isLast, bytes32 receiptsRoot) = vault.lastBatch();
        bool goesOn = epoch != 0 && !isLast;
        if (!goesOn) ++epoch;
        bytes32 next = keccak256(abi.encode(epoch));
        PaymentVault.Batch memory batch = PaymentVault.Batch(epoch, goesOn ? part + 1 : 1, !hasMore, next);
        vault.debitBatch(batch, receiptsRoot, debits);
    }

    function takeable(uint256 who, uint256 amount) private view returns (uint256) {
        uint64 ended = vault.cancelledFrom(payer(who), 1);
        if (ended != 0 && _now >= ended) return 0;
        uint256 room = LIMIT - debited[who];
        uint256 balance = vault.balanceOf(payer(who));
        if (amount > room) amount = room;
        return amount > balance ? balance : amount;
    }

    function cancel(uint256 who, uint256 seed) external {
        address by = payer(who % PAYERS);
        if (seed % 16 != 0 || vault.cancelledFrom(by, 1) != 0) return;
        vm.warp(_now);
        vm.prank(by);
        vault.cancelLimit(1);
        ++vaultEvents;
    }

    function changeFees(uint16 data, uint16 model, uint16 staked) external {
        FeeSchedule memory next;
        next.dataBps = data % 10_001;
        next.modelBps = model % (10_001 - next.dataBps);
        next.stakersBps = staked % (10_001 - next.dataBps - next.modelBps);
        next.platformBps = 10_000 - next.dataBps - next.modelBps - next.stakersBps;
        next.stakersPool = STAKERS;
        vm.warp(_now);
        vault.proposeFees(next);
        passTime(DELAY);
        vault.activateFees();
        vaultEvents += 2;
    }

    function requestWithdrawal(uint256 who, uint256 amount) external {
        address by = payer(who % PAYERS);
        uint256 balance = vault.balanceOf(by);
        if (balance == 0) return;
        vm.warp(_now);
        vm.prank(by);
        vault.requestWithdrawal(bound(amount, 1, balance));
        ++vaultEvents;
    }

    function withdraw(uint256 who) external {
        address by = payer(who % PAYERS);
        (uint256 requested,) = vault.withdrawalOf(by);
        if (requested == 0 || vault.balanceOf(by) == 0) return;
        passTime(DELAY);
        vm.prank(by);
        vault.withdraw();
        ++vaultEvents;
    }

    /// @notice Shares part of what is funded and not yet promised among the earners.
    function propose(uint256 seed) external {
        if (distributor.pending().epoch != 0) return;
        uint256 total = distributor.totalCumulative();
        uint256 free = distributor.totalFunded() - total;
        bytes32[] memory leaves = new bytes32[](EARNERS);
        for (uint256 i = 0; i < EARNERS; ++i) {
            uint256 growth = uint256(keccak256(abi.encode(seed, i))) % (free / EARNERS + 1);
            _proposed[i] = entitled[i] + growth;
            total += growth;
            leaves[i] = distributor.leafOf(earner(i), _proposed[i]);
        }
        uint64 epoch = distributor.acceptedEpoch() + 1;
        vm.warp(_now);
        distributor.proposeRoot(epoch, MerkleTree.build(leaves)[0], 0, total, 1, 0, 0);
        ++distributorEvents;
    }

    function dispute() external {
        uint64 epoch = distributor.pending().epoch;
        vm.warp(_now);
        if (epoch == 0 || _disputed || _now >= distributor.pending().disputableUntil) return;
        token.mint(address(this), BOND);
        distributor.dispute(epoch, distributor.pending().root, 0);
        bondsTaken += BOND;
        _disputed = true;
        ++distributorEvents;
    }

    function resolve(bool valid) external {
        if (!_disputed) return;
        distributor.resolveDispute(distributor.pending().epoch, valid);
        _disputed = false;
        distributorEvents += 2;
    }

    function revoke(uint256 seed) external {
        uint64 epoch = distributor.pending().epoch;
        if (epoch == 0 || seed % 4 != 0) return;
        distributor.revokeRoot(epoch);
        distributorEvents += _disputed ? 2 : 1;
        _disputed = false;
    }

    function withdrawBond(bool disputers) external {
        address to = disputers ? address(this) : BONDS;
        uint256 owed = distributor.bondOf(to);
        if (owed == 0) return;
        distributor.withdrawBond(to);
        bondsPaid += owed;
        ++distributorEvents;
    }

    function accept() external {
        uint64 epoch = distributor.pending().epoch;
        if (epoch == 0 || _disputed) return;
        passTime(WINDOW);
        distributor.acceptRoot(epoch);
        entitled = _proposed;
        ++distributorEvents;
    }

    function claim(uint256 who) external {
        who %= EARNERS;
        if (entitled[who] <= distributor.claimed(earner(who))) return;
        bytes32[] memory leaves = new bytes32[](EARNERS);
        for (uint256 i = 0; i < EARNERS; ++i) {
            leaves[i] = distributor.leafOf(earner(i), entitled[i]);
        }
        bytes32[] memory path =
            MerkleTree.proof(MerkleTree.build(leaves), distributor.leafOf(earner(who), entitled[who]));
        distributor.claim(earner(who), entitled[who], distributor.root(), path);
        ++distributorEvents;
    }

    function passTime(uint256 seconds_) private {
        _now += seconds_;
        vm.warp(_now);
    }
}
