"""The trained TinyStories 260K, from llama2.c's files to a directory that transformers and Headwater open.

    python tests/bench/generate/tinystories.py ../shared/data/tinystories-260k OUTPUT

Needs numpy and safetensors. The files' README says how they are laid out, and what the model answers.
"""

import json
import pathlib
import struct
import sys

import numpy
from safetensors.numpy import save_file

SOURCE, OUTPUT = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])


def weights():
    raw = (SOURCE / "checkpoint_legacy.bin").read_bytes()
    width, inner, layers, heads, kv_heads, vocabulary, window = struct.unpack("7i", raw[:28])
    numbers, taken = numpy.frombuffer(raw, dtype="<f4", offset=28), 0

    def take(*shape):
        nonlocal taken
        size = int(numpy.prod(shape))
        taken += size
        return numbers[taken - size : taken].reshape(shape)

    def halves(matrix):
        """llama2.c turns neighbouring numbers, transformers the halves of a head."""
        head = width // heads
        return matrix.reshape(-1, head // 2, 2, width).swapaxes(1, 2).reshape(-1, width)

    kv_width = width // heads * kv_heads
    tensors = {"model.embed_tokens.weight": take(vocabulary, width)}
    order = [("input_layernorm", (width,)), ("self_attn.q_proj", (width, width)), ("self_attn.k_proj", (kv_width, width)), ("self_attn.v_proj", (kv_width, width)),
             ("self_attn.o_proj", (width, width)), ("post_attention_layernorm", (width,)), ("mlp.gate_proj", (inner, width)), ("mlp.down_proj", (width, inner)),
             ("mlp.up_proj", (inner, width))]
    for name, shape in order:
        for layer, matrix in enumerate(take(layers, *shape)):
            turned = name.endswith(("q_proj", "k_proj"))
            tensors[f"model.layers.{layer}.{name}.weight"] = halves(matrix) if turned else matrix
    tensors["model.norm.weight"] = take(width)
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": width, "intermediate_size": inner, "num_hidden_layers": layers,
              "num_attention_heads": heads, "num_key_value_heads": kv_heads, "vocab_size": vocabulary, "max_position_embeddings": window, "rms_norm_eps": 1e-5,
              "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float32"}
    return {name: numpy.ascontiguousarray(tensor) for name, tensor in tensors.items()}, config


def tokenizer(vocabulary):
    """Pieces are merged by score, which is what byte-pair encoding does by rank."""
    raw, at, pieces = (SOURCE / "tokenizer.bin").read_bytes(), 4, []
    for _ in range(vocabulary):
        score, length = struct.unpack("fi", raw[at : at + 8])
        pieces.append((score, raw[at + 8 : at + 8 + length].decode()))
        at += 8 + length
    special = {1: "<s>", 2: "</s>"}
    ids = {special.get(token, text): token for token, (_, text) in enumerate(pieces)}
    ranked = sorted((piece for piece in enumerate(pieces) if piece[0] > 258), key=lambda piece: (-piece[1][0], piece[0]))
    merges = [[text[:cut], text[cut:]] for _, (_, text) in ranked for cut in range(1, len(text)) if text[:cut] in ids and text[cut:] in ids]
    added = [{"id": token, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
             for token, text in {0: "<unk>", **special}.items()]
    bos = [{"SpecialToken": {"id": "<s>", "type_id": 0}}]
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": {"type": "Prepend", "prepend": " "}, "pre_tokenizer": None,
            "post_processor": {"type": "TemplateProcessing", "single": [*bos, {"Sequence": {"id": "A", "type_id": 0}}],
                               "pair": [*bos, {"Sequence": {"id": "A", "type_id": 0}}, *bos, {"Sequence": {"id": "B", "type_id": 1}}],
                               "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
            "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
            "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": True,
                      "byte_fallback": True, "ignore_merges": False, "vocab": ids, "merges": merges}}


OUTPUT.mkdir(parents=True, exist_ok=True)
TENSORS, CONFIG = weights()
save_file(TENSORS, OUTPUT / "model.safetensors", metadata={"format": "pt"})
(OUTPUT / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
(OUTPUT / "tokenizer.json").write_text(json.dumps(tokenizer(CONFIG["vocab_size"]), ensure_ascii=False) + "\n")
(OUTPUT / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": "</s>", "tokenizer_class": "PreTrainedTokenizerFast"}) + "\n")
