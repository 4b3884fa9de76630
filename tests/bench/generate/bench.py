"""Our decoder against llama.cpp and transformers, taking turns; writes a table into BENCHMARKS.md.

    python bench.py --binary … --models … [--report BENCHMARKS.md] [--sizes 135M,0.5B] [--threads 2] [--rounds 5]

Every round runs each system once, in turn, so that a busy machine slows all of them; medians are compared. Wall time is
what a user sees; processor time is what is left to compare where other work holds the machine. It counts the waiting of
threads that wait awake, so it is fair between systems with one thread only.
"""

import argparse
import datetime
import os
import pathlib
import statistics

from contestants import FORMS, start  # also finds the reports of the other benchmark
from report import write_section
from shapes import SHAPES

PROMPT_TOKENS = 512
# Sequences, tokens of each one's prompt, steps.
DECODES = [(1, 64, 32), (8, 64, 16), (32, 64, 8)]
FEATURES = ["avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8"]


def arguments():
    parser = argparse.ArgumentParser()
    for name in ("--binary", "--models"):
        parser.add_argument(name, required=True)
    parser.add_argument("--report")
    parser.add_argument("--sizes", default=",".join(SHAPES))
    parser.add_argument("--forms", default=",".join(FORMS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def cpu():
    lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    value = lambda key: next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), "unknown")
    found = [feature for feature in FEATURES if feature in value("flags").split()]
    return f"{value('model name')}, {os.cpu_count()} processors, {', '.join(found) or 'none of ' + ', '.join(FEATURES)}"


def workloads():
    """Yields (label, command, tokens)."""
    yield f"prompt of {PROMPT_TOKENS}", f"prefill {PROMPT_TOKENS}", PROMPT_TOKENS
    for sequences, prompt, steps in DECODES:
        label = "1 sequence" if sequences == 1 else f"{sequences} sequences"
        yield label, f"decode {sequences} {prompt} {steps}", sequences * steps


def measure(systems, rounds):
    """{system: {label: {wall, cpu}}}, tokens per second; and the most memory."""
    results = {system.name: {} for system in systems}
    for label, command, tokens in workloads():
        samples = {system.name: {"wall": [], "cpu": []} for system in systems}
        for _ in range(rounds):
            for system in systems:
                answer = system.ask(command)
                samples[system.name]["wall"].append(tokens / answer["wall_s"])
                samples[system.name]["cpu"].append(tokens / max(answer["processor_s"], 1e-9))
                print(f"{label}: {system.name}: {tokens / answer['wall_s']:.1f} tokens/s", flush=True)
        for name, sample in samples.items():
            results[name][label] = {key: statistics.median(values) for key, values in sample.items()}
    for system in systems:
        results[system.name]["memory"] = system.ask("memory")["peak_mib"]
    return results


def table(results):
    """Our figures and, of the fastest peer in the same form, how many times that is."""
    labels = [label for label, _, _ in workloads()]
    lines = [
        "| system | " + " | ".join(f"{label}: tokens/s (of the best peer) | per processor-second" for label in labels) + " | MiB |",
        "|---|" + "---|" * (2 * len(labels) + 1),
    ]
    for name, result in results.items():
        cells = []
        for label in labels:
            for key in ("wall", "cpu"):
                best = max(other[label][key] for peer, other in results.items() if not peer.startswith("headwater"))
                ours = f" (**{result[label][key] / best:.2f}**)" if name.startswith("headwater") else ""
                cells.append(f"{result[label][key]:,.1f}{ours}")
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {result['memory']} |")
    return lines


def main():
    options = arguments()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    prompts = ", ".join(f"{prompt} tokens before {steps} steps of {sequences}" for sequences, prompt, steps in DECODES)
    lines = [
        "## Generation\n",
        f"`make bench-generate` on {datetime.date.today()}: random weights in the shapes of SmolLM2-135M, Qwen2.5-0.5B and SmolLM2-1.7B; "
        f"{options.threads} threads on as many processors; median of {options.rounds} rounds in which the systems take turns. A prompt of "
        f"{PROMPT_TOKENS} tokens, and decoding ({prompts}) with the scores after every token and no sampling. In brackets: how many times "
        f"the best peer in the same form. {cpu()}.",
    ]
    for size in options.sizes.split(","):
        lines.append(f"\n**{size}**\n")
        for at, form in enumerate(options.forms.split(",")):
            systems = [start(name, form, size, options) for name in FORMS[form]]
            lines += table(measure(systems, options.rounds))[2 if at else 0 :]
            for system in systems:
                system.close()
    load = os.getloadavg()[0]
    busy = " Other work held the machine: compare processor time." if load > 2 * options.threads else ""
    lines.append(f"\nLoad average at the end {load:.1f}.{busy}")
    text = "\n".join(lines)
    print(text)
    if options.report:
        write_section(options.report, "generate", text)


main()
