"""What a run cost: wall and processor time, the most memory, bytes on disk."""

import os
import select
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
MEMORY_EVERY_S = 0.01


@dataclass(frozen=True)
class Cost:
    wall_s: float
    cpu_s: float
    max_rss_bytes: int


class RunFailed(Exception):
    """The peer ended with an error, ended too early or took too long; the message ends with what it printed."""


class Run:
    """One process on one core from its start to its end; `log_path` takes what it prints."""

    def __init__(self, command: list, core: int | None, folder: Path, log_path: Path, environment: dict | None = None):
        pin = ["taskset", "-c", str(core)] if core is not None else []
        self._log_path = log_path
        with log_path.open("wb") as log:
            self._start = time.monotonic()
            self._process = subprocess.Popen(
                [*pin, *map(str, command)],
                cwd=folder,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._max_rss_bytes = 0

    def wait(self) -> Cost:
        """Until it ends by itself, which must be well."""
        exits = os.pidfd_open(self._process.pid)
        while not select.select([exits], [], [], MEMORY_EVERY_S)[0]:
            self._look_at_memory()
        wall_s = time.monotonic() - self._start
        os.close(exits)
        status, usage = self._reap()
        if status != 0:
            raise RunFailed(f"exit status {os.waitstatus_to_exitcode(status)}\n{self.output_tail()}")
        return Cost(wall_s, usage.ru_utime + usage.ru_stime, self._max_rss_bytes)

    def wait_until(self, is_done, poll_s: float, limit_s: float) -> Cost:
        """Until `is_done()`; then ends it."""
        try:
            while not is_done():
                if not self.is_running():
                    raise RunFailed(f"ended before it was done\n{self.output_tail()}")
                if time.monotonic() - self._start > limit_s:
                    raise RunFailed(f"not done after {limit_s} s\n{self.output_tail()}")
                self._look_at_memory()
                time.sleep(poll_s)
            wall_s = time.monotonic() - self._start
            cpu_s = process_cpu_s(self._process.pid)
        finally:
            self.stop()
        return Cost(wall_s, cpu_s, self._max_rss_bytes)

    def is_running(self) -> bool:
        # Leaves the process to `_reap`, which needs its usage.
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def stop(self) -> None:
        if self.is_running():
            self._process.terminate()
            deadline = time.monotonic() + 20
            while self.is_running() and time.monotonic() < deadline:
                time.sleep(0.02)
            if self.is_running():
                self._process.kill()
        self._reap()

    def output_tail(self) -> str:
        return self._log_path.read_text(errors="replace")[-2000:]

    def _look_at_memory(self) -> None:
        # Not `ru_maxrss`: that starts with what the process that started it had.
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        if "VmHWM:" in status:
            self._max_rss_bytes = int(status.split("VmHWM:")[1].split()[0]) * 1024

    def _reap(self):
        _, status, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        return status, usage


def process_cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
