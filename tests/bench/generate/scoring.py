"""Scores of one answer under many subsets of the sources: together, and as one prompt after the other."""

from contestants import scorers

# Of an answer; engine/examples/bench_score.rs has the same number.
ANSWERS = 64
SUBSETS = 64
# Of the prompts that are scored one by one, so many are timed.
SAMPLED = 8
SOURCE_TOKENS = [128, 256, 512]


def compare(size, tokens, options, say):
    """{way: {seconds, tokens}} for all subsets of sources of so many tokens."""
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
    ways = {way: {"seconds": answer["wall_s"] * factor, "tokens": answer["tokens"] * factor} for way, (answer, factor) in answers.items()}
    say(f"{size}, sources of {tokens} tokens: " + ", ".join(f"{way} {found['seconds']:.2f} s" for way, found in ways.items()))
    return ways
