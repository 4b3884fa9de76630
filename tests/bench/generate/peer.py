"""A peer behind a pipe: the commands of engine/examples/bench_generate.rs, answered by the library named.

    python peer.py llama|torch-f32|torch-bf16 MODEL THREADS
"""

import ctypes
import json
import os
import sys
import time

NAME, MODEL, THREADS = sys.argv[1], sys.argv[2], int(sys.argv[3])
os.environ["OMP_NUM_THREADS"] = str(THREADS)


def token(at):
    """Of no meaning; the same for every system."""
    return 300 + at * 7919 % 40000


def timed(work):
    start, cpu_s = time.perf_counter(), time.process_time()
    work()
    return {"wall_s": time.perf_counter() - start, "processor_s": time.process_time() - cpu_s}


class Llama:
    """llama.cpp as its own programs drive it: one batch of tokens of several sequences at a time."""

    def __init__(self):
        import llama_cpp

        self.api = llama_cpp
        self.quiet = llama_cpp.llama_log_callback(lambda *_: None)
        llama_cpp.llama_log_set(self.quiet, None)
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(MODEL.encode(), llama_cpp.llama_model_default_params())
        self.context = None
        if not self.model:
            sys.exit(f"llama.cpp does not load {MODEL}")

    def prepare(self, sequences, tokens):
        if self.context:
            self.api.llama_free(self.context)
        options = self.api.llama_context_default_params()
        options.n_ctx = sequences * ((tokens + 255) // 256 * 256)
        options.n_batch = options.n_ubatch = 512
        options.n_seq_max = sequences
        options.n_threads = options.n_threads_batch = THREADS
        options.kv_unified = False
        self.context = self.api.llama_init_from_model(self.model, options)
        if not self.context:
            sys.exit("llama.cpp makes no context")

    def run(self, rows):
        """(token, position, sequence, wanted) each."""
        batch = self.api.llama_batch_init(len(rows), 0, 1)
        batch.n_tokens = len(rows)
        for at, (token, position, sequence, wanted) in enumerate(rows):
            batch.token[at], batch.pos[at], batch.n_seq_id[at] = token, position, 1
            batch.seq_id[at][0], batch.logits[at] = sequence, wanted
        failed = self.api.llama_decode(self.context, batch)
        self.api.llama_batch_free(batch)
        if failed:
            sys.exit(f"llama_decode gave {failed}")
        if not any(wanted for *_, wanted in rows):
            return None
        return ctypes.cast(self.api.llama_get_logits_ith(self.context, -1), ctypes.POINTER(ctypes.c_float))[0]

    def prompt(self, sequence, tokens):
        for first in range(0, tokens, 512):
            last = min(tokens, first + 512)
            self.run([(token(at), at, sequence, at == tokens - 1) for at in range(first, last)])

    def prefill(self, tokens):
        self.prepare(1, tokens)
        self.prompt(0, min(tokens, 32))
        self.api.llama_memory_clear(self.api.llama_get_memory(self.context), True)
        return timed(lambda: self.prompt(0, tokens))

    def decode(self, sequences, prompt, steps):
        self.prepare(sequences, prompt + steps + 1)
        self.prompt(0, prompt)
        memory = self.api.llama_get_memory(self.context)
        for sequence in range(1, sequences):
            self.api.llama_memory_seq_cp(memory, 0, sequence, -1, -1)
        step = lambda at: self.run([(token(at + sequence), prompt + at, sequence, True) for sequence in range(sequences)])
        step(0)
        return timed(lambda: [step(at) for at in range(1, steps + 1)])

    def score(self, tokens, answer, prompts):
        """Prompts with their answers, one by one, and the scores before every token of the answers."""
        self.prepare(1, tokens)

        def one():
            self.api.llama_memory_clear(self.api.llama_get_memory(self.context), False)
            for first in range(0, tokens, 512):
                rows = range(first, min(tokens, first + 512))
                self.run([(token(at), at, 0, at >= tokens - answer) for at in rows])

        one()
        return {**timed(lambda: [one() for _ in range(prompts)]), "tokens": prompts * tokens}


class Torch:
    """transformers as its users call it, with a cache and a whole batch at a time."""

    def __init__(self, dtype):
        import torch
        from transformers import AutoModelForCausalLM

        self.torch = torch
        torch.set_num_threads(THREADS)
        torch.set_grad_enabled(False)
        self.model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=getattr(torch, dtype)).eval()

    def run(self, ids, cache=None):
        out = self.model(input_ids=self.torch.tensor(ids), past_key_values=cache, use_cache=True, logits_to_keep=1)
        return out.past_key_values

    def prefill(self, tokens):
        self.run([[token(at) for at in range(32)]])
        return timed(lambda: self.run([[token(at) for at in range(tokens)]]))

    def decode(self, sequences, prompt, steps):
        cache = self.run([[token(at) for at in range(prompt)]])
        cache.batch_repeat_interleave(sequences)
        step = lambda at: self.run([[token(at + sequence)] for sequence in range(sequences)], cache)
        step(0)
        return timed(lambda: [step(at) for at in range(1, steps + 1)])


MAKERS = {"llama": Llama, "torch-f32": lambda: Torch("float32"), "torch-bf16": lambda: Torch("bfloat16")}


def answer(system, line):
    command, *numbers = line.split()
    if command == "prefill":
        return system.prefill(int(numbers[0]))
    if command in ("decode", "score"):
        return getattr(system, command)(*map(int, numbers))
    status = dict(line.split(":", 1) for line in open("/proc/self/status", encoding="utf-8"))
    return {"resident_mib": int(status["VmRSS"].split()[0]) // 1024, "peak_mib": int(status["VmHWM"].split()[0]) // 1024}


start = time.perf_counter()
SYSTEM = MAKERS[NAME]()
print(json.dumps({"load_s": time.perf_counter() - start}), flush=True)
for line in sys.stdin:
    print(json.dumps(answer(SYSTEM, line)), flush=True)
