"""The indexers that are measured: how each is installed, run over a range, followed live, and read back.

Peers are installed outside the checkout and pinned to a version. Each run gets an empty folder.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from chain import Filled, free_port
from headwater import Service, deploy_ours
from measure import Cost, Run, RunFailed
from oracle import Rows, row

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headwater" / "bench"
PONDER_LIMIT_S = 3600
PONDER_POLL_S = 0.05
PONDER_SCHEMA = "bench"
FLOOR_BLOCKS_PER_CALL = 20
HEADWATER_LIMIT_S = 60


@dataclass(frozen=True)
class Job:
    url: str
    filled: Filled
    abi_path: Path
    folder: Path
    core: int | None

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def log_path(self) -> Path:
        return self.folder / "output.log"

    def run(self, command: list, folder: Path | None = None, environment: dict | None = None) -> Run:
        return Run(command, self.core, folder or self.folder, self.log_path, environment)

    def range(self) -> list:
        return [self.filled.contract, self.filled.start_block, self.filled.last_block]


class Runner:
    """Everything else needs `install` first; `rows` and `difference` look at what the last `run` left."""

    name = label = ""
    keeps_rows = True
    is_quick = True
    # Whether it also runs the large range.
    runs_large = True

    def install(self) -> None:
        pass

    def version(self) -> str:
        return ""

    def run(self, job: Job) -> Cost:
        raise NotImplementedError

    def rows(self, job: Job):
        """Every stored row as `(number, log index, text)`."""
        raise NotImplementedError

    def difference(self, job: Job, oracle: Rows) -> str | None:
        return oracle.difference(Rows.of(self.rows(job)))


class Floor(Runner):
    name = "floor"
    label = "floor: same logs over two connections, nothing kept"
    keeps_rows = False

    def _command(self, job: Job) -> list:
        port = job.url.rsplit(":", 1)[1]
        topics = ",".join(job.filled.topics)
        return [sys.executable, "-S", "-E", HERE / "floor.py", port, *job.range(), FLOOR_BLOCKS_PER_CALL, topics]

    def run(self, job: Job) -> Cost:
        job.store.mkdir()
        return job.run(self._command(job)).wait()

    def difference(self, job: Job, oracle: Rows) -> str | None:
        received_bytes = int(job.log_path.read_text().split()[0])
        counted_bytes, logs = map(int, subprocess.check_output([*map(str, self._command(job)), "--count"]).split())
        if (received_bytes, logs) == (counted_bytes, oracle.count):
            return None
        return f"{received_bytes} bytes, then {counted_bytes} bytes with {logs} logs of {oracle.count}"


class Cryo(Runner):
    VENV = CACHE / "venv"

    def __init__(self, name: str, label: str, options: list):
        self.name, self.label, self._options = name, label, options

    def install(self) -> None:
        wanted = ["cryo==0.3.2", "pyarrow==26.0.1"]
        stamp = self.VENV / "installed.txt"
        if not stamp.exists() or stamp.read_text().split() != wanted:
            subprocess.run([sys.executable, "-m", "venv", self.VENV], check=True)
            subprocess.run([self.VENV / "bin" / "pip", "install", "--quiet", *wanted], check=True)
            stamp.write_text("\n".join(wanted))

    def version(self) -> str:
        return "cryo 0.3.2"

    def run(self, job: Job) -> Cost:
        command = [self.VENV / "bin" / "python", HERE / "peers" / "cryo" / "fetch.py", job.url, *job.range(), job.store]
        job.store.mkdir()
        return job.run([*command, *self._options]).wait()

    def rows(self, job: Job):
        command = [self.VENV / "bin" / "python", HERE / "peers" / "cryo" / "rows.py", job.store]
        # Cryo's filter takes one first topic, so it stores all logs of the address; those few are not held against it.
        return (entry for entry in parsed(job, command) if entry[2].split(",")[5].startswith(job.filled.topics))


class Ponder(Runner):
    PREFIX = CACHE / "ponder"
    is_quick = False

    def __init__(self, name: str, label: str, endpoints: int, runs_large: bool):
        self.name, self.label, self._endpoints, self.runs_large = name, label, endpoints, runs_large

    def install(self) -> None:
        wanted = (HERE / "peers" / "ponder" / "package.json").read_text()
        stamp = self.PREFIX / "installed.json"
        if not stamp.exists() or stamp.read_text() != wanted:
            self.PREFIX.mkdir(parents=True, exist_ok=True)
            (self.PREFIX / "package.json").write_text(wanted)
            subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"], cwd=self.PREFIX, check=True)
            stamp.write_text(wanted)

    def version(self) -> str:
        return f"ponder 0.16.10 on Node {subprocess.check_output(['node', '--version'], text=True).strip()}"

    def start(self, job: Job, last_block: int | None) -> tuple:
        """The running ponder and the address of its service."""
        shutil.copytree(HERE / "peers" / "ponder", job.store)
        (job.store / "node_modules").symlink_to(self.PREFIX / "node_modules")
        port = free_port()
        environment = {
            "STORM_ABI": str(job.abi_path),
            "STORM_ADDRESS": job.filled.contract,
            "STORM_START": str(job.filled.start_block),
            "STORM_END": str(last_block or ""),
            "STORM_RPC": job.url,
            "STORM_ENDPOINTS": str(self._endpoints),
            "PONDER_TELEMETRY_DISABLED": "1",
            "PONDER_LOG_LEVEL": "warn",
        }
        binary = job.store / "node_modules" / "ponder" / "dist" / "esm" / "bin" / "ponder.js"
        command = ["node", binary, "start", "--schema", PONDER_SCHEMA, "--port", port]
        return job.run(command, job.store, environment), f"http://127.0.0.1:{port}"

    def run(self, job: Job) -> Cost:
        running, service = self.start(job, job.filled.last_block)
        return running.wait_until(lambda: get(f"{service}/ready") is not None, PONDER_POLL_S, PONDER_LIMIT_S)

    def rows(self, job: Job):
        return parsed(job, ["node", HERE / "peers" / "ponder" / "rows.mjs", job.store, PONDER_SCHEMA])

    def newest_row(self, service: str) -> int:
        return json.loads(get(f"{service}/newest") or '{"newest": 0}')["newest"]


class Headwater(Runner):
    TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or HERE.parents[2] / "target")
    BINARY = TARGET / "release" / "headwater"

    def __init__(self, verify: str):
        self.name, self.label = f"headwater-{verify}", f"Headwater, `--verify {verify}`"
        self._verify = verify

    def install(self) -> None:
        if not self.BINARY.exists():
            raise SystemExit("the release build of headwater is missing: cargo build --release --workspace --bins")

    def version(self) -> str:
        return subprocess.check_output([self.BINARY, "--version"], text=True).strip()

    def _sync(self, job: Job) -> list:
        """The one place that knows the command."""
        filled = job.filled
        command = [self.BINARY, "index", "sync", "--store", f"file://{job.store}", "--rpc", job.url]
        command += ["--contract", f"Storm={filled.contract}:{job.abi_path}", "--start-block", filled.start_block]
        return [*command, "--verify", self._verify, "--to", "finalized"]

    def run(self, job: Job) -> Cost:
        job.store.mkdir()
        return job.run(self._sync(job)).wait()

    def start(self, job: Job, last_block: int | None) -> tuple:
        """The running service, beside whose own contracts Storm is followed, and how to ask it."""
        job.store.mkdir()
        node = [f'rpc_url = "{job.url}"', f'ws_url = "{job.url.replace("http", "ws")}"', f'verify = "{self._verify}"']
        settings = ["[http]", 'bind = "127.0.0.1:0"', "[chain]", *node, "[chain.deployment]"]
        settings += [f"{name} = {value}" for name, value in deploy_ours(job.url, job.filled.start_block).items()]
        (job.store / "headwater.toml").write_text("\n".join(settings))
        command = [self.BINARY, "--data-dir", job.store]
        running = job.run([*command, "up"])
        address = job.store / "service.json"
        deadline = time.monotonic() + HEADWATER_LIMIT_S
        while not address.exists():
            if not running.is_running() or time.monotonic() > deadline:
                raise RunFailed(f"it did not start\n{running.output_tail()}")
            time.sleep(0.05)
        contract = [job.abi_path, job.filled.contract, "--name", "storm", "--start-block", job.filled.start_block]
        subprocess.run(list(map(str, [*command, "--quiet", "index", "add", *contract])), check=True)
        return running, Service(job.store, job.filled.contract)

    def newest_row(self, service: Service) -> int:
        return service.newest_block()

    def rows(self, job: Job):
        command = [self.BINARY, "index", "export", "--store", f"file://{job.store}", "--table", "logs", "--format", "jsonl"]
        for line in printed(job, command):
            log = json.loads(line)
            topics = [topic for topic in (log.get(f"topic{position}") for position in range(4)) if topic]
            yield row(
                int(log["block_number"]),
                int(log["log_index"]),
                log["block_hash"],
                log["transaction_hash"],
                log["address"],
                topics,
                log["data"],
            )


RUNNERS = [
    Floor(),
    Headwater("logs"),
    Headwater("full"),
    Cryo("cryo", "cryo, tuned (`inner_request_size=20`, `chunk_size=250`)", ["inner_request_size=20", "chunk_size=250"]),
    Cryo("cryo-default", "cryo, as installed", []),
    Ponder("ponder", "ponder, its rate limit lifted (64 endpoints)", 64, runs_large=True),
    Ponder("ponder-default", "ponder, as installed", 1, runs_large=False),
]


def printed(job: Job, command: list):
    """The lines that `command` prints; it must end well."""
    with (job.folder / "rows.log").open("w+") as errors:
        process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=errors, text=True, bufsize=1 << 20)
        for line in process.stdout:
            yield line.rstrip("\n")
        if process.wait() != 0:
            errors.seek(0)
            raise RunFailed(f"its rows cannot be read: {errors.read()[-2000:]}")


def parsed(job: Job, command: list):
    for line in printed(job, command):
        number, log_index, _ = line.split(",", 2)
        yield int(number), int(log_index), line.lower()


def get(url: str) -> str | None:
    """The body of a good answer; None while the service is not there or not ready."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read().decode()
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None
