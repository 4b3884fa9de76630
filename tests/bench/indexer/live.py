"""How far an indexer is behind a chain that grows: a block every 200 ms, each with rows."""

import math
import threading
import time
from pathlib import Path

from chain import Chain, Filled
from report import Lag
from runners import Job

BLOCK_EVERY_S = 0.2
EVENTS_PER_BLOCK = 8
POLL_S = 0.02
START_LIMIT_S = 120
CATCH_UP_LIMIT_S = 60
LIVE_RUNNERS = ("headwater-full", "headwater-logs", "ponder")


def measure_lag(chain: Chain, runner, abi_path: Path, folder: Path, core: int, seconds: float) -> Lag:
    contract = chain.deploy("Storm")
    first = chain.block_number() + 1
    mine_block(chain, contract)
    job = Job(chain.url, Filled(contract, first, first, EVENTS_PER_BLOCK, chain.indexed_topics()), abi_path, folder, core)
    running, service = runner.start(job, None)
    try:
        wait_for(runner, service, first, START_LIMIT_S)
        mined, seen = {}, {}
        poller = threading.Thread(target=poll, args=(runner, service, seen, first, mined, done := threading.Event()))
        poller.start()
        grow(chain, contract, seconds, mined)
        done.set()
        poller.join()
    finally:
        running.stop()
    missing = [number for number in mined if number not in seen]
    if missing:
        raise SystemExit(f"{runner.name} did not show {len(missing)} of {len(mined)} blocks in {CATCH_UP_LIMIT_S} s")
    return summary(runner.label, mined, seen)


def grow(chain: Chain, contract: str, seconds: float, mined: dict) -> None:
    start, number = time.monotonic(), chain.block_number()
    for turn in range(1, int(seconds / BLOCK_EVERY_S) + 1):
        time.sleep(max(0.0, start + turn * BLOCK_EVERY_S - time.monotonic()))
        mine_block(chain, contract)
        mined[number + turn] = time.monotonic()


def mine_block(chain: Chain, contract: str) -> None:
    chain.send_method(contract, "emitMany(uint256)", EVENTS_PER_BLOCK)
    chain.mine()


def wait_for(runner, service: str, number: int, limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while runner.newest_row(service) < number:
        if time.monotonic() > deadline:
            raise SystemExit(f"{runner.name} did not show block {number} in {limit_s} s")
        time.sleep(0.1)


def poll(runner, service: str, seen: dict, newest: int, mined: dict, done: threading.Event) -> None:
    """Notes when each block was first seen, until all mined ones were or the limit after the last has passed."""
    deadline = None
    while True:
        visible = runner.newest_row(service)
        now = time.monotonic()
        seen.update((number, now) for number in range(newest + 1, visible + 1))
        newest = max(newest, visible)
        if done.is_set():
            deadline = deadline or now + CATCH_UP_LIMIT_S
            if newest >= max(mined, default=0) or now > deadline:
                return
        time.sleep(POLL_S)


def summary(label: str, mined: dict, seen: dict) -> Lag:
    lags_ms = sorted(max(0.0, seen[number] - mined_at) * 1000 for number, mined_at in mined.items())
    behind = sorted(sum(later > number and at <= seen[number] for later, at in mined.items()) for number in mined)
    return Lag(label, len(mined), quantile(lags_ms, 0.5), quantile(lags_ms, 0.99), quantile(behind, 0.5), quantile(behind, 0.99))


def quantile(ordered: list, share: float):
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
