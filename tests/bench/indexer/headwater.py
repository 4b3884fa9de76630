"""A running Headwater: our contracts, which it needs on the chain, and its SQL over HTTP."""

import http.client
import json
from pathlib import Path
from urllib.parse import urlsplit

from chain import CHAIN_ID
from measure import RunFailed
from rpc import Rpc

ARTIFACTS = Path(__file__).resolve().parents[3] / "schemas" / "contracts" / "artifacts"


class Service:
    """Asks a running Headwater as its users do: SQL over HTTP, with a key."""

    def __init__(self, data_dir: Path, contract: str):
        parts = urlsplit(json.loads((data_dir / "service.json").read_text())["url"])
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
        key = (data_dir / "operator.apikey").read_text().strip()
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        query = f"SELECT max(block_number) AS newest FROM logs WHERE address = '{contract}'"
        self._body = json.dumps({"query": query})

    def newest_block(self) -> int:
        self._connection.request("POST", "/v1/sql", self._body, self._headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RunFailed(f"SQL is answered with {answer.status}: {text[:500]!r}")
        return json.loads(text)["rows"][0][0] or 0


def deploy_ours(url: str, start_block: int) -> dict:
    """Puts our own contracts on the chain, which a service needs; says where they are."""
    rpc = Rpc(url)
    account = rpc.call("eth_accounts")[0]

    def deploy(name: str, *words) -> str:
        code = json.loads((ARTIFACTS / f"{name}.json").read_text())["bytecode"]
        code += "".join(f"{int(str(word), 16 if str(word).startswith('0x') else 10):064x}" for word in words)
        transaction = rpc.call("eth_sendTransaction", {"from": account, "data": code, "gas": hex(20_000_000)})
        rpc.call("evm_mine")
        receipt = rpc.call("eth_getTransactionReceipt", transaction)
        assert receipt["status"] == "0x1", receipt
        return receipt["contractAddress"]

    token = deploy("OpenToken", account)
    distributor = deploy("RewardDistributor", token, account, account, 60, 1, account)
    fees = [2_000, 0, 0, 8_000, 0]
    vault = deploy("PaymentVault", token, distributor, account, account, account, *fees, 60, 60)
    registry = deploy("DatanetRegistry")
    models = deploy("ModelRegistry", registry)
    rpc.close()
    found = {"registry": registry, "models": models, "vault": vault, "distributor": distributor, "token": token}
    return {"chain_id": CHAIN_ID, "start_block": start_block, **{name: f'"{address}"' for name, address in found.items()}}
