//! A model's weights by what they are for: found under the names of its family, cut out of fused tensors.

use std::collections::BTreeSet;
use std::path::Path;

use super::inventory::{Shape, needs};
use super::latent::Apart;
use super::tensor_store::{Stored, TensorStore};
use crate::EngineError;
use crate::architecture::families::names::{Heads, Part, Rows};
use crate::architecture::families::{Blueprint, Scheme};
use crate::architecture::{Architecture, FeedForward, WeightRole};
use crate::kernels::MatrixSource;

/// Owns the maps of the files. What the architecture needs has been found, with its shape, when this exists.
pub(crate) struct Weights {
    store: TensorStore,
    scheme: Scheme,
    prefix: &'static str,
    /// Of each layer.
    heads: Vec<Heads>,
}

/// One entry of a scheme, with its layer and expert in its name.
struct Place<'a> {
    name: String,
    stored: &'a Stored,
    part: Part,
    expert: usize,
}

impl Weights {
    /// Finds every weight that the architecture needs, and refuses what the files have beside: a tensor that is not
    /// computed with is a model that is not understood.
    ///
    /// # Errors
    /// [`EngineError::BrokenModel`] where one is missing or has another shape; [`EngineError::UnsupportedModel`] where one is left over.
    pub(crate) fn new(store: TensorStore, blueprint: &Blueprint, name: &str) -> Result<Self, EngineError> {
        let Blueprint { architecture, scheme } = blueprint;
        let heads = architecture.layers.iter().map(|layer| {
            let attention = &layer.attention;
            let experts = match &layer.feed_forward {
                FeedForward::Dense(_) => 0,
                FeedForward::Experts(experts) => experts.count,
            };
            Heads { heads: attention.heads, kv_heads: attention.kv_heads, head_width: attention.head_width, experts }
        });
        let heads = heads.collect();
        let embedding =
            |prefix: &&&str| scheme.candidates(WeightRole::Embedding).any(|(name, _)| store.get(&format!("{prefix}{name}")).is_some());
        let prefix = scheme.prefixes.iter().find(embedding).copied().ok_or_else(|| without_embeddings(&store, blueprint))?;
        let weights = Self { store, scheme: scheme.clone(), prefix, heads };
        weights.check(architecture, name)?;
        Ok(weights)
    }

    /// The files that they are in, mapped.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        self.store.files()
    }

    fn check(&self, architecture: &Architecture, name: &str) -> Result<(), EngineError> {
        let mut used = BTreeSet::new();
        for (layer, role, shape) in needs(architecture) {
            let place = self.place(layer, role);
            let place = match (place, shape) {
                (None, Shape::Optional(_)) => continue,
                (None, _) => return Err(self.missing(layer, role)),
                (Some(place), _) => place,
            };
            let broken = |reason| EngineError::BrokenModel { file: self.store.file_of(place.stored).to_owned(), reason };
            match shape {
                Shape::Vector(length) | Shape::Optional(length) => check_vector(&place, length).map_err(broken)?,
                Shape::Matrix { .. } if place.part == Part::Apart => {
                    used.extend(self.apart(&place, layer, shape).map_err(broken)?.1);
                }
                Shape::Matrix { columns, inner } => {
                    let rows = self.matrix_rows(&place, layer, columns, inner).map_err(broken)?;
                    if let Some((bias, stored)) = self.bias(layer, role, &place).map_err(broken)? {
                        check_bias(&bias, stored, &rows).map_err(broken)?;
                        used.insert(bias);
                    }
                }
            }
            used.insert(place.name);
        }
        let left = self.store.names().find(|name| !used.contains(*name) && !self.ignored(name, architecture));
        match left {
            None => Ok(()),
            Some(tensor) => Err(EngineError::UnsupportedModel {
                name: name.to_owned(),
                reason: format!("it holds a tensor {tensor:?}, which an architecture {} does not compute with", architecture.family),
            }),
        }
    }

    /// What files hold that is no weight, or is one twice.
    fn ignored(&self, name: &str, architecture: &Architecture) -> bool {
        // Tables that are computed, masks, the other half of a model that sees, and a head that is the embeddings.
        const ENDS: &[&str] = &["rotary_emb.inv_freq", "rotary_pos_emb.inv_freq", "attention.bias", "attn.masked_bias"];
        const STARTS: &[&str] = &["vision_tower.", "model.vision_tower.", "multi_modal_projector.", "model.multi_modal_projector."];
        let tied = architecture.head.tied && self.scheme.candidates(WeightRole::Head).any(|(head, _)| absolute(head, self.prefix) == name);
        let past = || {
            let layer = name.strip_prefix(self.prefix).and_then(|rest| rest.strip_prefix("layers."));
            let layer = layer.and_then(|rest| rest.split('.').next()).and_then(|number| number.parse::<usize>().ok());
            layer.is_some_and(|layer| layer >= architecture.layers.len())
        };
        tied || ENDS.iter().any(|end| name.ends_with(end))
            || STARTS.iter().any(|start| name.starts_with(start))
            || self.scheme.ignored.contains(&name)
            || self.scheme.ahead && past()
    }

    /// Norms and other vectors. None where the file has none.
    pub(crate) fn vector(&self, layer: Option<usize>, role: WeightRole, length: usize) -> Result<Option<Vec<f32>>, EngineError> {
        let Some(place) = self.place(layer, role) else {
            return Ok(None);
        };
        let broken = |reason| EngineError::BrokenModel { file: self.store.file_of(place.stored).to_owned(), reason };
        check_vector(&place, length).map_err(broken)?;
        let mut numbers = self.store.numbers(&place.name, place.stored).map_err(broken)?;
        if role.is_norm() && self.scheme.norm_offset != 0.0 {
            numbers.iter_mut().for_each(|number| *number += self.scheme.norm_offset);
        }
        Ok(Some(numbers))
    }

    /// `[columns][inner]`, with its bias.
    pub(crate) fn matrix(
        &self,
        layer: Option<usize>,
        role: WeightRole,
        columns: usize,
        inner: usize,
    ) -> Result<MatrixSource<'_>, EngineError> {
        let place = self.place(layer, role).ok_or_else(|| self.missing(layer, role))?;
        let broken = |reason| EngineError::BrokenModel { file: self.store.file_of(place.stored).to_owned(), reason };
        if place.part == Part::Apart {
            let (apart, _) = self.apart(&place, layer, Shape::Matrix { columns, inner }).map_err(broken)?;
            return apart.read(&self.store).map_err(broken);
        }
        let rows = self.matrix_rows(&place, layer, columns, inner).map_err(broken)?;
        let (kind, bytes) = self.store.rows(&place.name, place.stored, &rows).map_err(broken)?;
        let bias = match self.bias(layer, role, &place).map_err(broken)? {
            None => None,
            Some((name, stored)) => {
                check_bias(&name, stored, &rows).map_err(broken)?;
                let numbers = self.store.numbers(&name, stored).map_err(broken)?;
                Some(rows.runs.iter().flat_map(|run| numbers.get(run.clone()).unwrap_or_default()).copied().collect())
            }
        };
        Ok(MatrixSource { kind, columns, inner, bytes, bias })
    }

    fn place(&self, layer: Option<usize>, role: WeightRole) -> Option<Place<'_>> {
        let expert = role.expert();
        self.scheme.candidates(role).find_map(|(name, part)| {
            let mut name = absolute(name, self.prefix);
            if let Some(layer) = layer {
                name = name.replace("{l}", &layer.to_string());
            }
            if let Some(expert) = expert {
                name = name.replace("{e}", &expert.to_string());
            }
            let stored = self.store.get(&name)?;
            Some(Place { name, stored, part, expert: expert.unwrap_or(0) })
        })
    }

    fn apart<'a>(&'a self, place: &Place<'a>, layer: Option<usize>, shape: Shape) -> Result<(Apart<'a>, Option<String>), String> {
        let heads = layer.and_then(|layer| self.heads.get(layer)).map_or(1, |heads| heads.heads);
        let values = place.name.replace("attn_k_b", "attn_v_b");
        let stored = self.store.get(&values).ok_or_else(|| format!("tensor {values} is missing"))?;
        let apart = Apart::new((place.name.clone(), place.stored), (values.clone(), stored), heads, shape)?;
        Ok((apart, Some(values)))
    }

    fn matrix_rows(&self, place: &Place<'_>, layer: Option<usize>, columns: usize, inner: usize) -> Result<Rows, String> {
        let heads =
            layer.and_then(|layer| self.heads.get(layer).copied()).unwrap_or(Heads { heads: 1, kv_heads: 1, head_width: 1, experts: 0 });
        let rows = place.part.rows(columns, heads, place.expert);
        let (found, wanted) = (place.stored.rows(), rows.runs.iter().map(|run| run.end).max().unwrap_or(0));
        if place.stored.shape.len() != place.part.dimensions()
            || place.stored.inner() != inner
            || rows.total != found
            || wanted > found
            || rows.count() != columns
        {
            let Place { name, stored, .. } = place;
            return Err(format!("tensor {name} is {:?}, where {} rows of {inner} are needed", stored.shape, rows.total));
        }
        match &place.stored.kind {
            Ok(kind) if kind.bytes(inner).is_none() => Err(format!("tensor {} of {} has rows of {inner} numbers", place.name, kind.name())),
            Ok(_) => Ok(rows),
            Err(kind) => Err(format!("tensor {} is of type {kind}, which is not read", place.name)),
        }
    }

    /// The tensor beside a matrix that holds its bias, where the configuration says that there is one.
    fn bias(&self, layer: Option<usize>, role: WeightRole, place: &Place<'_>) -> Result<Option<(String, &Stored)>, String> {
        let Some(stem) = place.name.strip_suffix(".weight") else {
            return Ok(None);
        };
        let name = format!("{stem}.bias");
        let wanted = match self.scheme.biases {
            Some(biases) => layer.is_some() && biases.has(role),
            None => self.store.get(&name).is_some(),
        };
        if !wanted {
            return Ok(None);
        }
        let stored = self.store.get(&name).ok_or_else(|| format!("tensor {name} is missing"))?;
        Ok(Some((name, stored)))
    }

    fn missing(&self, layer: Option<usize>, role: WeightRole) -> EngineError {
        let wanted: Vec<&str> = self.scheme.candidates(role).map(|(name, _)| name).collect();
        let place = layer.map_or_else(String::new, |layer| format!(" of layer {layer}"));
        let remedy = match role {
            WeightRole::Head => {
                ". A model that shares it with its embeddings says tie_word_embeddings: true in config.json; else the file was saved without \
                 its head, as AutoModel does and AutoModelForCausalLM does not"
            }
            _ => ". Another part of the model may not have been downloaded, or config.json is another model's",
        };
        let reason = format!("the weight {role:?}{place} is missing; it would be called {}{remedy}", wanted.join(" or "));
        EngineError::BrokenModel { file: self.store.first_file().to_owned(), reason }
    }
}

fn without_embeddings(store: &TensorStore, blueprint: &Blueprint) -> EngineError {
    let wanted: Vec<&str> = blueprint.scheme.candidates(WeightRole::Embedding).map(|(name, _)| name).collect();
    let found: Vec<&str> = store.names().take(3).collect();
    let reason = format!(
        "it holds no embeddings under a name that the family {} uses ({}), but {}: it is another model's file than config.json, an adapter, \
         or one of several",
        blueprint.architecture.family,
        wanted.join(" or "),
        if found.is_empty() { "no tensors".to_owned() } else { found.join(", ") }
    );
    EngineError::BrokenModel { file: store.first_file().to_owned(), reason }
}

/// Whether the files hold a head that is not the embeddings.
pub(crate) fn has_other_head(store: &TensorStore, scheme: &Scheme) -> bool {
    let stored = |role: WeightRole, prefix: &str| scheme.candidates(role).find_map(|(name, _)| store.get(&absolute(name, prefix)));
    scheme.prefixes.iter().any(|prefix| match (stored(WeightRole::Embedding, prefix), stored(WeightRole::Head, prefix)) {
        (Some(embedding), Some(head)) => !store.is_same(embedding, head),
        _ => false,
    })
}

/// The name with the model's prefix before it, unless it stands alone.
fn absolute(name: &str, prefix: &str) -> String {
    name.strip_prefix('/').map_or_else(|| format!("{prefix}{name}"), str::to_owned)
}

fn check_vector(place: &Place<'_>, length: usize) -> Result<(), String> {
    if place.stored.shape == [length] { Ok(()) } else { Err(format!("tensor {} is {:?}, not [{length}]", place.name, place.stored.shape)) }
}

/// A bias lies as its matrix's rows do.
fn check_bias(name: &str, stored: &Stored, rows: &Rows) -> Result<(), String> {
    let length = rows.total;
    if stored.shape == [length] { Ok(()) } else { Err(format!("tensor {name} is {:?}, not [{length}]", stored.shape)) }
}
