"""The texts of the shared evaluation data, each set as (passages, queries)."""

import json
import pathlib

TITLED = {"scifact", "hotpotqa-100", "clapnq-dev-a", "2wiki-distractors", "poisonedrag-a"}


def rows(path):
    return [json.loads(line) for line in path.open(encoding="utf-8")] if path.exists() else []


def passage_text(set_name, row):
    """Cross-lingual figures are fair on the text alone, because every language has English titles."""
    title = row["title"] if set_name in TITLED else ""
    return f"{title} {row['text']}".strip() if title else row["text"]


def sets(data_dir):
    """Yields (name, {passage id: text}, [query rows])."""
    for folder in sorted(pathlib.Path(data_dir).iterdir()):
        passages = rows(folder / "passages.jsonl")
        if passages:
            yield folder.name, {row["id"]: passage_text(folder.name, row) for row in passages}, rows(folder / "queries.jsonl")


def all_texts(data_dir):
    """Every text once, in a fixed order."""
    found = {}
    for _, passages, queries in sets(data_dir):
        found.update(dict.fromkeys(passages.values()))
        found.update(dict.fromkeys(row["question"] for row in queries))
    return list(found)
