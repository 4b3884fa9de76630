//! What `adapter_config.json` asks for.

use serde_json::{Map, Value};
use tokenizers::utils::SysRegex;

use crate::architecture::families::config::{Config, Refusal};

const RANK_MAX: usize = 1 << 14;
const PATTERN_BYTES_MAX: usize = 4096;
const PATTERNS_MAX: usize = 4096;

/// Keys that change nothing about what is computed, or that are read here.
const UNDERSTOOD: &[&str] = &[
    "alpha_pattern",
    "auto_mapping",
    "base_model_name_or_path",
    "exclude_modules",
    "inference_mode",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "lora_alpha",
    "lora_dropout",
    "megatron_core",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "rank_pattern",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
    "use_rslora",
];

pub(super) struct Configuration<'a> {
    pub(super) base: Option<&'a str>,
    rank: usize,
    alpha: f32,
    root: bool,
    ranks: Vec<(SysRegex, usize)>,
    alphas: Vec<(SysRegex, f32)>,
    targets: Targets<'a>,
    excluded: Option<Targets<'a>>,
    /// Only modules of these layers.
    layers: Option<Vec<usize>>,
}

enum Targets<'a> {
    AllLinear,
    /// The whole name.
    Pattern(SysRegex),
    /// The whole name, or its end.
    Names(Vec<&'a str>),
}

impl<'a> Configuration<'a> {
    /// # Errors
    /// A sentence that names the key or value that is not understood.
    pub(super) fn read(values: &'a Map<String, Value>) -> Result<Self, Refusal> {
        let config = Config::new(values);
        match config.text("peft_type")? {
            Some("LORA") => {}
            other => return Err(format!("peft_type is {:?}: LORA is run", other.unwrap_or("missing"))),
        }
        if let Some(other) = config.text("task_type")?.filter(|task| *task != "CAUSAL_LM") {
            return Err(format!("task_type is {other:?}: CAUSAL_LM is run"));
        }
        check_keys(values)?;
        match config.value("init_lora_weights") {
            None | Some(Value::Bool(_)) => {}
            Some(Value::String(kind)) if kind == "gaussian" => {}
            Some(other) => return Err(format!("init_lora_weights is {other}: it may have changed the base's weights")),
        }
        let targets = Targets::read(&config, "target_modules")?.ok_or("target_modules is missing")?;
        Ok(Self {
            base: config.text("base_model_name_or_path")?,
            rank: config.optional_size("r", RANK_MAX)?.unwrap_or(8),
            alpha: config.number("lora_alpha")?.unwrap_or(8.0),
            root: config.flag("use_rslora", false)?,
            ranks: patterns(&config, "rank_pattern", |value| value.as_u64().and_then(|rank| usize::try_from(rank).ok()))?,
            #[expect(clippy::cast_possible_truncation, reason = "numbers of a configuration are meant as f32")]
            alphas: patterns(&config, "alpha_pattern", |value| value.as_f64().map(|alpha| alpha as f32))?,
            targets,
            excluded: Targets::read(&config, "exclude_modules")?,
            layers: layers(&config)?,
        })
    }

    /// Whether PEFT would adapt the module of that name; `layer` as its name says.
    pub(super) fn targets(&self, module: &str, layer: Option<usize>, head: bool) -> bool {
        if self.excluded.as_ref().is_some_and(|excluded| excluded.name(module, false)) {
            return false;
        }
        // A pattern says for itself which layers it means.
        let within = match (&self.layers, &self.targets) {
            (Some(layers), Targets::Names(_) | Targets::AllLinear) => layer.is_some_and(|layer| layers.contains(&layer)),
            _ => true,
        };
        within && self.targets.name(module, head)
    }

    pub(super) fn rank(&self, module: &str) -> usize {
        first(&self.ranks, module).unwrap_or(self.rank)
    }

    #[expect(clippy::cast_precision_loss, reason = "a rank is small")]
    pub(super) fn scale(&self, module: &str) -> f32 {
        let rank = self.rank(module) as f32;
        first(&self.alphas, module).unwrap_or(self.alpha) / if self.root { rank.sqrt() } else { rank }
    }
}

/// Every other key is of a method that is not run, and must ask for nothing.
fn check_keys(values: &Map<String, Value>) -> Result<(), Refusal> {
    for (key, value) in values {
        let asks = match value {
            Value::Null | Value::Bool(false) => false,
            Value::Array(list) => !list.is_empty(),
            Value::Object(table) => !table.is_empty(),
            Value::String(text) => !(text.is_empty() || key == "bias" && text == "none"),
            Value::Bool(true) | Value::Number(_) => true,
        };
        if asks && !UNDERSTOOD.contains(&key.as_str()) {
            let key: String = key.chars().take(60).collect();
            return Err(format!("{key} is set, which is not run"));
        }
    }
    Ok(())
}

impl<'a> Targets<'a> {
    fn read(config: &Config<'a>, key: &str) -> Result<Option<Self>, Refusal> {
        Ok(match config.value(key) {
            None => None,
            Some(Value::String(text)) if text.eq_ignore_ascii_case("all-linear") => Some(Self::AllLinear),
            Some(Value::String(pattern)) => Some(Self::Pattern(compile(&format!("^(?:{pattern})$"), pattern)?)),
            Some(_) => Some(Self::Names(config.texts(key)?.unwrap_or_default())),
        })
    }

    fn name(&self, module: &str, head: bool) -> bool {
        match self {
            // The head is left out, and embeddings are no linear layer.
            Self::AllLinear => !head,
            Self::Pattern(pattern) => pattern.find_iter(module).next().is_some(),
            Self::Names(names) => {
                names.iter().any(|name| module.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('.')))
            }
        }
    }
}

/// `layers_to_transform`, one number or several. `layers_pattern` names the list of layers, of which there is one.
fn layers(config: &Config<'_>) -> Result<Option<Vec<usize>>, Refusal> {
    let key = "layers_to_transform";
    match config.value(key) {
        None => Ok(None),
        Some(Value::Array(list)) if list.is_empty() => Ok(None),
        Some(Value::Array(_)) => {
            let counts = config.counts(key)?.unwrap_or_default();
            Ok(Some(counts.into_iter().filter_map(|layer| usize::try_from(layer).ok()).collect()))
        }
        Some(_) => Ok(config.count(key, usize::MAX)?.map(|layer| vec![layer])),
    }
}

/// As PEFT matches them: `(.*\.)?(key)$` from the name's beginning.
fn patterns<T>(config: &Config<'_>, key: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Vec<(SysRegex, T)>, Refusal> {
    let Some(table) = config.section(key)? else {
        return Ok(Vec::new());
    };
    if table.values().len() > PATTERNS_MAX {
        return Err(format!("{key} has {} patterns", table.values().len()));
    }
    let pattern = |(pattern, value): (&String, &Value)| {
        let value = read(value).ok_or_else(|| format!("{key} holds what is no number"))?;
        Ok((compile(&format!(r"^(?:.*\.)?(?:{pattern})$"), pattern)?, value))
    };
    table.values().iter().map(pattern).collect()
}

fn compile(whole: &str, pattern: &str) -> Result<SysRegex, Refusal> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("a pattern of {} bytes", pattern.len()));
    }
    SysRegex::new(whole).map_err(|_| format!("{:?} is no pattern that is understood", pattern.chars().take(60).collect::<String>()))
}

fn first<T: Copy>(patterns: &[(SysRegex, T)], module: &str) -> Option<T> {
    patterns.iter().find(|(pattern, _)| pattern.find_iter(module).next().is_some()).map(|(_, value)| *value)
}
