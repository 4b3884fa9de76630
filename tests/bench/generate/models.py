"""Writes the shapes with random weights: a directory of transformers and a GGUF in bf16, and what llama.cpp makes of it.

    python models.py WORK_DIR SIZE...

Files that are there are left alone. The 1.7B shape takes up 10 GB.
"""

import ctypes
import json
import os
import pathlib
import sys

import gguf
import llama_cpp
import numpy

from shapes import SHAPES, WINDOW, config, tensors

QUANTISED = {"q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0, "q4_k_m": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M}


def random_bf16(dimensions, generator):
    """Norms and biases near 1 and 0 as theirs are; matrices as they are initialised."""
    numbers = generator.standard_normal(dimensions, dtype=numpy.float32) * 0.02
    if len(dimensions) == 1:
        numbers += 1.0
    bits = numbers.view(numpy.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")


def alphabet():
    """The 256 characters that stand for bytes in a byte-level vocabulary."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return [chr(byte) for byte in visible] + [chr(256 + at) for at in range(len(hidden))]


def vocabulary(size):
    return (["<end>"] + alphabet() + ["to"] + [f"token{at}" for at in range(size)])[:size]


def write_directory(path, shape):
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(config(shape)), encoding="utf-8")
    model = {"type": "BPE", "vocab": {token: at for at, token in enumerate(vocabulary(shape["vocabulary"]))}, "merges": []}
    bytes_as_text = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    end = {"id": 0, "content": "<end>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    tokenizer = {"version": "1.0", "added_tokens": [end], "pre_tokenizer": bytes_as_text, "decoder": bytes_as_text, "model": model}
    (path / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    header, at = {}, 0
    for name, _, dimensions in tensors(shape):
        end = at + 2 * int(numpy.prod(dimensions))
        header[name] = {"dtype": "BF16", "shape": dimensions, "data_offsets": [at, end]}
        at = end
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    generator = numpy.random.default_rng(7)
    part = path / "model.safetensors.part"
    with part.open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        for _, _, dimensions in tensors(shape):
            random_bf16(dimensions, generator).tofile(file)
    part.rename(path / "model.safetensors")


def metadata(writer, shape):
    writer.add_context_length(WINDOW)
    writer.add_embedding_length(shape["width"])
    writer.add_block_count(shape["layers"])
    writer.add_feed_forward_length(shape["inner"])
    writer.add_head_count(shape["heads"])
    writer.add_head_count_kv(shape["kv_heads"])
    writer.add_rope_dimension_count(shape["width"] // shape["heads"])
    writer.add_rope_freq_base(shape["theta"])
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape["vocabulary"])
    writer.add_file_type(llama_cpp.LLAMA_FTYPE_MOSTLY_BF16)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(vocabulary(shape["vocabulary"]))
    writer.add_token_types([gguf.TokenType.CONTROL] + [gguf.TokenType.NORMAL] * (shape["vocabulary"] - 1))
    writer.add_token_merges(["t o"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)


def write_gguf(path, directory, shape):
    weights = numpy.memmap(directory / "model.safetensors", dtype=numpy.uint8, mode="r")
    start = 8 + int.from_bytes(weights[:8].tobytes(), "little")
    part = path.with_suffix(".part")
    writer = gguf.GGUFWriter(str(part), shape["kind"])
    metadata(writer, shape)
    for _, name, dimensions in tensors(shape):
        end = start + 2 * int(numpy.prod(dimensions))
        if len(dimensions) == 1:
            halves = numpy.asarray(weights[start:end]).view("<u2")
            writer.add_tensor(name, (halves.astype(numpy.uint32) << 16).view(numpy.float32))
        else:
            rows = weights[start:end].reshape(dimensions[0], -1)
            writer.add_tensor(name, rows, raw_dtype=gguf.GGMLQuantizationType.BF16)
        start = end
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.rename(path)


def quantise(path, source, ftype):
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype = ftype
    options.nthread = os.cpu_count()
    part = path.with_suffix(".part")
    if llama_cpp.llama_model_quantize(str(source).encode(), str(part).encode(), ctypes.byref(options)) != 0:
        sys.exit(f"llama.cpp does not quantise {source}")
    part.rename(path)


def write(work, size):
    shape, directory = SHAPES[size], work / size
    if not (directory / "model.safetensors").exists():
        write_directory(directory, shape)
    source = work / f"{size}-bf16.gguf"
    if not source.exists():
        write_gguf(source, directory, shape)
    for name, ftype in QUANTISED.items():
        path = work / f"{size}-{name}.gguf"
        if not path.exists():
            quantise(path, source, ftype)


if __name__ == "__main__":
    for size in sys.argv[2:]:
        write(pathlib.Path(sys.argv[1]), size)
