"""Shapes of models that people run on a processor, without their weights: arithmetic does not care what it is given."""

SHAPES = {
    # SmolLM2-135M, Qwen2.5-0.5B, SmolLM2-1.7B
    "135M": dict(kind="llama", width=576, layers=30, heads=9, kv_heads=3, inner=1536, vocabulary=49152, theta=100000.0),
    "0.5B": dict(kind="qwen2", width=896, layers=24, heads=14, kv_heads=2, inner=4864, vocabulary=151936, theta=1000000.0),
    "1.7B": dict(kind="llama", width=2048, layers=24, heads=32, kv_heads=32, inner=8192, vocabulary=49152, theta=130000.0),
}
WINDOW = 8192


def tensors(shape):
    """Yields (name in transformers, name in GGUF, dimensions)."""
    width, inner = shape["width"], shape["inner"]
    kv_width = width // shape["heads"] * shape["kv_heads"]
    yield "model.embed_tokens.weight", "token_embd.weight", (shape["vocabulary"], width)
    for layer in range(shape["layers"]):
        theirs, ours = f"model.layers.{layer}.", f"blk.{layer}."
        yield theirs + "input_layernorm.weight", ours + "attn_norm.weight", (width,)
        for name, short, columns in (("q", "q", width), ("k", "k", kv_width), ("v", "v", kv_width)):
            yield f"{theirs}self_attn.{name}_proj.weight", f"{ours}attn_{short}.weight", (columns, width)
            if shape["kind"] == "qwen2":
                yield f"{theirs}self_attn.{name}_proj.bias", f"{ours}attn_{short}.bias", (columns,)
        yield theirs + "self_attn.o_proj.weight", ours + "attn_output.weight", (width, width)
        yield theirs + "post_attention_layernorm.weight", ours + "ffn_norm.weight", (width,)
        yield theirs + "mlp.gate_proj.weight", ours + "ffn_gate.weight", (inner, width)
        yield theirs + "mlp.up_proj.weight", ours + "ffn_up.weight", (inner, width)
        yield theirs + "mlp.down_proj.weight", ours + "ffn_down.weight", (width, inner)
    yield "model.norm.weight", "output_norm.weight", (width,)


def config(shape):
    family = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}[shape["kind"]]
    return {
        "architectures": [family],
        "model_type": shape["kind"],
        "hidden_size": shape["width"],
        "num_hidden_layers": shape["layers"],
        "num_attention_heads": shape["heads"],
        "num_key_value_heads": shape["kv_heads"],
        "intermediate_size": shape["inner"],
        "vocab_size": shape["vocabulary"],
        "max_position_embeddings": WINDOW,
        "rms_norm_eps": 1e-5,
        "rope_theta": shape["theta"],
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "dtype": "bfloat16",
    }
