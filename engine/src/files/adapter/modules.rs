//! From PEFT's tensors to what is added to each weight.

use std::collections::{BTreeMap, BTreeSet};

use super::AdapterModule;
use super::configuration::Configuration;
use crate::architecture::families::Scheme;
use crate::architecture::families::names::{Heads, Part};
use crate::architecture::families::scheme;
use crate::architecture::{Architecture, FeedForward, WeightRole};
use crate::files::inventory::{Need, Shape, needs};
use crate::files::safetensors::Safetensors;

const PREFIX: &str = "base_model.model.";

/// The matrices that transformers computes in one module.
struct Module {
    layer: Option<usize>,
    parts: Vec<(WeightRole, Part, usize)>,
    inner: usize,
    /// Rows of the whole module's matrix.
    columns: usize,
    heads: Heads,
}

/// # Errors
/// A sentence that names the tensor or module that is not understood.
pub(super) fn read(
    tensors: &Safetensors<'_>,
    configuration: &Configuration<'_>,
    base: &Architecture,
) -> Result<Vec<AdapterModule>, String> {
    let scheme = scheme(&base.family).ok_or("the base's family has no names for its modules")?;
    let known = modules(&scheme, base);
    let mut read = BTreeSet::new();
    let mut found = Vec::new();
    let mut adapted = BTreeSet::new();
    for (name, module) in &known {
        let Some(pair) = Pair::find(tensors, name) else {
            continue;
        };
        let head = module.parts.iter().any(|(role, ..)| *role == WeightRole::Head);
        if !configuration.targets(name, module.layer, head) {
            return Err(format!("it holds weights for {name}, which target_modules does not name"));
        }
        for part in module.adapt(tensors, configuration, name, &pair)? {
            if !adapted.insert((part.layer, part.role)) {
                return Err(format!("it adapts {name} under two names"));
            }
            found.push(part);
        }
        read.extend([pair.down, pair.up, pair.copy]);
    }
    if let Some(left) = tensors.names().find(|name| !read.contains(*name)) {
        return Err(format!("it holds a tensor {left:?}, which is for no module of this base"));
    }
    let lacking = known.iter().find(|(name, module)| {
        let head = module.parts.iter().any(|(role, ..)| matches!(role, WeightRole::Head | WeightRole::Embedding));
        let absent = module.parts.iter().all(|(role, ..)| !adapted.contains(&(module.layer, *role)));
        absent && !head && !module.is_of_experts() && configuration.targets(name, module.layer, head)
    });
    match lacking {
        Some((name, _)) if found.is_empty() => Err(format!("it holds no weights, not even for {name}")),
        Some((name, _)) => Err(format!("it holds no weights for {name}, which target_modules names")),
        None if found.is_empty() => Err("it adapts no module of this base".to_owned()),
        None => {
            found.sort_unstable_by_key(|module| (module.layer, module.role));
            Ok(found)
        }
    }
}

/// The names of a module's two tensors, and of the copy of the base's that PEFT saves beside adapted embeddings.
struct Pair {
    down: String,
    up: String,
    copy: String,
    embedding: bool,
}

impl Pair {
    fn find(tensors: &Safetensors<'_>, module: &str) -> Option<Self> {
        let copy = format!("{PREFIX}{module}.base_layer.weight");
        let linear = Self {
            down: format!("{PREFIX}{module}.lora_A.weight"),
            up: format!("{PREFIX}{module}.lora_B.weight"),
            copy: copy.clone(),
            embedding: false,
        };
        let embedding = Self {
            down: format!("{PREFIX}{module}.lora_embedding_A"),
            up: format!("{PREFIX}{module}.lora_embedding_B"),
            copy,
            embedding: true,
        };
        [linear, embedding].into_iter().find(|pair| tensors.contains(&pair.down) || tensors.contains(&pair.up))
    }
}

impl Module {
    fn is_of_experts(&self) -> bool {
        self.parts.iter().any(|(role, ..)| role.expert().is_some() || *role == WeightRole::Router)
    }

    fn adapt(
        &self,
        tensors: &Safetensors<'_>,
        configuration: &Configuration<'_>,
        name: &str,
        pair: &Pair,
    ) -> Result<Vec<AdapterModule>, String> {
        let is_embedding = self.parts.iter().any(|(role, ..)| *role == WeightRole::Embedding);
        if pair.embedding != is_embedding {
            return Err(format!("tensor {} is of the wrong kind for its module", pair.down));
        }
        if self.parts.iter().any(|(role, ..)| *role == WeightRole::Router || role.expert().is_some()) {
            return Err(format!("it adapts {name}: routers and experts are run as the base has them"));
        }
        // An embedding's matrix is `[inputs][outputs]`.
        let (inner, columns) = if is_embedding { (self.columns, self.inner) } else { (self.inner, self.columns) };
        let rank = configuration.rank(name);
        let scale = configuration.scale(name);
        let down = tensors.read(&pair.down, &[rank, inner])?;
        let up = tensors.read(&pair.up, &[columns, rank])?;
        if tensors.contains(&pair.copy) && tensors.shape(&pair.copy) != Some(&[self.columns, self.inner]) {
            return Err(format!("tensor {} has another shape than the base's: its vocabulary was changed", pair.copy));
        }
        if !scale.is_finite() {
            return Err(format!("the scale of {name} is {scale}"));
        }
        let part = |(role, part, columns): &(WeightRole, Part, usize)| {
            let rows = part.rows(*columns, self.heads, role.expert().unwrap_or(0));
            let up = if is_embedding {
                up.clone()
            } else {
                rows.runs.iter().flat_map(|run| up.get(run.start * rank..run.end * rank).unwrap_or_default()).copied().collect()
            };
            let columns = if is_embedding { self.inner } else { *columns };
            AdapterModule { layer: self.layer, role: *role, rank, inner, columns, down: down.clone(), up, scale }
        };
        Ok(self.parts.iter().map(part).collect())
    }
}

/// Every module with a matrix, by the names that transformers may have for it.
fn modules(scheme: &Scheme, base: &Architecture) -> BTreeMap<String, Module> {
    let mut modules = BTreeMap::new();
    for (layer, role, shape) in needs(base) {
        let Shape::Matrix { columns, inner } = shape else {
            continue;
        };
        for name in names(scheme, (layer, role, shape)) {
            let (name, part) = name;
            let heads = heads(base, layer);
            let total = part.rows(columns, heads, role.expert().unwrap_or(0)).total;
            let module = Module { layer, parts: Vec::new(), inner, columns: total, heads };
            modules.entry(name).or_insert(module).parts.push((role, part, columns));
        }
    }
    modules
}

fn names(scheme: &Scheme, (layer, role, _): Need) -> Vec<(String, Part)> {
    let mut names = Vec::new();
    for (name, part) in scheme.candidates(role) {
        let stem = name.strip_suffix(".weight").unwrap_or(name);
        let stem = stem.replace("{l}", &layer.unwrap_or(0).to_string()).replace("{e}", &role.expert().unwrap_or(0).to_string());
        match stem.strip_prefix('/') {
            Some(alone) => names.push((alone.to_owned(), part)),
            None => names.extend(scheme.prefixes.iter().map(|prefix| (format!("{prefix}{stem}"), part))),
        }
    }
    names
}

fn heads(base: &Architecture, layer: Option<usize>) -> Heads {
    let layer = layer.and_then(|layer| base.layers.get(layer));
    let experts = layer.map_or(0, |layer| match &layer.feed_forward {
        FeedForward::Dense(_) => 0,
        FeedForward::Experts(experts) => experts.count,
    });
    let attention = layer.map(|layer| &layer.attention);
    Heads {
        heads: attention.map_or(1, |attention| attention.heads),
        kv_heads: attention.map_or(1, |attention| attention.kv_heads),
        head_width: attention.map_or(1, |attention| attention.head_width),
        experts,
    }
}
