//! Keys of a configuration beside others that say the same thing in another way: what counts is what transformers 5.24 takes,
//! read off its configuration classes; what contradicts itself is refused.

use super::*;
use crate::architecture::Architecture;

/// A fixture's configuration with some keys changed; null takes one out.
fn changed(fixture: &str, changes: &Value) -> Result<Architecture, String> {
    let text = fs::read(fixtures().join("decoders").join(fixture).join("config.json")).expect("fixture");
    let mut values: Map<String, Value> = serde_json::from_slice(&text).expect("JSON");
    for (key, value) in changes.as_object().expect("changes") {
        match value {
            Value::Null => drop(values.remove(key)),
            value => drop(values.insert(key.clone(), value.clone())),
        }
    }
    crate::architecture::families::blueprint(&values).map(|blueprint| blueprint.architecture)
}

/// Each pair: a fixture changed in two ways that transformers reads as the same model.
#[test]
fn rope_scaling_takes_the_place_of_rope_parameters() {
    let yarn = json!({"factor": 4.0, "original_max_position_embeddings": 64, "rope_type": "yarn"});
    let plain = json!({"rope_theta": 500_000.0, "rope_type": "default"});
    let linear = json!({"rope_type": "linear", "factor": 8.0});
    let tables = json!({"full_attention": {"rope_type": "default"}, "sliding_attention": {"rope_type": "default"}});
    let pairs = [
        ("llama-yarn", json!({}), json!({"rope_parameters": plain, "rope_scaling": yarn})),
        (
            "llama-yarn",
            json!({}),
            json!({"rope_parameters": null, "rope_scaling": {"factor": 4.0, "original_max_position_embeddings": 64, "type": "yarn"}}),
        ),
        // The base of the table that does not count is gone with it; the one beside both counts.
        (
            "llama-yarn",
            json!({"rope_scaling": yarn, "rope_theta": 7.0}),
            json!({"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "rope_theta": 7.0}}),
        ),
        // Nothing is said by an empty table.
        ("llama-yarn", json!({}), json!({"rope_scaling": {}})),
        ("deepseek-v3", json!({"rope_parameters": yarn}), json!({"rope_parameters": plain, "rope_scaling": yarn, "rope_theta": 10_000.0})),
        // Gemma 3: added to the global layers' table.
        ("gemma3", json!({}), json!({"rope_parameters": tables, "rope_scaling": linear})),
        ("gemma3", json!({}), json!({"rope_parameters": null, "rope_scaling": linear})),
        (
            "gemma3",
            json!({"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 7.0}}}),
            json!({"rope_parameters": tables, "rope_scaling": linear, "rope_theta": 7.0}),
        ),
        (
            "phi3-long",
            json!({}),
            json!({"rope_parameters": null, "partial_rotary_factor": 0.75, "rope_scaling": {"type": "su", "short_factor": [1.0, 1.2, 1.5], "long_factor": [1.0, 3.0, 6.0]}, "original_max_position_embeddings": 64}),
        ),
    ];
    for (fixture, one, other) in pairs {
        let read = |changes: &Value| changed(fixture, changes).unwrap_or_else(|reason| panic!("{fixture} {changes}: {reason}"));
        let mut short = read(&other);
        if fixture == "phi3-long" {
            // Its factors in the fixture are more: the number is what the heads turn.
            short = read(&json!({}));
        }
        assert_eq!(read(&one), short, "{fixture} {one} {other}");
    }
}

/// Each: a fixture, what is changed, and the key that is named.
#[test]
fn what_is_not_understood_or_contradicts_itself_is_refused() {
    let cases = [
        ("llama", json!({"rope_scaling": {"type": "nonsense", "factor": "x"}}), "\"nonsense\""),
        ("llama", json!({"rope_scaling": {"rope_type": "mrope", "mrope_section": [16, 24, 24]}}), "\"mrope\""),
        ("llama", json!({"rope_scaling": {"rope_type": "default", "mrope_section": [16, 24, 24]}}), "mrope_section"),
        ("llama", json!({"rope_scaling": {"rope_type": "default", "type": "mrope"}}), "\"mrope\""),
        (
            "llama",
            json!({"rope_scaling": {"rope_type": "yarn", "type": "linear", "factor": 2.0}}),
            "rope_type is \"yarn\" and type \"linear\"",
        ),
        ("llama", json!({"rope_scaling": {"rope_type": "proportional", "factor": 2.0}}), "\"proportional\""),
        ("llama", json!({"rope_scaling": {"rope_type": "yarn"}}), "factor is missing"),
        ("llama", json!({"rope_scaling": {"rope_type": "dynamic"}}), "factor is missing"),
        ("llama", json!({"rope_scaling": "yarn"}), "rope_scaling"),
        ("llama", json!({"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 2.0}}}), "\"full_attention\""),
        ("qwen2", json!({"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 2.0}}}), "\"full_attention\""),
        ("gemma3", json!({"rope_parameters": {"rope_type": "linear", "factor": 8.0}}), "full_attention"),
        ("gemma3", json!({"rope_parameters": null, "rope_scaling": {"type": "linear", "factor": 8.0}}), "write rope_type"),
        ("phi3", json!({"rope_parameters": null, "rope_scaling": {"type": "linear", "factor": 2.0}}), "default and longrope"),
        ("llama", json!({"partial_rotary_factor": 0.5}), "partial_rotary_factor"),
        ("llama", json!({"n_embed": 7}), "n_embed is 7 and hidden_size"),
        ("falcon-7b", json!({"n_layer": 7}), "n_layer is 7 and num_hidden_layers"),
        (
            "qwen2",
            json!({"layer_types": ["full_attention", "sliding_attention", "full_attention"], "num_hidden_layers": 3, "use_sliding_window": false}),
            "layer_types",
        ),
        ("gemma2", json!({"sliding_window": null}), ""),
    ];
    for (fixture, changes, named) in cases {
        match changed(fixture, &changes) {
            // Taken out, and so as the class has it.
            Ok(_) => assert!(named.is_empty(), "{fixture} {changes}"),
            Err(reason) => assert!(!named.is_empty() && reason.contains(named), "{fixture} {changes}: {reason}"),
        }
    }
}

/// Where a file says nothing, its class does: printed by transformers for each configuration class without arguments.
#[test]
fn what_is_not_said_is_as_the_class_has_it() {
    let bases = |fixture: &str, changes: &Value| {
        let with = |base: f64| {
            let mut changes = changes.clone();
            changes["rope_theta"] = json!(base);
            changed(fixture, &changes).expect("read")
        };
        let without = changed(fixture, changes).expect("read");
        [10_000.0, 1_000_000.0, 2_000_000.0].into_iter().find(|base| with(*base) == without)
    };
    let silent = json!({"rope_parameters": null});
    for (fixture, base) in [("llama", 10_000.0), ("mixtral", 1_000_000.0), ("smollm3", 2_000_000.0), ("qwen3", 10_000.0)] {
        assert_eq!(bases(fixture, &silent), Some(base), "{fixture}");
    }
    let epsilon = |fixture: &str| changed(fixture, &json!({"rms_norm_eps": null})).expect("read").final_norm.epsilon;
    let said = [("llama", 1e-6), ("mixtral", 1e-5), ("phi3", 1e-5), ("glm", 1.5625e-7), ("glm4", 1.5625e-7), ("gemma2", 1e-6)];
    for (fixture, expected) in said {
        assert!((epsilon(fixture) - expected).abs() < 1e-12, "{fixture}");
    }
    let window = |fixture: &str, changes: &Value| changed(fixture, changes).expect("read").layers[0].attention.sliding_window;
    assert_eq!(window("mistral", &json!({"sliding_window": null})), Some(4096), "taken out");
    let width = |fixture: &str| changed(fixture, &json!({"head_dim": null})).expect("read").layers[0].attention.head_width;
    assert_eq!([width("qwen3"), width("gemma"), width("gemma2"), width("glm4")], [128, 256, 256, 128]);
}

/// A configuration that ties what the file has apart: transformers takes the file's word.
#[test]
fn a_head_of_its_own_counts_whatever_the_configuration_says() {
    let directory = llama();
    edit(&directory, "config.json", "tie_word_embeddings", json!(true));
    let opened = ModelFiles::open(directory.path()).expect("opens");
    assert!(!opened.architecture.head.tied);
    // The same numbers twice are one weight.
    let source = tensors(&directory.path().join("model.safetensors"))["model.embed_tokens.weight"].clone();
    spoil(&directory, |name, _, bytes| {
        if name == "lm_head.weight" {
            bytes.clone_from(&source);
        }
        true
    });
    assert!(ModelFiles::open(directory.path()).expect("opens").architecture.head.tied);
}
