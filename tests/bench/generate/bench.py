"""Our decoder against llama.cpp and transformers, taking turns; writes tables into BENCHMARKS.md.

    python bench.py --binaries … --models … [--report BENCHMARKS.md] [--sizes 135M,0.5B] [--threads 2] [--rounds 3]

Every round runs each system once, in turn, so that a busy machine slows all of them; medians are compared. Wall time is
what a user sees; processor time is what is left to compare where other work holds the machine. It counts the waiting of
threads that wait awake, so it is fair between systems with one thread only.
"""

import argparse
import datetime
import os
import pathlib
import statistics
import time

from contestants import FORMS, start  # also finds the reports of the other benchmark
from report import write_section
from scoring import ANSWERS, SOURCE_TOKENS, compare
from shapes import SHAPES
from tables import decoding, scores

PROMPT_TOKENS = 512
# Tokens that every sequence has before its steps.
CONTEXT_TOKENS = 64
# Sequences, and steps of each.
DECODES = [(1, 32), (8, 16), (32, 8)]
FEATURES = ["avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8"]
# Of scores: what is compared does not depend on the size, and a large one takes an hour.
SCORED = ["135M", "0.5B"]
STARTED = time.monotonic()


def arguments():
    parser = argparse.ArgumentParser()
    for name in ("--binaries", "--models"):
        parser.add_argument(name, required=True)
    parser.add_argument("--report")
    parser.add_argument("--sizes", default=",".join(SHAPES))
    parser.add_argument("--forms", default=",".join(FORMS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def say(text):
    print(f"{(time.monotonic() - STARTED) / 60:5.1f} min  {text}", flush=True)


def cpu():
    lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    value = lambda key: next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), "unknown")
    found = [feature for feature in FEATURES if feature in value("flags").split()]
    return f"{value('model name')}, {os.cpu_count()} processors, {', '.join(found) or 'none of ' + ', '.join(FEATURES)}"


def workloads():
    """Yields (label, command, tokens)."""
    yield f"prompt of {PROMPT_TOKENS}", f"prefill {PROMPT_TOKENS}", PROMPT_TOKENS
    for sequences, steps in DECODES:
        label = "1 sequence" if sequences == 1 else f"{sequences} sequences"
        yield label, f"decode {sequences} {CONTEXT_TOKENS} {steps}", sequences * steps


def measure(title, systems, rounds):
    """{system: {label: {wall, cpu}}}, tokens per second; and the most memory."""
    results = {system.name: {} for system in systems}
    for label, command, tokens in workloads():
        samples = {system.name: {"wall": [], "cpu": []} for system in systems}
        for _ in range(rounds):
            for system in systems:
                answer = system.ask(command)
                samples[system.name]["wall"].append(tokens / answer["wall_s"])
                samples[system.name]["cpu"].append(tokens / max(answer["processor_s"], 1e-9))
        for name, sample in samples.items():
            results[name][label] = {key: statistics.median(values) for key, values in sample.items()}
        say(f"{title}, {label}: " + ", ".join(f"{name} {result[label]['wall']:,.1f}" for name, result in results.items()) + " tokens/s")
    for system in systems:
        results[system.name]["memory"] = system.ask("memory")["peak_mib"]
    return results


def sizes(options, busy):
    """Yields the lines of each size's table."""
    labels = [label for label, _, _ in workloads()]
    for size in options.sizes.split(","):
        forms = {}
        for form in options.forms.split(","):
            systems = [start(name, form, size, options) for name in FORMS[form]]
            forms[form] = measure(f"{size} {form}", systems, options.rounds)
            for system in systems:
                system.close()
        yield from [f"\n**{size}**, tokens/s\n", *decoding(labels, forms, "wall")]
        if busy():
            yield from [f"\n**{size}**, tokens per processor-second\n", *decoding(labels, forms, "cpu")]


def main():
    options = arguments()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    loads = []

    def busy():
        loads.append(os.getloadavg()[0])
        return max(loads) > 2 * options.threads

    steps = ", ".join(f"{steps} steps of {sequences}" for sequences, steps in DECODES)
    lines = [
        "## Generation\n",
        f"`make bench-generate ROUNDS={options.rounds}` on {datetime.date.today()}: random weights in the shapes of SmolLM2-135M, "
        f"Qwen2.5-0.5B and SmolLM2-1.7B; {options.threads} threads on as many processors; median of {options.rounds} rounds in which the "
        f"systems take turns. A prompt of {PROMPT_TOKENS} tokens, with the scores after the last; and decoding ({steps}, after "
        f"{CONTEXT_TOKENS} tokens of context) with the scores after every token and no sampling. In brackets: how many times the best peer "
        f"with the same weights. {cpu()}.",
        *sizes(options, busy),
    ]
    scored = [size for size in SCORED if size in options.sizes.split(",")]
    rows = [(size, tokens, compare(size, tokens, options, say)) for size in scored for tokens in SOURCE_TOKENS]
    if rows:
        key, unit = ("cpu", "processor-seconds") if busy() else ("wall", "seconds")
        lines.append(
            f"\n**Scores of an answer of {ANSWERS} tokens under 64 subsets of 8 sources**, bf16, {unit}. A subset is half of the "
            "sources; 32 tokens stand before them and a question of 32 after. One by one: a prompt with its answer for each subset, "
            "nothing cached (8 of the 64 are timed, and multiplied). In brackets: how many times faster than our own prompts one by "
            "one, and than llama.cpp's.\n"
        )
        lines += scores(rows, key)
    note = "Other work held the machine: compare processor time." if busy() else ""
    lines.append(f"\nHighest load average {max(loads):.1f}; {(time.monotonic() - STARTED) / 60:.0f} minutes. {note}".rstrip())
    text = "\n".join(lines)
    print(text)
    if options.report:
        write_section(options.report, "generate", text)


main()
