"""JSON-RPC over one kept connection: enough to make a chain and to read it back."""

import http.client
import json
from urllib.parse import urlsplit


class RpcError(Exception):
    """The node answered with an error; it says which call and why."""


class Rpc:
    def __init__(self, url: str, timeout_s: float = 120):
        self.url = url
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)

    def post(self, body: bytes) -> bytes:
        try:
            self._connection.request("POST", "/", body, {"Content-Type": "application/json"})
            return self._connection.getresponse().read()
        except (http.client.HTTPException, OSError):
            self._connection.close()
            raise

    def call(self, method: str, *params):
        return self.batch([(method, params)])[0]

    def batch(self, calls: list) -> list:
        """The results of `(method, params)` in order; anvil answers a batch concurrently, so its calls must not depend on each other."""
        requests = [{"jsonrpc": "2.0", "id": i, "method": m, "params": list(p)} for i, (m, p) in enumerate(calls)]
        body = json.dumps(requests if len(requests) > 1 else requests[0]).encode()
        answers = json.loads(self.post(body))
        answers = sorted(answers if isinstance(answers, list) else [answers], key=lambda answer: answer["id"])
        for request, answer in zip(requests, answers, strict=True):
            if "error" in answer:
                raise RpcError(f"{request['method']} {str(request['params'])[:200]}: {answer['error']}")
        return [answer["result"] for answer in answers]

    def close(self) -> None:
        self._connection.close()
