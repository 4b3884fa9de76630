//! One encoder for each kind of numbers that weights are kept in and products read.

use std::sync::Arc;

use super::{Bert, BertConfig, ByteRows, Encode, PlainRows, TextLimits};
use crate::files::safetensors::Safetensors;
use crate::kernels::{Bf16, Cpu, EmbedderPrecision, Widened};

/// What is made of tokens is bf16, at bf16 and beside bytes, where the processor multiplies it; elsewhere only weights are.
pub(crate) fn load_encoder(
    tensors: &Safetensors<'_>,
    config: BertConfig,
    limits: TextLimits,
    cpu: Cpu,
    precision: EmbedderPrecision,
) -> Result<Arc<dyn Encode>, String> {
    Ok(match precision {
        EmbedderPrecision::F32 => Arc::new(Bert::<PlainRows<f32>>::load(tensors, config, limits, cpu)?),
        EmbedderPrecision::Bf16 if cpu.multiplies_bf16() => Arc::new(Bert::<PlainRows<Bf16>>::load(tensors, config, limits, cpu)?),
        EmbedderPrecision::Bf16 => Arc::new(Bert::<PlainRows<Widened>>::load(tensors, config, limits, cpu)?),
        EmbedderPrecision::Int8 if cpu.multiplies_bf16() => Arc::new(Bert::<ByteRows<Bf16>>::load(tensors, config, limits, cpu)?),
        EmbedderPrecision::Int8 => Arc::new(Bert::<ByteRows<f32>>::load(tensors, config, limits, cpu)?),
    })
}
