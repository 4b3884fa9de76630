"""The indexers beside each other on one chain: `make bench-indexer`.

One anvil has a core for itself, each indexer the other one; they take turns, and after every run all stored rows are
compared with the oracle. Environment: PEERS, SIZES, ROUNDS and LIVE_S choose less than everything, for instance
PEERS=floor,cryo SIZES=100k ROUNDS=1; the table in BENCHMARKS.md is then left alone and only printed.
"""

import json
import os
import shutil
import sys
from pathlib import Path

from chain import Chain, indexed_abi
from live import LIVE_RUNNERS, measure_lag
from measure import RunFailed, folder_bytes
from oracle import Rows, read_oracle
from report import Result, write_report
from runners import RUNNERS, Job

ROOT = Path(__file__).resolve().parents[3]
WORK = ROOT / ".headwater" / "bench-indexer"
EVENTS_PER_BLOCK = 50
SIZES = {"100k": 2_000, "1m": 20_000}
ROUNDS = 5
# The tables say how many runs a median is of; fewer are only printed.
ROUNDS_MIN = 3
SLOW_ROUNDS = {"100k": 2, "1m": 1}
LIVE_S = 60
CHAIN_CORE, INDEXER_CORE = 0, 1


def run_size(size: str, runners: list, rounds: int) -> list:
    blocks = SIZES[size]
    with Chain(CHAIN_CORE, WORK / "anvil.log") as chain:
        say(f"{size}: filling {blocks} blocks with {EVENTS_PER_BLOCK} events each")
        filled = chain.fill(blocks, EVENTS_PER_BLOCK)
        oracle = read_oracle(chain.rpc, filled)
        if oracle.count != filled.events:
            raise RunFailed(f"the chain holds {oracle.count} events, not {filled.events}")
        say(f"{size}: {oracle.count} rows, sha256 {oracle.sha256}")
        job = Job(chain.url, filled, WORK / "abi.json", WORK / "run", INDEXER_CORE)
        results = [Result(size, filled.events, runner.name, runner.label, runner.keeps_rows) for runner in runners]
        for turn in range(rounds):
            for runner, result in zip(runners, results):
                if turn < (rounds if runner.is_quick else min(rounds, SLOW_ROUNDS[size])):
                    run_once(chain, runner, job, oracle, result)
        return results


def run_once(chain: Chain, runner, job: Job, oracle: Rows, result: Result) -> None:
    empty(job.folder)
    before_s = chain.cpu_s()
    try:
        cost = runner.run(job)
        result.add(cost, chain.cpu_s() - before_s, folder_bytes(job.store))
        say(f"{result.size}: {runner.name} {cost.wall_s:.3f} s")
        difference = runner.difference(job, oracle)
    except RunFailed as error:
        difference = str(error)
    if difference:
        say(f"{result.size}: {runner.name} FAILED: {difference}")
        result.failures.append(difference)


def run_live(runners: list, seconds: float) -> list:
    lags = []
    for runner in runners:
        with Chain(CHAIN_CORE, WORK / "anvil.log") as chain:
            say(f"live: {runner.name} for {seconds:.0f} s")
            empty(WORK / "run")
            lags.append(measure_lag(chain, runner, WORK / "abi.json", WORK / "run", INDEXER_CORE, seconds))
    return lags


def main() -> None:
    chosen = os.environ.get("PEERS", "").split(",") if os.environ.get("PEERS") else [runner.name for runner in RUNNERS]
    sizes = os.environ.get("SIZES", "").split(",") if os.environ.get("SIZES") else list(SIZES)
    if unknown := (set(chosen) - {runner.name for runner in RUNNERS}) | (set(sizes) - SIZES.keys()):
        sys.exit(f"unknown: {sorted(unknown)}; there are {[runner.name for runner in RUNNERS]} and {list(SIZES)}")
    rounds, live_s = int(os.environ.get("ROUNDS") or ROUNDS), float(os.environ.get("LIVE_S") or LIVE_S)
    runners = [runner for runner in RUNNERS if runner.name in chosen]
    for runner in runners:
        runner.install()
    empty(WORK)
    (WORK / "abi.json").write_text(json.dumps(indexed_abi()))
    results = []
    for size in sizes:
        results += run_size(size, [r for r in runners if r.runs_large or size != "1m"], rounds)
    lags = run_live([runner for runner in runners if runner.name in LIVE_RUNNERS], live_s) if live_s > 0 else []
    is_whole = len(runners) == len(RUNNERS) and sizes == list(SIZES) and rounds >= ROUNDS_MIN and live_s > 0
    write_report(ROOT / "BENCHMARKS.md" if is_whole else None, results, lags, [r.version() for r in runners])
    if any(result.failures for result in results):
        sys.exit("a run failed; see above")


def empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
