"""The test chain: one anvil on a core of its own, filled with Storm's events.

Blocks are mined by hand, so the same call makes the same events. Two things must not be indexed: in every 50th block,
events of the same kinds from an address that nobody asked for; in the middle block, logs of the right address that are
no event asked for: one of 100 kB, one of another event, one of no signature, one without topics.
"""

import json
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from measure import process_cpu_s
from rpc import Rpc

HERE = Path(__file__).resolve().parent
TOOLS = HERE.parents[2] / "schemas" / "contracts" / "node_modules" / "@foundry-rs"
ARTIFACT = HERE / "Storm.json"
CHAIN_ID = 31337
INDEXED_EVENTS = ("VersionCommitted", "Debited", "Claimed", "Transfer")
TRANSACTIONS_PER_BLOCK = 2
FOREIGN_EVERY_BLOCKS = 50
HUGE_LOG_BYTES = 100_000
# Where EIP-2935 keeps block hashes. With its code, anvil 1.7.1 hashes up to 8,191 more slots for every block and making
# a long chain takes minutes (foundry-rs/foundry#15715); without it nothing that an indexer reads is different.
HISTORY_CONTRACT = "0x0000F90827F1C53a10cb7A02335B175320002935"
# Ponder takes as final what is 30 blocks behind the head, anvil what is 2.
EMPTY_BLOCKS_AFTER = 64


@dataclass(frozen=True)
class Filled:
    """What to index: the events of `contract` with one of `topics` in the blocks `start_block..=last_block`."""

    contract: str
    start_block: int
    last_block: int
    events: int
    topics: tuple


class Chain:
    """A running anvil. It ends with the `with` block that made it."""

    def __init__(self, core: int | None, log_path: Path):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._core = core
        self._log_path = log_path

    def __enter__(self) -> "Chain":
        command = [str(anvil_path()), "--optimism", "--no-mining", "--silent", "--prune-history", "--port", str(self.port)]
        command += ["--chain-id", str(CHAIN_ID), "--gas-limit", "300000000", "--slots-in-an-epoch", "1"]
        if self._core is not None:
            command = ["taskset", "-c", str(self._core), *command]
        with self._log_path.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.rpc = Rpc(self.url)
        deadline = time.monotonic() + 60
        while True:
            try:
                assert int(self.rpc.call("eth_chainId"), 16) == CHAIN_ID
                break
            except OSError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"anvil did not start: {self._log_path.read_text()}") from error
                time.sleep(0.05)
        self.rpc.call("anvil_setCode", HISTORY_CONTRACT, "0x")
        self.account = self.rpc.call("eth_accounts")[0]
        self.methods = artifact("Storm")["methods"]
        return self

    def __exit__(self, *_) -> None:
        self.rpc.close()
        self.process.kill()
        self.process.wait()

    def send(self, to: str | None, data: str, gas: int = 30_000_000) -> str:
        transaction = {"from": self.account, "data": data, "gas": hex(gas)}
        if to:
            transaction["to"] = to
        return self.rpc.call("eth_sendTransaction", transaction)

    def send_method(self, to: str, signature: str, *words: int) -> str:
        return self.send(to, "0x" + self.methods[signature] + "".join(f"{word:064x}" for word in words))

    def mine(self) -> None:
        self.rpc.call("evm_mine")

    def cpu_s(self) -> float:
        return process_cpu_s(self.process.pid)

    def block_number(self, tag: str = "latest") -> int:
        return int(self.rpc.call("eth_getBlockByNumber", tag, False)["number"], 16)

    def deploy(self, contract: str) -> str:
        transaction = self.send(None, artifact(contract)["bytecode"])
        self.mine()
        receipt = self.rpc.call("eth_getTransactionReceipt", transaction)
        assert receipt["status"] == "0x1", receipt
        return receipt["contractAddress"]

    def fill(self, blocks: int, events_per_block: int) -> Filled:
        contract, foreign = self.deploy("Storm"), self.deploy("Child")
        start_block = self.block_number() + 1
        share, rest = divmod(events_per_block, TRANSACTIONS_PER_BLOCK)
        for index in range(blocks):
            for number in range(TRANSACTIONS_PER_BLOCK):
                self.send_method(contract, "emitMany(uint256)", share + (rest if number == 0 else 0))
            if index == blocks // 2:
                self.send_odd_logs(contract)
            if index % FOREIGN_EVERY_BLOCKS == 0:
                self.send_method(foreign, "emitMany(uint256)", 4)
            self.mine()
        last_block = self.block_number()
        self.rpc.call("anvil_mine", hex(EMPTY_BLOCKS_AFTER))
        finalized = self.block_number("finalized")
        assert last_block - start_block + 1 == blocks and finalized >= last_block + 30, (start_block, last_block, finalized)
        return Filled(contract, start_block, last_block, blocks * events_per_block, self.indexed_topics())

    def send_odd_logs(self, contract: str) -> None:
        self.send_method(contract, "spawn()")
        self.send_method(contract, "boom(uint256)", HUGE_LOG_BYTES)
        self.send_method(contract, "unnamed(uint256)", 7)
        self.send_method(contract, "bare()")

    def indexed_topics(self) -> tuple:
        signatures = [f"{event['name']}({','.join(word['type'] for word in event['inputs'])})" for event in indexed_abi()]
        return tuple(self.rpc.call("web3_sha3", "0x" + signature.encode().hex()) for signature in signatures)


def artifact(contract: str) -> dict:
    return json.loads(ARTIFACT.read_text())[contract]


def indexed_abi() -> list:
    return [item for item in artifact("Storm")["abi"] if item["type"] == "event" and item["name"] in INDEXED_EVENTS]


def anvil_path() -> Path:
    """The native binary: the npm launcher would stay between us and the process to measure and to end."""
    found = sorted(TOOLS.glob("anvil-*/bin/anvil*"))
    if not found:
        raise SystemExit("anvil is missing: run `make setup`")
    return found[0]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
