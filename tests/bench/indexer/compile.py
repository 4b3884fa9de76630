"""Compiles Storm.sol into Storm.json, with the compiler and the settings of schemas/contracts.

`python3 compile.py` writes the file; `python3 compile.py --check` fails when it is not what Storm.sol compiles to.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
COMPILER = HERE.parents[2] / "schemas" / "contracts" / "scripts" / "solc-shim"
CONTRACTS = ("Storm", "Child")


def compile_storm() -> str:
    source = (HERE / "Storm.sol").read_text()
    request = {
        "language": "Solidity",
        "sources": {"Storm.sol": {"content": source}},
        "settings": {"outputSelection": {"*": {"*": ["abi", "evm.bytecode.object", "evm.methodIdentifiers"]}}},
    }
    run = subprocess.run(
        ["node", COMPILER, "--standard-json"], input=json.dumps(request), capture_output=True, text=True, check=True
    )
    output = json.loads(run.stdout)
    errors = [error["formattedMessage"] for error in output.get("errors", []) if error["severity"] == "error"]
    if errors:
        sys.exit("\n".join(errors))
    artifact = {"sourceDigest": hashlib.sha256(source.encode()).hexdigest()}
    for name in CONTRACTS:
        contract = output["contracts"]["Storm.sol"][name]
        artifact[name] = {
            "abi": contract["abi"],
            "bytecode": "0x" + contract["evm"]["bytecode"]["object"],
            "methods": contract["evm"]["methodIdentifiers"],
        }
    return json.dumps(artifact, indent=1) + "\n"


def main() -> None:
    path = HERE / "Storm.json"
    text = compile_storm()
    if sys.argv[1:] == ["--check"]:
        if not path.exists() or path.read_text() != text:
            sys.exit("Storm.json is not what Storm.sol compiles to: run compile.py")
    else:
        path.write_text(text)
        print(f"wrote {path.name}")


if __name__ == "__main__":
    main()
