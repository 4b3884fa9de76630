//! Every weight that an architecture is computed with, and its shape.

use crate::architecture::WeightRole::{self, *};
use crate::architecture::{Architecture, Attention, Dense, FeedForward, Layer, Norm, NormKind};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Vector(usize),
    /// Only a norm's shift: a file may have none.
    Optional(usize),
    Matrix {
        columns: usize,
        inner: usize,
    },
}

pub(crate) type Need = (Option<usize>, WeightRole, Shape);

/// Layer by layer: a configuration may claim millions of experts, and the first that is missing ends the search.
pub(crate) fn needs(architecture: &Architecture) -> impl Iterator<Item = Need> {
    let layers = architecture.layers.iter().enumerate();
    outside(architecture).into_iter().chain(layers.flat_map(|(at, layer)| of_layer(at, layer, architecture.width)))
}

fn outside(architecture: &Architecture) -> Vec<Need> {
    let width = architecture.width;
    let mut list = List { layer: None, needs: Vec::new() };
    list.matrix(Embedding, architecture.vocabulary, width);
    list.norm(architecture.embedding.norm, EmbeddingNorm, Some(EmbeddingNormBias), width);
    list.norm(Some(architecture.final_norm), FinalNorm, Some(FinalNormBias), width);
    if !architecture.head.tied {
        list.matrix(Head, architecture.vocabulary, width);
    }
    list.needs
}

fn of_layer(at: usize, layer: &Layer, width: usize) -> Vec<Need> {
    let mut list = List { layer: Some(at), needs: Vec::new() };
    list.norm(layer.attention_norm, AttentionNorm, Some(AttentionNormBias), width);
    list.attention(&layer.attention, width);
    list.norm(layer.post_attention_norm, PostAttentionNorm, None, width);
    list.norm(layer.feed_forward_norm, FeedForwardNorm, Some(FeedForwardNormBias), width);
    list.feed_forward(&layer.feed_forward, width);
    list.norm(layer.post_feed_forward_norm, PostFeedForwardNorm, None, width);
    list.needs
}

struct List {
    layer: Option<usize>,
    needs: Vec<Need>,
}

impl List {
    fn matrix(&mut self, role: WeightRole, columns: usize, inner: usize) {
        self.needs.push((self.layer, role, Shape::Matrix { columns, inner }));
    }

    fn norm(&mut self, norm: Option<Norm>, weight: WeightRole, bias: Option<WeightRole>, width: usize) {
        let Some(norm) = norm else {
            return;
        };
        self.needs.push((self.layer, weight, Shape::Vector(width)));
        if let Some(bias) = bias.filter(|_| norm.kind == NormKind::Layer) {
            self.needs.push((self.layer, bias, Shape::Optional(width)));
        }
    }

    fn attention(&mut self, attention: &Attention, width: usize) {
        let queries = attention.heads * attention.head_width;
        if let Some(latent) = &attention.latent {
            match latent.query_rank {
                None => self.matrix(Query, queries, width),
                Some(rank) => {
                    self.matrix(LatentQueryDown, rank, width);
                    self.norm(Some(latent.norm), LatentQueryNorm, None, rank);
                    self.matrix(LatentQueryUp, queries, rank);
                }
            }
            let narrow = latent.key_value_rank;
            let expanded = attention.head_width.saturating_sub(latent.rotary_width) + attention.value_width;
            self.matrix(LatentDown, narrow + latent.rotary_width, width);
            self.norm(Some(latent.norm), LatentNorm, None, narrow);
            self.matrix(LatentUp, attention.heads * expanded, narrow);
        } else {
            self.matrix(Query, queries, width);
            self.matrix(Key, attention.kv_heads * attention.head_width, width);
            self.matrix(Value, attention.kv_heads * attention.value_width, width);
        }
        if let Some(rule) = attention.query_key_norm {
            self.norm(Some(rule), QueryNorm, None, attention.head_width);
            self.norm(Some(rule), KeyNorm, None, attention.head_width);
        }
        self.matrix(AttentionOutput, width, attention.heads * attention.value_width);
    }

    fn feed_forward(&mut self, feed_forward: &FeedForward, width: usize) {
        match feed_forward {
            FeedForward::Dense(dense) => self.dense(dense, [Gate, Up, Down], width),
            FeedForward::Experts(experts) => {
                self.matrix(Router, experts.count, width);
                if experts.routing.biased {
                    self.needs.push((self.layer, RouterBias, Shape::Vector(experts.count)));
                }
                for expert in 0..experts.count {
                    self.dense(&experts.expert, [ExpertGate(expert), ExpertUp(expert), ExpertDown(expert)], width);
                }
                if let Some(shared) = &experts.shared {
                    self.dense(shared, [SharedGate, SharedUp, SharedDown], width);
                }
            }
        }
    }

    fn dense(&mut self, dense: &Dense, [gate, up, down]: [WeightRole; 3], width: usize) {
        if dense.gated {
            self.matrix(gate, dense.inner_width, width);
        }
        self.matrix(up, dense.inner_width, width);
        self.matrix(down, width, dense.inner_width);
    }
}
