"""Scores of one answer under many subsets of the sources: together, and as one prompt after the other."""

from contestants import scorers

# Of an answer; engine/examples/bench_score.rs has the same number.
ANSWERS = 64
SUBSETS = 64
# Of the prompts that are scored one by one, so many are timed.
SAMPLED = 8
SOURCE_TOKENS = [128, 256, 512]


def compare(size, tokens, options, say):
    """{way: {wall, cpu, tokens}} for all subsets of sources of so many tokens."""
    ours, llama = scorers(size, options)
    times = SUBSETS // SAMPLED
    alone = ours.ask(f"alone {tokens} {SAMPLED}")
    each = alone["tokens"] // SAMPLED
    answers = {
        "alone": (alone, times),
        "llama.cpp": (llama.ask(f"score {each} {ANSWERS} {SAMPLED}"), times),
        "full": (ours.ask(f"together full {tokens} {SUBSETS}"), 1),
        "blocks": (ours.ask(f"together blocks {tokens} {SUBSETS}"), 1),
    }
    ours.close()
    llama.close()
    keys = {"wall": "wall_s", "cpu": "processor_s", "tokens": "tokens"}
    ways = {way: {key: answer[name] * factor for key, name in keys.items()} for way, (answer, factor) in answers.items()}
    say(f"{size}, sources of {tokens} tokens: " + ", ".join(f"{way} {found['wall']:.2f} s" for way, found in ways.items()))
    return ways
