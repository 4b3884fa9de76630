use std::path::PathBuf;

use serde_json::json;

use super::*;
use crate::files::ModelFiles;
use crate::files::tests::{copy, fixtures, tensors};
use crate::kernels::TensorKind;
use crate::kernels::dequantise::to_f32;

fn base(name: &str) -> Architecture {
    ModelFiles::open(&fixtures().join("decoders").join(name)).expect(name).architecture
}

fn adapter(name: &str) -> PathBuf {
    fixtures().join("adapters").join(name)
}

/// `scale · up · down`, `[columns][inner]`.
fn delta(module: &AdapterModule) -> Vec<f32> {
    let mut delta = vec![0.0; module.columns * module.inner];
    for column in 0..module.columns {
        for rank in 0..module.rank {
            let weight = module.scale * module.up[column * module.rank + rank];
            for inner in 0..module.inner {
                delta[column * module.inner + inner] += weight * module.down[rank * module.inner + inner];
            }
        }
    }
    delta
}

/// PEFT's own deltas, module by module; fused ones are ours one after the other, or group by group.
#[test]
fn adapters_add_what_peft_adds() {
    use WeightRole::*;
    for (name, on) in [
        ("llama-attention", "llama-yarn"),
        ("llama-all", "llama-yarn"),
        ("llama-patterns", "llama-yarn"),
        ("llama-layers", "llama-yarn"),
        ("llama-regex", "llama-yarn"),
        ("phi3-fused", "phi3-long"),
        ("falcon-fused", "falcon-40b"),
        ("llama-embedding", "llama-yarn"),
    ] {
        let base = base(on);
        let files = AdapterFiles::open(&adapter(name), &base).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((files.base.as_deref(), files.name.as_str()), (Some(on), name));
        let expected = tensors(&adapter(name).join("expected.safetensors"));
        let of = |layer, role| {
            delta(
                files
                    .modules
                    .iter()
                    .find(|module| (module.layer, module.role) == (layer, role))
                    .unwrap_or_else(|| panic!("{name} {layer:?} {role:?}")),
            )
        };
        let mut compared = 0;
        for (key, bytes) in expected.iter().filter(|(key, _)| key.starts_with("delta.")) {
            let expected = to_f32(TensorKind::F32, bytes);
            let layer = key.split('.').find_map(|part| part.parse::<usize>().ok());
            let roles: &[WeightRole] = match key.rsplit('.').next().expect("module") {
                "q_proj" => &[Query],
                "k_proj" => &[Key],
                "v_proj" => &[Value],
                "o_proj" => &[AttentionOutput],
                "gate_proj" => &[Gate],
                "up_proj" | "dense_h_to_4h" => &[Up],
                "down_proj" => &[Down],
                "qkv_proj" | "query_key_value" => &[Query, Key, Value],
                "gate_up_proj" => &[Gate, Up],
                "embed_tokens" => &[Embedding],
                other => panic!("{other}"),
            };
            compared += roles.len();
            let parts: Vec<Vec<f32>> = roles.iter().map(|role| of(layer, *role)).collect();
            let found = match key.rsplit('.').next() {
                Some("query_key_value") => regrouped(&parts, &base),
                Some("embed_tokens") => transposed(&parts[0], base.vocabulary),
                _ => parts.concat(),
            };
            assert_eq!(found.len(), expected.len(), "{name} {key}");
            assert!(
                found.iter().zip(&expected).all(|(found, expected)| (found - expected).abs() <= 1e-5 + 1e-5 * expected.abs()),
                "{name} {key}"
            );
        }
        assert_eq!(compared, files.modules.len(), "{name}");
    }
}

/// Back to one run of queries, key and value for each key-value head.
fn regrouped(parts: &[Vec<f32>], base: &Architecture) -> Vec<f32> {
    let attention = &base.layers[0].attention;
    let head = attention.head_width * base.width;
    let each = attention.heads / attention.kv_heads * head;
    (0..attention.kv_heads)
        .flat_map(|group| {
            [&parts[0][group * each..][..each], &parts[1][group * head..][..head], &parts[2][group * head..][..head]].concat()
        })
        .collect()
}

/// PEFT gives an embedding's delta as its weight lies: `[vocabulary][width]`.
fn transposed(delta: &[f32], vocabulary: usize) -> Vec<f32> {
    let width = delta.len() / vocabulary;
    (0..vocabulary * width).map(|at| delta[at % width * vocabulary + at / width]).collect()
}

#[test]
fn what_is_not_plain_lora_is_refused_by_name() {
    let base = base("llama-yarn");
    for (key, value) in [
        ("peft_type", json!("IA3")),
        ("task_type", json!("SEQ_CLS")),
        ("use_dora", json!(true)),
        ("modules_to_save", json!(["lm_head"])),
        ("bias", json!("all")),
        ("lora_bias", json!(true)),
        ("alora_invocation_tokens", json!([1, 2])),
        ("layer_replication", json!([[0, 1]])),
        ("megatron_config", json!({"a": 1})),
        ("fan_in_fan_out", json!(true)),
        ("trainable_token_indices", json!([1])),
        ("target_parameters", json!(["a"])),
        ("of_a_later_version", json!(1)),
        ("init_lora_weights", json!("pissa")),
        ("init_lora_weights", json!("olora")),
        ("init_lora_weights", json!("loftq")),
        ("init_lora_weights", json!("corda")),
        ("init_lora_weights", json!("eva")),
        ("init_lora_weights", json!("lora_ga")),
        ("r", json!(0)),
        ("r", json!(1_000_000)),
        ("rank_pattern", json!({"(": 4})),
        ("rank_pattern", json!({"q_proj": "a"})),
        ("target_modules", json!(null)),
    ] {
        let directory = copy(&adapter("llama-attention"));
        edit(&directory.path().join(CONFIG), key, value.clone());
        let error = AdapterFiles::open(directory.path(), &base).expect_err(key);
        assert!(
            matches!(&error, EngineError::Adapter { reason, .. } if reason.contains(key) || reason.contains('(')),
            "{key} {value}: {error}"
        );
    }
}

#[test]
fn an_adapter_must_be_what_its_configuration_says_and_fit_the_base() {
    let llama = base("llama-yarn");
    for (key, value, complaint) in [
        ("r", json!(5), "not [5"),
        ("target_modules", json!(["q_proj", "k_proj", "v_proj"]), "o_proj, which target_modules does not name"),
        ("target_modules", json!(["q_proj", "k_proj", "v_proj", "o_proj", "up_proj"]), "no weights for"),
        ("layers_to_transform", json!([0]), "does not name"),
        ("exclude_modules", json!(["q_proj"]), "does not name"),
        ("rank_pattern", json!({"layers.1.self_attn.k_proj": 2}), "not [2"),
    ] {
        let directory = copy(&adapter("llama-attention"));
        edit(&directory.path().join(CONFIG), key, value);
        let error = AdapterFiles::open(directory.path(), &llama).expect_err(complaint).to_string();
        assert!(error.contains(complaint), "{key}: {error}");
    }
    let error = AdapterFiles::open(&adapter("phi3-fused"), &llama).expect_err("another base");
    assert!(matches!(error, EngineError::Adapter { .. }), "{error}");
    let error = AdapterFiles::open(&adapter("llama-attention"), &base("mistral")).expect_err("another size");
    assert!(error.to_string().contains("is ["), "{error}");
    let same = AdapterFiles::open(&adapter("llama-attention"), &llama).expect("opens");
    let copied = copy(&adapter("llama-attention"));
    assert_eq!(AdapterFiles::open(copied.path(), &llama).expect("opens").sha256, same.sha256);
}

fn edit(path: &Path, key: &str, value: serde_json::Value) {
    let mut values: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&std::fs::read(path).expect("config")).expect("JSON");
    values.insert(key.to_owned(), value);
    std::fs::write(path, serde_json::to_vec(&values).expect("JSON")).expect("writes");
}
