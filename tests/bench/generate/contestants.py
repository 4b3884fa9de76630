"""Our decoder and its peers: which there are, and which are compared with each other."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "embed"))

import systems as embed_systems

# What the weights are kept in, and what of a work folder holds them: by name, size and the folder's file or directory.
FORMS = {
    "bf16": ["headwater", "llama.cpp", "transformers"],
    "q8_0": ["headwater", "llama.cpp"],
    "q4_k_m": ["headwater", "llama.cpp"],
    "f32": ["headwater", "transformers"],
}


def start(name, form, size, options):
    """A process that answers commands; those of one form are compared."""
    models, threads = pathlib.Path(options.models), str(options.threads)
    directory, gguf = str(models / size), str(models / f"{size}-{form}.gguf")
    peer = [sys.executable, str(HERE / "peer.py")]
    ours, precision = (directory if form in ("bf16", "f32") else gguf), ("f32" if form == "f32" else "bf16")
    commands = {
        "headwater": [f"{options.binaries}/bench_generate", ours, precision, "best", threads],
        "llama.cpp": [*peer, "llama", gguf, threads],
        "transformers": [*peer, f"torch-{form}", directory, threads],
    }
    return embed_systems.System(name, commands[name])


def scorers(size, options):
    """Ours and llama.cpp, with the same weights, for scores of subsets."""
    models, threads = pathlib.Path(options.models), str(options.threads)
    llama = [sys.executable, str(HERE / "peer.py"), "llama", str(models / f"{size}-bf16.gguf"), threads]
    ours = [f"{options.binaries}/bench_score", str(models / size), "bf16", threads]
    return embed_systems.System("headwater", ours), embed_systems.System("llama.cpp", llama)
