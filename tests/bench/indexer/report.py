"""The tables: what was measured, on which machine, with which command."""

import os
import platform
import statistics
import subprocess
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from measure import Cost

ROOT = Path(__file__).resolve().parents[3]
BEGIN, END = "<!-- bench-indexer: written by `make bench-indexer` -->", "<!-- bench-indexer: end -->"
TOLD_FLAGS = ("avx2", "avx512f", "avx512bw", "sha_ni", "vaes", "neon", "sve")
MIB = 1 << 20


@dataclass
class Result:
    """All runs of one indexer over one range."""

    size: str
    events: int
    name: str
    label: str
    keeps_rows: bool
    costs: list = field(default_factory=list)
    anvil_cpu_s: list = field(default_factory=list)
    disk_bytes: list = field(default_factory=list)
    failures: list = field(default_factory=list)

    def add(self, cost: Cost, anvil_cpu_s: float, disk_bytes: int) -> None:
        self.costs.append(cost)
        self.anvil_cpu_s.append(anvil_cpu_s)
        self.disk_bytes.append(disk_bytes)

    def wall_s(self) -> float:
        return statistics.median(cost.wall_s for cost in self.costs)


@dataclass(frozen=True)
class Lag:
    """From the return of `evm_mine` to the block's rows being visible, for every block of the live test."""

    label: str
    blocks: int
    p50_ms: float
    p99_ms: float
    p50_blocks: int
    p99_blocks: int


def write_report(path: Path | None, results: list, lags: list, versions: list) -> None:
    """Prints the tables, and puts them between the markers of the document at `path`."""
    text = "\n".join([*machine_lines(versions), "", *size_tables(results), *lag_table(lags)])
    print(text)
    if path is None:
        return
    document = path.read_text() if path.exists() else f"# Benchmarks\n\n{BEGIN}\n{END}\n"
    if BEGIN not in document:
        document += f"\n{BEGIN}\n{END}\n"
    before, rest = document.split(BEGIN, 1)
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END, 1)[1]}")


def size_tables(results: list) -> list:
    lines = []
    for size in dict.fromkeys(result.size for result in results):
        of_size = [result for result in results if result.size == size]
        floor = next((result for result in of_size if result.name == "floor" and result.costs), None)
        lines += [f"**{of_size[0].events:,} events**", ""]
        lines += ["| | wall, s (least to most) | × floor | events/s | cpu, s | chain's cpu, s | memory, MiB | disk, MiB | rows |"]
        lines += ["|---|--:|--:|--:|--:|--:|--:|--:|---|"]
        lines += [result_line(result, floor) for result in of_size] + [""]
    return lines


def result_line(result: Result, floor: Result | None) -> str:
    if result.failures or not result.costs:
        reason = result.failures[0].splitlines()[0] if result.failures else "no run"
        return f"| {result.label} | – | – | – | – | – | – | – | **wrong or failed** ({len(result.failures)}): {reason} |"
    walls = [cost.wall_s for cost in result.costs]
    wall_s = result.wall_s()
    cells = [
        result.label,
        f"{wall_s:.2f} ({min(walls):.2f}–{max(walls):.2f}, {len(walls)} runs)",
        f"{wall_s / floor.wall_s():.1f}" if floor else "",
        f"{result.events / wall_s:,.0f}",
        f"{statistics.median(cost.cpu_s for cost in result.costs):.2f}",
        f"{statistics.median(result.anvil_cpu_s):.2f}",
        f"{max(cost.max_rss_bytes for cost in result.costs) / MIB:.0f}",
        f"{statistics.median(result.disk_bytes) / MIB:.1f}" if result.keeps_rows else "–",
        "all equal" if result.keeps_rows else "none kept",
    ]
    return f"| {' | '.join(cells)} |"


def lag_table(lags: list) -> list:
    if not lags:
        return []
    lines = ["**Live**, a block every 200 ms: from the block to its rows being visible", ""]
    lines += ["| | p50, ms | p99, ms | p50, blocks | p99, blocks | blocks |", "|---|--:|--:|--:|--:|--:|"]
    for lag in lags:
        numbers = f"{lag.p50_ms:.0f} | {lag.p99_ms:.0f} | {lag.p50_blocks} | {lag.p99_blocks} | {lag.blocks}"
        lines.append(f"| {lag.label} | {numbers} |")
    return [*lines, ""]


def machine_lines(versions: list) -> list:
    information = Path("/proc/cpuinfo").read_text()
    fields = dict(line.split(":", 1) for line in information.split("\n\n")[0].splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    flags = [flag for flag in TOLD_FLAGS if flag in (fields.get("flags") or fields.get("Features", "")).split()]
    memory_kib = int(Path("/proc/meminfo").read_text().split("MemTotal:")[1].split()[0])
    commit = git("rev-parse", "--short", "HEAD") + (" with changes" if git("status", "--porcelain") else "")
    settings = [f"{name}={os.environ[name]}" for name in ("PEERS", "SIZES", "ROUNDS", "LIVE_S") if os.environ.get(name)]
    return [
        f"`{' '.join(['make bench-indexer', *settings])}` at {commit}, {datetime.now(timezone.utc):%Y-%m-%d}.",
        f"{fields.get('model name', platform.machine())} ({' '.join(flags)}), {os.cpu_count()} cores,"
        f" {memory_kib / (1 << 20):.0f} GiB, Linux {platform.release()}; anvil on one core, the indexer on another.",
        f"{'; '.join(sorted({version for version in versions if version}))}.",
    ]


def git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()
