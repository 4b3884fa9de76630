"""The floor: fetches the same logs over two connections and keeps nothing.

`floor.py PORT CONTRACT FIRST LAST BLOCKS_PER_CALL TOPIC,TOPIC..` prints the bytes of all replies. No indexer on this machine can be
faster than this by more than what a better range size brings: the chain needs the time. `--count` as the last word
also counts the logs, which takes longer.
"""

import json
import socket
import sys
import threading

CONNECTIONS = 2
BUFFER_BYTES = 1 << 20


class Fetcher(threading.Thread):
    def __init__(self, port: int, bodies, lock: threading.Lock, counts: bool):
        super().__init__()
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._bodies, self._lock, self._counts = bodies, lock, counts
        self.received_bytes = 0
        self.logs = 0

    def run(self) -> None:
        while True:
            with self._lock:
                body = next(self._bodies, None)
            if body is None:
                return
            head = f"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            self._socket.sendall(head.encode() + body)
            self._read_reply()

    def _read_reply(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            part = self._socket.recv(4096)
            if not part:
                raise ConnectionError("the node closed the connection")
            head += part
        head, start = head.split(b"\r\n\r\n", 1)
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        left = int(fields[b"content-length"]) - len(start)
        self.received_bytes += left + len(start)
        kept = [start]
        while left > 0:
            size = self._socket.recv_into(self._buffer)
            if size == 0:
                raise ConnectionError("the node closed the connection")
            if self._counts:
                kept.append(bytes(self._buffer[:size]))
            left -= size
        if self._counts:
            self.logs += len(json.loads(b"".join(kept))["result"])


def request_body(contract: str, topics: list, first: int, last: int) -> bytes:
    query = {"address": contract, "topics": [topics], "fromBlock": hex(first), "toBlock": hex(last)}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [query]}).encode()


def main() -> None:
    port, contract, first, last, size = int(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:6])
    topics, counts = sys.argv[6].split(","), sys.argv[7:] == ["--count"]
    bodies = (request_body(contract, topics, start, min(start + size - 1, last)) for start in range(first, last + 1, size))
    lock = threading.Lock()
    fetchers = [Fetcher(port, bodies, lock, counts) for _ in range(CONNECTIONS)]
    for fetcher in fetchers:
        fetcher.start()
    for fetcher in fetchers:
        fetcher.join()
    print(sum(f.received_bytes for f in fetchers), sum(f.logs for f in fetchers) if counts else "")


if __name__ == "__main__":
    main()
