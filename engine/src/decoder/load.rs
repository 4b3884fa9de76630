//! From a model's files to a decoder.

use super::pages::PageShape;
use super::projection::Projection;
use super::weights::{
    AttentionInput, AttentionWeights, DenseRoles, DenseWeights, ExpertsWeights, FeedForwardWeights, LatentWeights, LayerWeights,
    NormWeights,
};
use super::{Decoder, DecoderOptions};
use crate::architecture::{Architecture, Attention, Dense, Experts, FeedForward, Latent, Layer, Norm, Position, Rotary, WeightRole};
use crate::files::ModelFiles;
use crate::kernels::{Cpu, Linear, Team};
use crate::{EngineError, Isa, Precision};

/// What is loaded from, and into which form.
struct Loader<'a> {
    files: &'a ModelFiles,
    cpu: Cpu,
    precision: Precision,
    rotaries: Vec<Rotary>,
}

impl Decoder {
    /// # Errors
    /// [`EngineError::UnsupportedCpu`] for an instruction set that the processor lacks; [`EngineError::UnsupportedModel`]
    /// where a weight is missing or has another shape than the architecture says.
    pub(crate) fn load(files: &ModelFiles, options: &DecoderOptions) -> Result<Self, EngineError> {
        let best = Isa::detect();
        let wanted = options.isa.unwrap_or(best);
        let cpu = Cpu::new(wanted).ok_or(EngineError::UnsupportedCpu { wanted, best })?;
        let threads = options.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get)).max(1);
        let architecture = files.architecture.clone();
        let mut loader = Loader { files, cpu, precision: options.precision, rotaries: Vec::new() };
        let layers = architecture.layers.iter().enumerate();
        let layers = layers.map(|(index, layer)| loader.layer(index, layer)).collect::<Result<_, _>>()?;
        let embedding = loader.linear(None, WeightRole::Embedding, architecture.vocabulary, architecture.width, options.precision)?;
        let head = match architecture.head.tied {
            true => None,
            false => Some(loader.linear(None, WeightRole::Head, architecture.vocabulary, architecture.width, options.precision)?),
        };
        let norm = architecture.embedding.norm;
        let embedding_norm = norm.map(|norm| loader.embedding_norm(&architecture, norm)).transpose()?;
        let roles = (WeightRole::FinalNorm, Some(WeightRole::FinalNormBias));
        let final_norm = loader.norm(None, roles, architecture.final_norm, architecture.width)?;
        Ok(Self {
            pages: PageShape::new(&architecture, options.precision),
            team: Team::start(threads, cpu).map_err(EngineError::library("starting threads"))?,
            rotaries: loader.rotaries,
            adapters: Vec::new(),
            buffers: std::sync::Mutex::default(),
            architecture,
            cpu,
            threads,
            embedding,
            embedding_norm,
            layers,
            final_norm,
            head,
        })
    }
}

impl Loader<'_> {
    fn width(&self) -> usize {
        self.files.architecture.width
    }

    fn embedding_norm(&self, architecture: &Architecture, norm: Norm) -> Result<NormWeights, EngineError> {
        self.norm(None, (WeightRole::EmbeddingNorm, Some(WeightRole::EmbeddingNormBias)), norm, architecture.width)
    }

    fn layer(&mut self, index: usize, layer: &Layer) -> Result<LayerWeights, EngineError> {
        use WeightRole as Role;
        let width = self.width();
        let at = Some(index);
        let norm = |roles: (Role, Option<Role>), norm: Option<Norm>| norm.map(|norm| self.norm(at, roles, norm, width)).transpose();
        let attention_norm = norm((Role::AttentionNorm, Some(Role::AttentionNormBias)), layer.attention_norm)?;
        let post_attention_norm = norm((Role::PostAttentionNorm, None), layer.post_attention_norm)?;
        let feed_forward_norm = norm((Role::FeedForwardNorm, Some(Role::FeedForwardNormBias)), layer.feed_forward_norm)?;
        let post_feed_forward_norm = norm((Role::PostFeedForwardNorm, None), layer.post_feed_forward_norm)?;
        let feed_forward = match &layer.feed_forward {
            FeedForward::Dense(dense) => {
                let roles = DenseRoles { gate: Role::Gate, up: Role::Up, down: Role::Down };
                FeedForwardWeights::Dense(Box::new(self.dense(index, *dense, roles)?))
            }
            FeedForward::Experts(experts) => FeedForwardWeights::Experts(Box::new(self.experts(index, experts)?)),
        };
        let attention = self.attention(index, &layer.attention)?;
        Ok(LayerWeights { attention_norm, attention, post_attention_norm, feed_forward_norm, feed_forward, post_feed_forward_norm })
    }

    fn attention(&mut self, layer: usize, shape: &Attention) -> Result<AttentionWeights, EngineError> {
        let norm = |role| shape.query_key_norm.map(|norm| self.norm(Some(layer), (role, None), norm, shape.head_width)).transpose();
        let (query_norm, key_norm) = (norm(WeightRole::QueryNorm)?, norm(WeightRole::KeyNorm)?);
        let input = match &shape.latent {
            Some(latent) => AttentionInput::Latent(Box::new(self.latent(layer, shape, latent)?)),
            None => AttentionInput::Projected(self.projections(
                layer,
                &[
                    (WeightRole::Query, shape.heads * shape.head_width),
                    (WeightRole::Key, shape.kv_heads * shape.head_width),
                    (WeightRole::Value, shape.kv_heads * shape.value_width),
                ],
                self.width(),
            )?),
        };
        let output = self.projection(layer, WeightRole::AttentionOutput, self.width(), shape.heads * shape.value_width)?;
        let rotary = match &shape.position {
            Position::Rotary(rotary) => Some(self.rotary(rotary)),
            Position::None | Position::Alibi { .. } => None,
        };
        Ok(AttentionWeights { shape: shape.clone(), input, query_norm, key_norm, rotary, output })
    }

    fn latent(&self, layer: usize, shape: &Attention, latent: &Latent) -> Result<LatentWeights, EngineError> {
        let queries = shape.heads * shape.head_width;
        // Whatever reads the layer's input is one product: queries, narrow or not, and the narrow keys and values.
        let down = match latent.query_rank {
            Some(rank) => (WeightRole::LatentQueryDown, rank),
            None => (WeightRole::Query, queries),
        };
        let down = [down, (WeightRole::LatentDown, latent.key_value_rank + latent.rotary_width)];
        let query = latent.query_rank.map(|rank| {
            let norm = self.norm(Some(layer), (WeightRole::LatentQueryNorm, None), latent.norm, rank)?;
            Ok::<_, EngineError>((norm, self.projection(layer, WeightRole::LatentQueryUp, queries, rank)?))
        });
        let expanded = shape.heads * (shape.head_width - latent.rotary_width + shape.value_width);
        Ok(LatentWeights {
            down: self.projections(layer, &down, self.width())?,
            query: query.transpose()?,
            norm: self.norm(Some(layer), (WeightRole::LatentNorm, None), latent.norm, latent.key_value_rank)?,
            up: self.projection(layer, WeightRole::LatentUp, expanded, latent.key_value_rank)?,
            rotary_width: latent.rotary_width,
        })
    }

    /// The rotation's number among the different ones.
    fn rotary(&mut self, rotary: &Rotary) -> usize {
        self.rotaries.iter().position(|known| known == rotary).unwrap_or_else(|| {
            self.rotaries.push(rotary.clone());
            self.rotaries.len() - 1
        })
    }

    fn dense(&self, layer: usize, shape: Dense, roles: DenseRoles) -> Result<DenseWeights, EngineError> {
        let both = [(roles.gate, shape.inner_width), (roles.up, shape.inner_width)];
        let inner = self.projections(layer, if shape.gated { &both } else { &both[1..] }, self.width())?;
        let down = self.projection(layer, roles.down, self.width(), shape.inner_width)?;
        Ok(DenseWeights { shape, roles, inner, down })
    }

    fn experts(&self, layer: usize, shape: &Experts) -> Result<ExpertsWeights, EngineError> {
        use WeightRole as Role;
        let experts = (0..shape.count).map(|expert| {
            let roles = DenseRoles { gate: Role::ExpertGate(expert), up: Role::ExpertUp(expert), down: Role::ExpertDown(expert) };
            self.dense(layer, shape.expert, roles)
        });
        let shared = shape
            .shared
            .map(|shared| self.dense(layer, shared, DenseRoles { gate: Role::SharedGate, up: Role::SharedUp, down: Role::SharedDown }));
        let bias = match shape.routing.biased {
            true => self.vector(Some(layer), Role::RouterBias, shape.count)?,
            false => Vec::new(),
        };
        // A rounded score could choose another expert: routers are f32 in every precision.
        let linear = self.linear(Some(layer), Role::Router, shape.count, self.width(), Precision::F32)?;
        let router = Projection { layer, role: Role::Router, linear };
        Ok(ExpertsWeights { shape: shape.clone(), router, bias, experts: experts.collect::<Result<_, _>>()?, shared: shared.transpose()? })
    }

    fn norm(
        &self,
        layer: Option<usize>,
        roles: (WeightRole, Option<WeightRole>),
        norm: Norm,
        width: usize,
    ) -> Result<NormWeights, EngineError> {
        let shift = roles.1.map(|role| self.files.weights.vector(layer, role, width)).transpose()?.flatten();
        Ok(NormWeights { norm, scale: self.vector(layer, roles.0, width)?, shift })
    }

    fn vector(&self, layer: Option<usize>, role: WeightRole, length: usize) -> Result<Vec<f32>, EngineError> {
        self.files.weights.vector(layer, role, length)?.ok_or_else(|| EngineError::UnsupportedModel {
            name: self.files.name.clone(),
            reason: match layer {
                Some(layer) => format!("layer {layer} has no {role:?}"),
                None => format!("it has no {role:?}"),
            },
        })
    }

    fn linear(
        &self,
        layer: Option<usize>,
        role: WeightRole,
        columns: usize,
        inner: usize,
        precision: Precision,
    ) -> Result<Linear, EngineError> {
        Linear::new(&self.files.weights.matrix(layer, role, columns, inner)?, self.cpu, precision)
    }

    fn projection(&self, layer: usize, role: WeightRole, columns: usize, inner: usize) -> Result<Projection, EngineError> {
        Ok(Projection { layer, role, linear: self.linear(Some(layer), role, columns, inner, self.precision)? })
    }

    /// Matrices that read the same rows.
    fn projections(&self, layer: usize, roles: &[(WeightRole, usize)], inner: usize) -> Result<Vec<Projection>, EngineError> {
        roles.iter().map(|(role, columns)| self.projection(layer, *role, *columns, inner)).collect()
    }
}
