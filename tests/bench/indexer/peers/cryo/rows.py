"""Prints every row of cryo's Parquet files as `number,log index,canonical text`: `rows.py FOLDER`."""

import sys
from pathlib import Path

import pyarrow.parquet as parquet

TOPICS = ("topic0", "topic1", "topic2", "topic3")


def text(value: bytes | str) -> str:
    return value if isinstance(value, str) else "0x" + value.hex()


for path in sorted(Path(sys.argv[1]).rglob("*.parquet")):
    for entry in parquet.read_table(path).to_pylist():
        topics = "/".join(text(entry[name]) for name in TOPICS if entry[name] is not None)
        hashes = f"{text(entry['block_hash'])},{text(entry['transaction_hash'])}"
        print(f"{entry['block_number']},{entry['log_index']},{hashes},{text(entry['address'])},{topics},{text(entry['data'])}")
