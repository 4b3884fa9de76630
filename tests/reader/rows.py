"""Tokens, and rows to train on: one context and several questions that see it and not each other."""

import dataclasses
import re

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from facts import ANIMALS, DECLINED, ENDS, HOPS, INSTRUCTION, ITEMS, KINDS, RELATIONS, STARTS, Context, Names, numbered

TEMPLATE = ("{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}{{ '<|user|>' }}{% elif message.role == 'assistant' %}{{ '<|assistant|>' }}{% endif %}"
            "{{ message.content }}{% if message.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}")
PAD, BOS, EOS, USER, ASSISTANT, INSTRUCTED = range(6)
SPECIAL = ["<pad>", "<s>", "</s>", "<|user|>", "<|assistant|>"]
SPLIT = r" ?\p{L}+| ?\p{N}{1,2}| ?[^\s\p{L}\p{N}]+\n*|\s+"


def make_tokenizer():
    """Byte-level BPE. What the templates say are whole tokens, a name two, numbers up to 99 one; anything else falls to bytes."""
    split = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(SPLIT), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    vocabulary = {token: at for at, token in enumerate([*SPECIAL, INSTRUCTION, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    add = lambda token: vocabulary.setdefault(token, len(vocabulary))
    merges = []

    def merge(one, other):
        if one + other not in vocabulary:
            add(one + other)
            merges.append((one, other))

    for start in STARTS:
        merge("Ġ", start[0])
        merge("Ġ" + start[0], start[1])
    for end in ENDS:
        merge(end[0], end[1])
        merge(end[:2], end[2])
    words = [*SPLITTABLE, *ITEMS, *ANIMALS, *(" " + word for word in ITEMS + ANIMALS)]
    words += [space + number for number in sorted({str(at) for at in range(100)} | {f"{at:02}" for at in range(10)}) for space in ("", " ")]
    for word, _ in [piece for text in words for piece in split.pre_tokenize_str(text)]:
        add(word)
    # A pre-token that is a token is never taken apart, so no merge but those of names is needed.
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=True))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    tokenizer.add_tokens([AddedToken(INSTRUCTION, special=False, normalized=False)])
    return tokenizer


def splittable():
    """All fixed words, with what can stand beside them."""
    texts = [DECLINED, "Sources:\n\n", "Question: ", " [1, 3].", " [1, 3]. The", "[1] The .\n\n", " °C.\n\n", " °C [1].", " 1.\n\n", "?"]
    for shape in RELATIONS.values():
        texts += [telling + "\n\n" for telling in shape.tellings] + [" " + telling for telling in shape.tellings]
        texts += [shape.answer, f"Question: {shape.question}", f"Question: {shape.question[:-1]} and {shape.question[0].lower()}{shape.question[1:]}"]
    texts += [f"Question: {question}" for question in HOPS.values()]
    return [re.sub(r"\{.\}", "1", text) for text in texts]


SPLITTABLE = splittable()


class Encoder:
    """As the engine encodes: a source apart from what it stands in."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.stops = {tokenizer.token_to_id("."), tokenizer.token_to_id(".ĊĊ")}
        self.digits = [tokenizer.token_to_id(str(number)) for number in range(1, 10)]

    def __call__(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def head(self):
        return [BOS, INSTRUCTED, USER, *self("Sources:\n\n")]

    def prompt(self, texts, present, question):
        sources = [token for at in present for token in self(numbered(texts, at))]
        return [*self.head(), *sources, *self.tail(question)]

    def tail(self, question):
        return [*self(f"Question: {question}"), ASSISTANT]


BRANCH = 10  # groups: 0 what comes first, 1 to 9 the sources, from 10 on the questions
# The number is asked for at the end of each statement: else to cite comes hundreds of steps after to read.
ANSWER_WEIGHT, NUMBER_WEIGHT, TEXT_WEIGHT = 1.0, 0.5, 0.03


@dataclasses.dataclass
class Row:
    ids: list
    positions: list
    groups: list
    targets: list
    weights: list
    blocks: bool


def row(encoder, context, present, asked, blocks):
    out = Row([], [], [], [], [], blocks)

    def put_source(number, tokens, position, group):
        put(tokens, position, group)
        for at in range(len(out.ids) - len(tokens), len(out.ids)):
            if out.ids[at] in encoder.stops:
                out.targets[at], out.weights[at] = encoder.digits[number], NUMBER_WEIGHT

    def put(tokens, position, group, answer_at=None):
        for at, token in enumerate(tokens):
            out.ids.append(token)
            out.positions.append(position + at)
            out.groups.append(group)
            last = at + 1 == len(tokens)
            out.targets.append(PAD if last else tokens[at + 1])
            out.weights.append(0.0 if last else ANSWER_WEIGHT if answer_at is not None and at + 1 >= answer_at else TEXT_WEIGHT)

    head = encoder.head()
    put(head, 0, 0)
    sources = [encoder(numbered(context.texts, at)) for at in present]
    if blocks:
        for at, (number, source) in enumerate(zip(present, sources)):
            put_source(number, source, len(head), 1 + at)
        reached = len(head) + max(map(len, sources), default=0)
    else:
        reached = len(head)
        for number, source in zip(present, sources):
            put_source(number, source, reached, 1)
            reached += len(source)
    for number, (question, answer) in enumerate(asked):
        tail = encoder.tail(question)
        put([*tail, *encoder(answer), EOS], reached, BRANCH + number, len(tail))
    return out


def batch(rows):
    length = max(len(row.ids) for row in rows)
    length += -length % 8
    fill = lambda values, blank: torch.tensor([[*of, *[blank] * (length - len(of))] for of in values])
    groups = fill([row.groups for row in rows], -1)
    asks, sees = groups[:, :, None], groups[:, None, :]
    blocks = torch.tensor([row.blocks for row in rows])[:, None, None]
    is_source = (sees > 0) & (sees < BRANCH)
    mask = (sees == 0) | (sees == asks) | (is_source & ((asks >= BRANCH) | ~blocks))
    mask &= torch.ones(length, length, dtype=torch.bool).tril()
    mask |= torch.eye(length, dtype=torch.bool)
    return (fill([row.ids for row in rows], PAD), fill([row.positions for row in rows], 0), mask[:, None],
            fill([row.targets for row in rows], PAD), fill([row.weights for row in rows], 0.0))


def training_row(random, names, encoder, sources_max, questions):
    sources = random.randint(min(2, sources_max), sources_max) if random.random() < 0.93 else 1
    context = Context(random, names, sources)
    present = list(range(sources))
    if random.random() < 0.3:  # As attribution asks: without some of the sources, the others' numbers as they were.
        present = [at for at in present if random.random() < 0.55]
    kinds, shares = list(KINDS), list(KINDS.values())
    asked = []
    while len(asked) < questions:
        question = context.ask(random.choices(kinds, shares)[0])
        if question:
            asked.append((question.text, context.answer(question, present)[0]))
    return row(encoder, context, present, asked, blocks=random.random() < 0.2)


def training_batches(random, encoder, rows_each, questions, steps, first):
    names, done = Names(held_out=False), 0
    while True:
        # Sorted by length within some batches: padding costs time.
        sources_max = sources_at(done / steps, first)
        rows = sorted((training_row(random, names, encoder, sources_max, questions) for _ in range(8 * rows_each)), key=lambda row: len(row.ids))
        batches = [rows[at : at + rows_each] for at in range(0, len(rows), rows_each)]
        random.shuffle(batches)
        for chosen in batches:
            done += 1
            yield batch(chosen)


def sources_at(progress, first):
    """The curriculum: few sources at first, six from a third of the way on."""
    return min(6, first + int(progress * 12))
