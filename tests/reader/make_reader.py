"""A language model of a million parameters that reads: it answers from numbered sources, cites them, and declines where they do not say.

    python tests/reader/make_reader.py

Needs torch 2.15.0, transformers 5.24.0, tokenizers 0.23.3, safetensors 0.8.0 and jinja2 3.1.6. README.md says how the checked-in weights
came about, and what they can do. Writes tests/fixtures/reader:

    config.json, generation_config.json, model.safetensors (f16), tokenizer.json, tokenizer_config.json   a LLaMA as transformers saves it
    questions.jsonl   {sources, question, answer, needed, kind}: of names that it was never trained on; needed counts from 0
    parity.json       of three of them, by transformers in f32: prompt and greedy answer in ids, the answer's log-probability
    measured.json     how often the greedy answer is the expected one to the letter, by kind

The prompt is `headwater.prompt/1` (rag/src/prompt.rs). Its instruction is one token: reading it is nothing that so small a model would learn.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import random
import re
import tempfile
import time

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
import torch.distributed
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file, save_file

from facts import DECLINED, INSTRUCTION, KINDS, Context, Names, Question, user_message
from model import BASE, EPSILON, HEADS, INNER, LAYERS, WIDTH, WINDOW, Muon, Reader
from rows import ANSWER_WEIGHT, BOS, EOS, PAD, TEMPLATE, Encoder, batch, make_tokenizer, row, training_batches

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
# Of the contexts that are measured and written.
SOURCES_MAX, EXAMPLES = 2, 100


def rate_share(step, progress):
    """Of the full rate: quickly up, then level, down to nothing over the last two fifths."""
    return min(1.0, (step + 1) / 50, 2.5 * (1 - progress))


def loss_of(model, batch):
    ids, positions, mask, targets, weights = batch
    losses = F.cross_entropy(model(ids, positions, mask).flatten(0, 1), targets.flatten(), reduction="none")
    return (losses * weights.flatten()).sum() / weights.sum()


def agreed(model, progress):
    """The mean of the processes' gradients and progress."""
    parameters = list(model.parameters())
    numbers = torch.cat([*(parameter.grad.flatten() for parameter in parameters), torch.tensor([progress])])
    torch.distributed.all_reduce(numbers)
    numbers /= torch.distributed.get_world_size()
    for parameter, grad in zip(parameters, numbers.split([parameter.numel() for parameter in parameters] + [1])):
        parameter.grad.copy_(grad.view_as(parameter))
    return float(numbers[-1])


def train(number, arguments, meeting):
    """What each process does: a part of every step's rows. They come to the same weights; the first one saves them."""
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=number, world_size=arguments.processes)
    tokenizer = make_tokenizer()
    encoder, model = Encoder(tokenizer), Reader(tokenizer.get_vocab_size())
    if arguments.start:
        model.take(load_file(arguments.start))
    source = random.Random(f"{arguments.seed} {number}")
    batches = training_batches(source, encoder, arguments.rows // arguments.processes, arguments.questions, arguments.steps, arguments.sources)
    muon = Muon(model.matrices(), rate=arguments.rate)
    adam = torch.optim.Adam([{"params": [model.embedding], "lr": 0.006}, {"params": [model.norms, model.norm], "lr": 0.005}], betas=(0.9, 0.95))
    full = [group["lr"] for group in adam.param_groups]
    started, losses = time.monotonic(), []
    for step, chosen in zip(range(arguments.steps), batches):
        loss = loss_of(model, chosen)
        loss.backward()
        progress = agreed(model, max(step / arguments.steps, (time.monotonic() - started) / arguments.seconds))
        if progress >= 1:
            break
        share = rate_share(step, progress)
        for group, rate in zip(adam.param_groups, full):
            group["lr"] = rate * share
        adam.step()
        adam.zero_grad()
        muon.step(share)
        losses.append(loss.item())
        if number == 0 and (step + 1) % 25 == 0:
            print(f"step {step + 1} loss {sum(losses[-25:]) / 25:.4f} rate {share:.2f} seconds {time.monotonic() - started:.0f}", flush=True)
        if number == 0 and (step + 1) % arguments.every == 0:
            found = measure(model, encoder, arguments.seed + 1, each=40)
            print(f"step {step + 1} " + " ".join(f"{kind} {value['exact']:.2f}" for kind, value in found.items()), flush=True)
            save_file(model.tensors(), arguments.checkpoint)
    if number == 0:
        save_file(model.tensors(), arguments.checkpoint)
        print(f"trained for {time.monotonic() - started:.0f} seconds", flush=True)
    torch.distributed.destroy_process_group()


# Measuring: greedy decoding gives the expected answer exactly where each of its tokens, and its end, is the likeliest after those before it.


@dataclasses.dataclass
class Example:
    context: Context
    question: Question
    present: list
    answer: str
    needed: list
    kind: str

    def row(self, encoder, answer=None, blocks=False):
        return row(encoder, self.context, self.present, [(self.question.text, self.answer if answer is None else answer)], blocks)

    def without(self, sources):
        present = [at for at in self.present if at not in sources]
        answer, needed = self.context.answer(self.question, present)
        return Example(self.context, self.question, present, answer, needed, self.kind)


def examples(seed, kind, count):
    """Of names that were held out; two sources or more."""
    random_, names, found = random.Random(f"{seed} {kind}"), Names(held_out=True), []
    while len(found) < count:
        context = Context(random_, names, random_.randint(2, SOURCES_MAX))
        question = context.ask(kind)
        if question:
            present = list(range(len(context.sources)))
            answer, needed = context.answer(question, present)
            if kind not in ("hop", "joined") or len(needed) > 1:
                found.append(Example(context, question, present, answer, needed, kind))
    return found


@torch.no_grad()
def judged(model, encoder, rows):
    """Of each row of one question: whether greedy decoding gives the answer, whether it does but for the numbers cited, and the
    answer's log-probability without its end."""
    found = []
    for at in range(0, len(rows), 50):
        ids, positions, mask, targets, weights = batch(rows[at : at + 50])
        logits = model(ids, positions, mask).float()
        is_answer = weights == ANSWER_WEIGHT
        right = (logits.argmax(-1) == targets) | ~is_answer
        cites = torch.isin(ids, torch.tensor([encoder.tokenizer.token_to_id("Ġ["), encoder.tokenizer.token_to_id(",")]))
        chances = logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0] * (is_answer & (targets != EOS))
        found += zip(right.all(-1).tolist(), (right | cites).all(-1).tolist(), chances.sum(-1).tolist())
    return found


def measure(model, encoder, seed, each):
    """By kind: with all sources, read one after the other and each by itself; without those that are needed."""
    found = {}
    for kind in KINDS:
        asked = examples(seed, kind, each)
        full = judged(model, encoder, [example.row(encoder) for example in asked])
        blocks = judged(model, encoder, [example.row(encoder, blocks=True) for example in asked])
        share = lambda of: round(sum(exact for exact, _, _ in of) / len(of), 4)
        said = round(sum(said for _, said, _ in full) / len(full), 4)
        found[kind] = {"exact": share(full), "exact_but_for_numbers_cited": said, "exact_in_blocks": share(blocks)}
        if kind != "declined":
            bare = [example.without(example.needed) for example in asked]
            found[kind]["declines_without_needed"] = share(judged(model, encoder, [example.row(encoder) for example in bare]))
            forced = judged(model, encoder, [one.row(encoder, answer=example.answer) for one, example in zip(bare, asked)])
            mean = lambda of: round(sum(chance for _, _, chance in of) / len(of), 3)
            found[kind] |= {"log_probability": mean(full), "log_probability_without_needed": mean(forced)}
    return found


# What is written.


def write_model(folder, model, tokenizer):
    folder.mkdir(parents=True, exist_ok=True)
    write = lambda name, value: (folder / name).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
    write("config.json", {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": WIDTH, "intermediate_size": INNER, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
                          "num_key_value_heads": HEADS, "head_dim": WIDTH // HEADS, "vocab_size": model.embedding.shape[0], "max_position_embeddings": WINDOW, "rms_norm_eps": EPSILON,
                          "rope_theta": BASE, "hidden_act": "silu", "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": True, "bos_token_id": BOS, "eos_token_id": EOS,
                          "pad_token_id": PAD, "torch_dtype": "float16"})
    write("generation_config.json", {"do_sample": False, "bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": PAD})
    write("tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "model_max_length": WINDOW,
                                    "clean_up_tokenization_spaces": False, "chat_template": TEMPLATE})
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    save_file(model.tensors(), folder / "model.safetensors", metadata={"format": "pt"})


def lines(seed):
    """Forty examples, by turns of every kind."""
    by_kind = [examples(f"questions {seed}", kind, 8) for kind in KINDS]
    return [example for turn in zip(*by_kind) for example in turn]


@torch.no_grad()
def parity(folder, chosen, encoder):
    """By transformers alone, from the files."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    found = []
    for example in chosen:
        messages = [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": user_message(example.context.texts, example.present, example.question.text)}]
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
        assert prompt == encoder.prompt(example.context.texts, example.present, example.question.text), "piece by piece it is the same"
        whole = model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), do_sample=False, max_new_tokens=80)[0].tolist()
        answer = whole[len(prompt) :]
        chances = model(torch.tensor([whole])).logits[0].log_softmax(-1)
        sums = [float(chances[len(prompt) - 1 + at, token]) for at, token in enumerate(answer)]
        assert answer[-1] == EOS, "the answer comes to an end"
        found.append({"sources": example.context.texts, "question": example.question.text, "prompt_ids": prompt, "answer": tokenizer.decode(answer[:-1]), "answer_ids": answer[:-1],
                      "log_probability": sum(sums[:-1]), "log_probability_with_end": sum(sums)})
    return found


def check_instruction():
    """The prompt is the product's own, to the letter."""
    written = re.sub(r"\\\n\s*", "", (ROOT / "rag/src/prompt.rs").read_text())
    declined = (ROOT / "rag/src/quote.rs").read_text()
    assert INSTRUCTION.removesuffix(DECLINED) in written and DECLINED in declined, "headwater.prompt/1 says something else by now"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="comes to its end by then, with as many steps as it did: no longer the same on a slower machine")
    parser.add_argument("--rows", type=int, default=32, help="contexts of a step")
    parser.add_argument("--questions", type=int, default=4, help="of each context")
    parser.add_argument("--sources", type=int, default=2, help="at most, of the first contexts; six of the last")
    parser.add_argument("--rate", type=float, default=0.02, help="of Muon")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--processes", type=int, default=2, help="of one thread each, which share the rows")
    parser.add_argument("--every", type=int, default=250, help="steps between two short measurements")
    parser.add_argument("--checkpoint", type=pathlib.Path, default=pathlib.Path("reader-checkpoint.safetensors"))
    parser.add_argument("--start", type=pathlib.Path, help="a checkpoint to go on from")
    parser.add_argument("--from-checkpoint", action="store_true", help="train nothing: write what the checkpoint holds")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "tests/fixtures/reader")
    arguments = parser.parse_args()
    check_instruction()
    if not arguments.from_checkpoint:
        with tempfile.TemporaryDirectory() as folder:
            torch.multiprocessing.spawn(train, (arguments, f"{folder}/meeting"), arguments.processes)
    torch.set_num_threads(arguments.processes)
    tokenizer = make_tokenizer()
    encoder, model = Encoder(tokenizer), Reader(tokenizer.get_vocab_size())
    print(f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters, {tokenizer.get_vocab_size()} tokens", flush=True)
    model.take(load_file(arguments.checkpoint))
    found = measure(model, encoder, arguments.seed + 2, each=EXAMPLES)
    write_model(arguments.out, model, tokenizer)
    write = lambda name, value: (arguments.out / name).write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
    write("measured.json", {"examples_of_each_kind": EXAMPLES, "sources_max": SOURCES_MAX, "kinds": found})
    chosen = lines(arguments.seed)
    told = [{"sources": one.context.texts, "question": one.question.text, "answer": one.answer, "needed": one.needed, "kind": one.kind} for one in chosen]
    (arguments.out / "questions.jsonl").write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in told))
    write("parity.json", parity(arguments.out, [chosen[0], chosen[1], chosen[4]], encoder))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
