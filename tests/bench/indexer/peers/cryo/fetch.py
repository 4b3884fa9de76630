"""cryo over the range: `fetch.py URL CONTRACT FIRST LAST FOLDER [key=value ...]`; the pairs are cryo's own options."""

import os
import sys

import cryo

url, contract, first, last, folder = sys.argv[1:6]
options = {key: int(value) for key, value in (pair.split("=") for pair in sys.argv[6:])}
cryo.freeze(
    "logs",
    blocks=[f"{first}:{int(last) + 1}"],
    rpc=url,
    contract=[contract],
    output_dir=folder,
    include_columns=["block_hash"],
    no_verbose=True,
    **options,
)
# Its threads may outlive the interpreter, which then aborts now and then although all files are written.
sys.stdout.flush()
os._exit(0)
