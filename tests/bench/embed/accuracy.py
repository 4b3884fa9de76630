"""How far our vectors lie from those of sentence-transformers, and what that does to retrieval.

    python reference.py DATA_DIR WORK_DIR        # once: a quarter of an hour of processor time
    python accuracy.py DATA_DIR WORK_DIR BINARY MODELS PRECISION ISA [BENCHMARKS.md]

Cosine for every text of the evaluation data; nDCG@10 and recall@10 of each set with questions, each set alone.
"""

import json
import pathlib
import sys

import numpy

from data import sets
from report import write_section
from systems import ours

DATA, WORK = sys.argv[1], pathlib.Path(sys.argv[2])
BINARY, MODELS, PRECISION, ISA, *REPORT = sys.argv[3:]


def vectors(file):
    return numpy.frombuffer(file.read_bytes(), dtype="<f4").reshape(-1, 384)


def retrieval(passages, questions, of):
    ids = list(passages)
    matrix = of([passages[id] for id in ids])
    ndcg, recall = [], []
    asked = [row for row in questions if row["gold"]]
    scores = of([row["question"] for row in asked]) @ matrix.T
    for row, line in zip(asked, scores):
        top = [ids[at] for at in numpy.argsort(-line, kind="stable")[:10]]
        gains = [1 / numpy.log2(rank + 2) for rank, id in enumerate(top) if id in row["gold"]]
        ideal = sum(1 / numpy.log2(rank + 2) for rank in range(min(10, len(row["gold"]))))
        ndcg.append(sum(gains) / ideal)
        recall.append(len(gains) / len(row["gold"]))
    return numpy.mean(ndcg), numpy.mean(recall), len(asked)


texts = json.loads((WORK / "texts.json").read_text(encoding="utf-8"))
reference = vectors(WORK / "reference.f32")
out = WORK / f"ours-{PRECISION}.f32"
system = ours(BINARY, MODELS, PRECISION, ISA, 2)
answer = system.ask(f"vectors {WORK / 'texts.json'} {out}")
found = vectors(out)
assert len(texts) == len(reference) == len(found)
cosines = (found.astype(float) * reference.astype(float)).sum(1)
at = {text: row for row, text in enumerate(texts)}
system.close()
lines = [
    f"### Accuracy of {system.name}\n",
    f"Against f32 sentence-transformers, every text of the evaluation data ({len(texts):,}): cosine at worst {cosines.min():.6f}, "
    f"mean {cosines.mean():.7f}. Each set alone:\n",
    "| set | questions | nDCG@10 | theirs | difference | recall@10 | theirs | difference |",
    "|---|---|---|---|---|---|---|---|",
]
worst = 0.0
for name, passages, questions in sets(DATA):
    if any(row["gold"] for row in questions):
        mine = retrieval(passages, questions, lambda wanted: found[[at[text] for text in wanted]])
        theirs = retrieval(passages, questions, lambda wanted: reference[[at[text] for text in wanted]])
        worst = max(worst, *(abs(a - b) for a, b in zip(mine[:2], theirs[:2])))
        cells = " | ".join(f"{a:.4f} | {b:.4f} | {a - b:+.4f}" for a, b in zip(mine[:2], theirs[:2]))
        lines.append(f"| {name} | {mine[2]} | {cells} |")
text = "\n".join(lines)
print(text)
for report in REPORT:
    write_section(report, f"embed-accuracy-{PRECISION}", text)
# int8 is asked for by name: what it loses is published, and has wider limits.
floor, allowed = {"f32": (0.9999, 0.002), "bf16": (0.9995, 0.002), "int8": (0.997, 0.005)}[PRECISION]
print(f"\nlargest difference {worst:.4f} ({allowed} allowed), lowest cosine {cosines.min():.7f} ({floor} asked)")
sys.exit(0 if worst <= allowed and cosines.min() >= floor else 1)
