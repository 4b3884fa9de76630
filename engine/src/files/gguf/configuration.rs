//! What a GGUF file says of its model, under the names that `config.json` has for it: the families read both.

use serde_json::{Map, Value, json};

use super::names::{LONG_FACTORS, ROTARY_FACTORS, SHORT_FACTORS, scheme};
use super::{Gguf, Metadata};
use crate::architecture::Position;
use crate::architecture::families::{self, Blueprint};
use crate::kernels::{TensorKind, dequantise};

/// llama.cpp's names of the architectures, and transformers'.
const ARCHITECTURES: &[(&str, &str)] = &[
    ("llama", "llama"),
    ("qwen2", "qwen2"),
    ("qwen3", "qwen3"),
    ("qwen3moe", "qwen3_moe"),
    ("gemma", "gemma"),
    ("gemma2", "gemma2"),
    ("gemma3", "gemma3_text"),
    ("phi3", "phi3"),
    ("falcon", "falcon"),
    ("bloom", "bloom"),
    ("deepseek2", "deepseek_v2"),
    ("chatglm", "glm"),
    ("glm4", "glm4"),
    ("smollm3", "smollm3"),
];

/// Most pairs of a head that a file's factors are for.
const FACTORS_MAX: usize = 1 << 16;

/// The values of one architecture: keys begin with its name.
struct Reader<'g, 'a> {
    gguf: &'g Gguf<'a>,
    architecture: &'a str,
    values: Map<String, Value>,
}

/// # Errors
/// A sentence that names the key or value that is not understood.
pub(in crate::files) fn blueprint(gguf: &Gguf<'_>) -> Result<Blueprint, String> {
    let architecture = gguf.text("general.architecture")?.ok_or("general.architecture is missing")?;
    let known = ARCHITECTURES.iter().find(|(name, _)| *name == architecture);
    let (_, family) = known.ok_or_else(|| {
        let known: Vec<&str> = ARCHITECTURES.iter().map(|(name, _)| *name).collect();
        let other: String = architecture.chars().take(40).collect();
        format!("general.architecture is {other:?}; these are run: {}", known.join(", "))
    })?;
    let mut reader = Reader { gguf, architecture, values: Map::new() };
    reader.set("model_type", *family);
    reader.common()?;
    reader.rotary()?;
    reader.family()?;
    let mut blueprint = families::blueprint(&reader.values)?;
    blueprint.scheme = scheme(architecture);
    if let Some(factors) = factors(gguf, ROTARY_FACTORS)? {
        divide(&mut blueprint, &factors)?;
    }
    Ok(blueprint)
}

impl Reader<'_, '_> {
    fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.values.insert(key.to_owned(), value.into());
    }

    fn whole(&self, key: &str) -> Result<Option<u64>, String> {
        self.gguf.whole(&format!("{}.{key}", self.architecture))
    }

    fn number(&self, key: &str) -> Result<Option<f64>, String> {
        let key = format!("{}.{key}", self.architecture);
        match self.gguf.metadata.get(key.as_str()) {
            None => Ok(None),
            Some(Metadata::Number(number)) => Ok(Some(*number)),
            #[expect(clippy::cast_precision_loss, reason = "such a number is small, or refused later")]
            Some(Metadata::Whole(whole)) => Ok(Some(*whole as f64)),
            Some(_) => Err(format!("{key} is no number")),
        }
    }

    fn copy(&mut self, from: &str, to: &str) -> Result<(), String> {
        // The converter writes 0 for a window or a group that there is none of.
        if let Some(whole) = self.whole(from)?.filter(|whole| *whole > 0) {
            self.set(to, whole);
        }
        Ok(())
    }

    fn copy_number(&mut self, from: &str, to: &str) -> Result<(), String> {
        if let Some(number) = self.number(from)? {
            self.set(to, number);
        }
        Ok(())
    }

    fn common(&mut self) -> Result<(), String> {
        for (from, to) in [
            ("block_count", "num_hidden_layers"),
            ("context_length", "max_position_embeddings"),
            ("embedding_length", "hidden_size"),
            ("feed_forward_length", "intermediate_size"),
            ("attention.head_count", "num_attention_heads"),
            ("attention.head_count_kv", "num_key_value_heads"),
            ("attention.key_length", "head_dim"),
            ("attention.sliding_window", "sliding_window"),
        ] {
            self.copy(from, to)?;
        }
        for key in ["rms_norm_eps", "layer_norm_epsilon"] {
            let from = if key == "rms_norm_eps" { "attention.layer_norm_rms_epsilon" } else { "attention.layer_norm_epsilon" };
            self.copy_number(from, key)?;
        }
        let shape = |name: &str| self.gguf.tensors.iter().find(|(known, _)| *known == name).map(|(_, tensor)| tensor);
        let embedding = shape("token_embd.weight").ok_or("tensor token_embd.weight is missing")?;
        let (rows, tied) = (embedding.rows(), shape("output.weight").is_none());
        self.set("vocab_size", rows);
        self.set("tie_word_embeddings", tied);
        Ok(())
    }

    fn rotary(&mut self) -> Result<(), String> {
        let key = format!("{}.rope.scaling.type", self.architecture);
        let kind = self.gguf.text(&key)?.filter(|kind| *kind != "none");
        let mut parameters = Map::new();
        let short = factors(self.gguf, SHORT_FACTORS)?;
        parameters.insert("rope_type".to_owned(), if short.is_some() { "longrope" } else { kind.unwrap_or("default") }.into());
        for (from, to) in
            [("rope.freq_base", "rope_theta"), ("rope.scaling.factor", "factor"), ("rope.scaling.attn_factor", "attention_factor")]
        {
            if let Some(number) = self.number(from)? {
                parameters.insert(to.to_owned(), number.into());
            }
        }
        if let Some(original) = self.whole("rope.scaling.original_context_length")? {
            parameters.insert("original_max_position_embeddings".to_owned(), original.into());
        }
        for (factors, key) in [(short, "short_factor"), (factors(self.gguf, LONG_FACTORS)?, "long_factor")] {
            if let Some(factors) = factors {
                parameters.insert(key.to_owned(), factors.into());
            }
        }
        // DeepSeek: both of its weights are this, in every file there is.
        if let Some(multiplier) = self.number("rope.scaling.yarn_log_multiplier")? {
            parameters.remove("attention_factor");
            parameters.insert("mscale".to_owned(), (10.0 * multiplier).into());
            parameters.insert("mscale_all_dim".to_owned(), (10.0 * multiplier).into());
        }
        let (heads, width) = (self.whole("attention.head_count")?.unwrap_or(1).max(1), self.whole("embedding_length")?.unwrap_or(0));
        let head_width = self.whole("attention.key_length")?.unwrap_or(width / heads);
        if let Some(turned) = self.whole("rope.dimension_count")?.filter(|turned| *turned < head_width && self.architecture != "deepseek2")
        {
            #[expect(clippy::cast_precision_loss, reason = "a head's width is small, or refused later")]
            parameters.insert("partial_rotary_factor".to_owned(), (turned as f64 / head_width as f64).into());
        }
        self.set("rope_parameters", parameters);
        Ok(())
    }

    /// What one architecture says that others do not.
    fn family(&mut self) -> Result<(), String> {
        match self.architecture {
            "llama" if self.whole("expert_count")?.is_some_and(|experts| experts > 0) => {
                self.set("model_type", "mixtral");
                self.copy("expert_count", "num_local_experts")?;
                self.copy("expert_used_count", "num_experts_per_tok")?;
            }
            "qwen3moe" => {
                self.experts()?;
                self.set("norm_topk_prob", true);
            }
            "gemma2" => {
                self.caps()?;
                self.query_scale(46)?;
            }
            "gemma3" => {
                self.caps()?;
                self.query_scale(62)?;
                self.gemma3_rotary()?;
            }
            "falcon" => self.falcon(),
            "bloom" => self.copy("feed_forward_length", "n_inner")?,
            "deepseek2" => self.deepseek()?,
            "chatglm" | "glm4" => {
                // Biases are as the file has them.
                self.set("attention_bias", true);
            }
            _ => {}
        }
        Ok(())
    }

    fn caps(&mut self) -> Result<(), String> {
        for key in ["attn_logit_softcapping", "final_logit_softcapping"] {
            let cap = self.number(key)?;
            self.set(key, cap);
        }
        Ok(())
    }

    /// The file does not say it; llama.cpp tells the largest model by its layers.
    fn query_scale(&mut self, largest: u64) -> Result<(), String> {
        let (heads, width) = (self.whole("attention.head_count")?.unwrap_or(1).max(1), self.whole("embedding_length")?.unwrap_or(0));
        let head_width = self.whole("attention.key_length")?.unwrap_or(width / heads);
        let scalar = if self.whole("block_count")? == Some(largest) { width / heads } else { head_width };
        self.set("query_pre_attn_scalar", scalar);
        Ok(())
    }

    fn gemma3_rotary(&mut self) -> Result<(), String> {
        let global = self.values.remove("rope_parameters").unwrap_or_default();
        let local = self.number("rope.freq_base_swa")?.unwrap_or(10_000.0);
        let local = json!({ "rope_type": "default", "rope_theta": local });
        self.set("rope_parameters", json!({ "full_attention": global, "sliding_attention": local }));
        Ok(())
    }

    /// How many norms there are, and whether keys are shared, is in the tensors.
    fn falcon(&mut self) {
        let has = |name: &str| self.gguf.tensors.iter().any(|(known, _)| *known == name);
        let two = has("blk.0.attn_norm_2.weight");
        let kv_heads = self.values.get("num_key_value_heads").cloned().unwrap_or_default();
        self.set("new_decoder_architecture", true);
        self.set("num_ln_in_parallel_attn", if two { 2 } else { 1 });
        self.set("num_kv_heads", kv_heads);
        if let Some(inner) = self.values.get("intermediate_size").cloned() {
            self.set("ffn_hidden_size", inner);
        }
    }

    fn experts(&mut self) -> Result<(), String> {
        for (from, to) in [
            ("expert_count", "num_experts"),
            ("expert_used_count", "num_experts_per_tok"),
            ("expert_feed_forward_length", "moe_intermediate_size"),
        ] {
            self.copy(from, to)?;
        }
        Ok(())
    }

    fn deepseek(&mut self) -> Result<(), String> {
        for (from, to) in [
            ("expert_count", "n_routed_experts"),
            ("expert_used_count", "num_experts_per_tok"),
            ("expert_feed_forward_length", "moe_intermediate_size"),
            ("expert_shared_count", "n_shared_experts"),
            ("leading_dense_block_count", "first_k_dense_replace"),
            ("attention.q_lora_rank", "q_lora_rank"),
            ("attention.kv_lora_rank", "kv_lora_rank"),
            ("rope.dimension_count", "qk_rope_head_dim"),
            ("expert_group_count", "n_group"),
            ("expert_group_used_count", "topk_group"),
        ] {
            self.copy(from, to)?;
        }
        self.copy_number("expert_weights_scale", "routed_scaling_factor")?;
        let whole = match self.whole("attention.key_length_mla")? {
            Some(whole) => Some(whole),
            None => self.whole("attention.key_length")?,
        };
        let value = match self.whole("attention.value_length_mla")? {
            Some(value) => Some(value),
            None => self.whole("attention.value_length")?,
        };
        let turned = self.whole("rope.dimension_count")?.unwrap_or(0);
        let plain = whole.and_then(|whole| whole.checked_sub(turned)).ok_or("the key's length is missing, or less than what is rotated")?;
        self.set("qk_nope_head_dim", plain);
        self.set("v_head_dim", value);
        // Of keys that are one for all heads while they are narrow.
        self.values.remove("head_dim");
        self.values.remove("num_key_value_heads");
        let sigmoid = self.whole("expert_gating_func")? == Some(2);
        let key = format!("{}.expert_weights_norm", self.architecture);
        let normalised = self.gguf.flag(&key)?.unwrap_or(false);
        self.set("norm_topk_prob", normalised);
        if sigmoid {
            self.set("model_type", "deepseek_v3");
        }
        self.groups(sigmoid)
    }

    /// Older files do not say it: by how many experts the published models have.
    fn groups(&mut self, sigmoid: bool) -> Result<(), String> {
        let experts = self.whole("expert_count")?.unwrap_or(0);
        if self.values.contains_key("n_group") {
            if !sigmoid {
                self.set("topk_method", "group_limited_greedy");
            }
            return Ok(());
        }
        match (sigmoid, experts) {
            (true, 256) => {
                self.set("n_group", 8);
                self.set("topk_group", 4);
            }
            (true, _) => {
                self.set("n_group", 1);
                self.set("topk_group", 1);
            }
            (false, 160) => {
                self.set("topk_method", "group_limited_greedy");
                self.set("n_group", 8);
                self.set("topk_group", 3);
            }
            (false, _) => self.set("topk_method", "greedy"),
        }
        Ok(())
    }
}

/// A small tensor of f32 that belongs to the rotary positions.
fn factors(gguf: &Gguf<'_>, name: &str) -> Result<Option<Vec<f32>>, String> {
    let Some((_, tensor)) = gguf.tensors.iter().find(|(known, _)| *known == name) else {
        return Ok(None);
    };
    let bytes = gguf.bytes(tensor);
    match (&tensor.kind, tensor.shape.as_slice()) {
        (Ok(TensorKind::F32), [length @ 1..=FACTORS_MAX]) if bytes.len() == 4 * length => {
            let factors = dequantise::to_f32(TensorKind::F32, bytes);
            if factors.iter().all(|factor| factor.is_finite() && *factor > 0.0) {
                Ok(Some(factors))
            } else {
                Err(format!("tensor {name} holds what is no factor"))
            }
        }
        _ => Err(format!("tensor {name} is {:?}, not a short list of F32", tensor.shape)),
    }
}

/// Llama 3's scaling, which the converter has worked out.
fn divide(blueprint: &mut Blueprint, factors: &[f32]) -> Result<(), String> {
    for layer in &mut blueprint.architecture.layers {
        if let Position::Rotary(rotary) = &mut layer.attention.position {
            if rotary.frequencies.len() != factors.len() {
                return Err(format!("tensor {ROTARY_FACTORS} has {} numbers for {} pairs", factors.len(), rotary.frequencies.len()));
            }
            rotary.frequencies.iter_mut().zip(factors).for_each(|(frequency, factor)| *frequency /= factor);
            // It is what llama.cpp writes the factors of, and of nothing else.
            rotary.scaling = "llama3";
        }
    }
    Ok(())
}
