"""What the right rows are: the contract's events, taken from the receipts of every block.

No indexer here is asked for its receipts and none of them had a part in this, so it is independent of all.
A row's canonical text is `number,log index,block hash,transaction hash,address,topics joined by /,data` in lower case.
"""

import hashlib
from dataclasses import dataclass

from chain import Filled
from rpc import Rpc

BLOCKS_PER_BATCH = 20


@dataclass(frozen=True)
class Rows:
    """All rows of a range: how many, one digest of all and one of each block."""

    count: int
    sha256: str
    blocks: dict

    @staticmethod
    def of(rows) -> "Rows":
        """`rows` are `(number, log index, text)`, in any order."""
        whole, blocks, count = hashlib.sha256(), {}, 0
        for number, _, text in sorted(rows):
            line = text.encode() + b"\n"
            whole.update(line)
            blocks.setdefault(number, hashlib.sha256()).update(line)
            count += 1
        return Rows(count, whole.hexdigest(), {number: block.hexdigest() for number, block in blocks.items()})

    def difference(self, other: "Rows") -> str | None:
        """None when `other` holds the same rows, else what differs."""
        if other.count == self.count and other.sha256 == self.sha256:
            return None
        numbers = sorted(n for n in self.blocks.keys() | other.blocks.keys() if self.blocks.get(n) != other.blocks.get(n))
        return f"{other.count} rows where {self.count} are right; {len(numbers)} blocks differ, the first is {numbers[0]}"


def row(number: int, log_index: int, block_hash: str, transaction_hash: str, address: str, topics: list, data: str) -> tuple:
    text = f"{number},{log_index},{block_hash},{transaction_hash},{address},{'/'.join(topics)},{data}".lower()
    return number, log_index, text


def read_oracle(rpc: Rpc, filled: Filled) -> Rows:
    return Rows.of(_read_rows(rpc, filled))


def _read_rows(rpc: Rpc, filled: Filled):
    for start in range(filled.start_block, filled.last_block + 1, BLOCKS_PER_BATCH):
        numbers = range(start, min(start + BLOCKS_PER_BATCH, filled.last_block + 1))
        for receipts in rpc.batch([("eth_getBlockReceipts", (hex(number),)) for number in numbers]):
            for receipt in receipts:
                yield from (_log_row(log) for log in receipt["logs"] if _is_wanted(log, filled))


def _is_wanted(log: dict, filled: Filled) -> bool:
    return log["address"] == filled.contract and bool(log["topics"]) and log["topics"][0] in filled.topics


def _log_row(log: dict) -> tuple:
    return row(
        int(log["blockNumber"], 16),
        int(log["logIndex"], 16),
        log["blockHash"],
        log["transactionHash"],
        log["address"],
        log["topics"],
        log["data"],
    )
