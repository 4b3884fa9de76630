"""Our embedder and its peers, each a process behind a pipe, so that they can take turns."""

import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
PEERS = ["st-f32", "st-bf16", "ort-f32", "ort-int8", "openvino-f32", "openvino-bf16"]


class System:
    def __init__(self, name, command):
        self.name = name
        environment = {**os.environ, "TOKENIZERS_PARALLELISM": "true"}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment, cwd=HERE
        )
        self.start = self._read()

    def _read(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name} ended with {self.process.wait()}")
        return json.loads(line)

    def _cpu_s(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ask(self, command):
        """The answer, and the processor time that it took, `cpu_s`."""
        before = self._cpu_s()
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return {**self._read(), "cpu_s": self._cpu_s() - before}

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def ours(binary, models, precision, isa, threads):
    system = System(f"headwater-{precision}", [binary, models, precision, isa, str(threads)])
    system.name = f"headwater-{precision} ({system.start['isa']})"
    return system


def peer(name, work, threads):
    return System(name, [sys.executable, "peer.py", name, str(work), str(threads)])
