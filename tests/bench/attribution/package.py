"""ContextCite's own package on the answers, the prompts and the weights that bench_attribution measured; writes a table into BENCHMARKS.md.

    python package.py CASES READER REPORT

Each line of CASES is {question, sources, answer, table, rank_correlation}: the worth of every set of sources, and what our fit reaches.
READER is the folder of the small reader. The package sees the very tokens that the engine sees: one message, with sources cut as ours are.
"""

import collections
import json
import os
import pathlib
import random
import statistics
import sys
import time
import warnings

os.environ["TQDM_DISABLE"] = "1"

import nltk

nltk.download = lambda *_, **__: True  # its sentences are not used: nothing is fetched

import numpy
import torch
from context_cite import ContextCiter
from context_cite.context_partitioner import BaseContextPartitioner
from scipy.stats import spearmanr
from transformers import AutoModelForCausalLM, AutoTokenizer

ABLATIONS, TOKENS_MAX, DRAWS = 32, 64, 2_000
BEGIN, END = "<!-- attribution-package: begin -->", "<!-- attribution-package: end -->"


class Sources(BaseContextPartitioner):
    """Numbered as in `headwater.prompt/1`; the numbers stay where others are left out."""

    def __init__(self, texts):
        self.parts = [f"[{number}] {text}\n\n" for number, text in enumerate(texts, 1)]
        super().__init__("".join(self.parts))

    @property
    def num_sources(self):
        return len(self.parts)

    def split_context(self):
        pass

    def get_source(self, index):
        return self.parts[index]

    def get_context(self, mask=None):
        return "".join(part for at, part in enumerate(self.parts) if mask is None or mask[at])


def measure(case, model, tokenizer):
    partitioner = Sources(case["sources"])
    citer = ContextCiter(
        model, tokenizer, partitioner.context, case["question"], num_ablations=ABLATIONS, partitioner=partitioner,
        prompt_template="Sources:\n\n{context}Question: {query}", generate_kwargs={"max_new_tokens": TOKENS_MAX, "do_sample": False})
    prompt_ids, prompt = citer._get_prompt_ids(return_prompt=True)
    start = time.perf_counter()
    output = model.generate(torch.tensor([prompt_ids]), **citer.generate_kwargs)[0]
    generated = time.perf_counter() - start
    citer._cache["output"] = prompt + case["answer"]
    start = time.perf_counter()
    try:
        scores = citer.get_attributions(verbose=False)
    except ValueError:  # an answer that is certain has no finite logit
        return None
    attributed = time.perf_counter() - start
    sums = [sum(score for at, score in enumerate(scores) if subset >> at & 1) for subset in range(1 << len(scores))]
    tokens = sum(len(citer._get_prompt_ids(mask)) + len(citer._response_ids) for mask in citer._masks)
    constant = numpy.ptp(sums) < 1e-9
    return {
        "package": 0.0 if constant else float(spearmanr(numpy.round(sums, 9), numpy.round(case["table"], 9)).statistic),
        "ours": case["rank_correlation"],
        "seconds": attributed / generated,
        "tokens": tokens / len(output),
    }


def interval(numbers, draw=random.Random(1)):
    means = sorted(statistics.fmean(draw.choices(numbers, k=len(numbers))) for _ in range(DRAWS))
    return means[DRAWS // 40], means[DRAWS - 1 - DRAWS // 40]


def shown(measured, name, decimals):
    numbers = [of[name] for of in measured]
    least, most = interval(numbers)
    return f"{statistics.fmean(numbers):.{decimals}f} [{least:.{decimals}f}, {most:.{decimals}f}]"


def main(cases, reader, report):
    torch.set_num_threads(1)  # for a model so small a second thread only waits
    warnings.filterwarnings("ignore")
    tokenizer = AutoTokenizer.from_pretrained(reader)
    instruction = max(tokenizer.get_added_vocab(), key=len)  # one token, in the place of the system's message
    tokenizer.chat_template = "{{ bos_token }}" + instruction + "<|user|>{{ messages[0].content }}<|assistant|>"
    model = AutoModelForCausalLM.from_pretrained(reader, dtype=torch.float32).eval()
    by_count, failed = collections.defaultdict(list), 0
    answers = [json.loads(line) for line in pathlib.Path(cases).read_text().splitlines()]
    measure(answers[0], model, tokenizer)  # what is done once, at first
    for case in answers:
        measured = measure(case, model, tokenizer)
        if measured is None or case["rank_correlation"] is None:
            failed += 1
        else:
            by_count[len(case["sources"])].append(measured)
    table = "| contributors | answers | LDS, package | LDS, ours | seconds ÷ generating | model tokens ÷ generating |\n|--:|--:|--:|--:|--:|--:|\n"
    for count, measured in [*sorted(by_count.items()), ("all", sum(by_count.values(), []))]:
        table += (f"| {count} | {len(measured)} | {shown(measured, 'package', 3)} | {shown(measured, 'ours', 3)} | "
                  f"{shown(measured, 'seconds', 1)} | {shown(measured, 'tokens', 1)} |\n")
    table += f"\nThe package gave no numbers for {failed} answers.\n"
    print(table)
    page = pathlib.Path(report)
    before, rest = page.read_text().split(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{table}{END}{rest.split(END)[1]}")


main(*sys.argv[1:])
