//! What may be asked of a generator: a caller's settings over the configured ones, in whole numbers.

use engine::{AdapterInfo, Constraint, ContextMode, Sampling};
use schemas::alloy_primitives::{B256, keccak256};
use schemas::canonical;
use schemas::ids::AnswerId;
use schemas::receipt::{Generation, SamplingParameters, UsedAdapter};

use crate::{GenerationConfig, RagError, Result};

const PPM: u64 = 1_000_000;
/// Seeds are numbers that JSON readers keep exact.
pub(crate) const SEED_END: u64 = 1 << 53;
const MAX_STOPS: usize = 4;
const MAX_STOP_BYTES: usize = 256;
const MAX_ALTERNATIVES: usize = 20;
const MAX_CONSTRAINT_BYTES: usize = 64 << 10;

/// What a caller asks for; what it leaves out is the configuration's. Fractions are parts per million, so that a receipt
/// states exactly what was used.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GenerationSettings {
    pub temperature_ppm: Option<u64>,
    pub top_p_ppm: Option<u64>,
    pub presence_penalty_ppm: Option<i64>,
    pub frequency_penalty_ppm: Option<i64>,
    /// Where absent it follows from the request's identity. Below 2^53; [`GenerationSettings::seed_of`] takes what is not.
    pub seed: Option<u64>,
    pub tokens_max: Option<usize>,
    pub stop: Vec<String>,
    /// With every token, so many of the likeliest alternatives.
    pub log_probabilities: Option<usize>,
    pub constraint: Option<Constraint>,
    /// An adapter that the generator has loaded, by its name.
    pub adapter: Option<String>,
}

impl GenerationSettings {
    /// The seed that any integer of 64 bits stands for, of a negative one its two's complement: its lowest 53 bits, which JSON
    /// readers keep exact. So a seed from 0 to 2^53 − 1 stands for itself, −1 for 2^53 − 1, and 2^53 for 0; the model is given
    /// this seed and a receipt states it, and who sends it gets what the integer got.
    pub fn seed_of(chosen: u64) -> u64 {
        chosen % SEED_END
    }
}

/// The settings in force for one answer.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    asked: GenerationSettings,
    pub(crate) tokens_max: usize,
    pub(crate) stop: Vec<String>,
    pub(crate) log_probabilities: Option<usize>,
    pub(crate) constraint: Option<Constraint>,
    pub(crate) mode: ContextMode,
    pub(crate) adapter: Option<UsedAdapter>,
    temperature_ppm: u64,
    top_p_ppm: u64,
}

impl Chosen {
    /// [`RagError::Parameter`] for an adapter that is not among `adapters`.
    pub(crate) fn new(asked: &GenerationSettings, config: &GenerationConfig, adapters: Vec<AdapterInfo>) -> Result<Self> {
        let adapter = asked.adapter.as_ref().map(|name| {
            let found = adapters.into_iter().find(|adapter| adapter.name == *name);
            let problem = || RagError::Parameter { parameter: "model", problem: format!("there is no adapter {name:?}") };
            found.map(|AdapterInfo { name, sha256 }| UsedAdapter { name, sha256 }).ok_or_else(problem)
        });
        Ok(Self {
            adapter: adapter.transpose()?,
            tokens_max: asked.tokens_max.unwrap_or(config.tokens_max),
            stop: asked.stop.clone(),
            log_probabilities: asked.log_probabilities,
            constraint: asked.constraint.clone(),
            mode: config.mode,
            temperature_ppm: asked.temperature_ppm.unwrap_or(config.temperature_ppm),
            top_p_ppm: asked.top_p_ppm.unwrap_or(config.top_p_ppm),
            asked: asked.clone(),
        })
    }

    /// A seed that nobody chose follows from the answer's id, so that the same request gives the same answer.
    pub(crate) fn sampling(&self, id: AnswerId) -> SamplingParameters {
        let [a, b, c, d, e, f, ..] = keccak256(id.to_string()).0;
        SamplingParameters {
            temperature_ppm: self.temperature_ppm,
            top_k: 0,
            top_p_ppm: self.top_p_ppm,
            min_p_ppm: 0,
            repetition_penalty_ppm: PPM,
            presence_penalty_ppm: self.asked.presence_penalty_ppm.unwrap_or(0),
            frequency_penalty_ppm: self.asked.frequency_penalty_ppm.unwrap_or(0),
            seed: self.asked.seed.unwrap_or_else(|| u64::from_le_bytes([a, b, c, d, e, f, 0, 0])),
        }
    }
}

/// Refuses what no generator can do, naming the parameter as OpenAI does. `tokens_max` is none where no model answers: clients
/// send a limit of theirs with every request.
pub(crate) fn check(asked: &GenerationSettings, tokens_max: Option<usize>) -> Result<()> {
    let bad = |parameter: &'static str, problem: String| Err(RagError::Parameter { parameter, problem });
    let two = 2 * PPM;
    if asked.temperature_ppm.is_some_and(|ppm| ppm > two) {
        return bad("temperature", "it must be from 0 to 2".into());
    }
    if asked.top_p_ppm.is_some_and(|ppm| ppm == 0 || ppm > PPM) {
        return bad("top_p", "it must be above 0 and at most 1".into());
    }
    for (parameter, penalty) in [("presence_penalty", asked.presence_penalty_ppm), ("frequency_penalty", asked.frequency_penalty_ppm)] {
        if penalty.is_some_and(|ppm| ppm.unsigned_abs() > two) {
            return bad(parameter, "it must be from -2 to 2".into());
        }
    }
    if asked.seed.is_some_and(|seed| seed >= SEED_END) {
        return bad("seed", format!("it must be below {SEED_END}"));
    }
    if asked.tokens_max == Some(0) {
        return bad("max_tokens", "it must be at least 1".into());
    }
    if let (Some(tokens), Some(most)) = (asked.tokens_max, tokens_max)
        && tokens > most
    {
        return bad("max_tokens", format!("it must be from 1 to {most}, the most that this service gives"));
    }
    if asked.stop.len() > MAX_STOPS || asked.stop.iter().any(|stop| stop.is_empty() || stop.len() > MAX_STOP_BYTES) {
        return bad("stop", format!("at most {MAX_STOPS} texts of 1 to {MAX_STOP_BYTES} bytes"));
    }
    if asked.log_probabilities.is_some_and(|count| count > MAX_ALTERNATIVES) {
        return bad("top_logprobs", format!("it must be from 0 to {MAX_ALTERNATIVES}"));
    }
    if asked.constraint.as_ref().is_some_and(|constraint| constraint_text(constraint).len() > MAX_CONSTRAINT_BYTES) {
        return bad("response_format", format!("it must have at most {MAX_CONSTRAINT_BYTES} bytes"));
    }
    Ok(())
}

/// Whether a stored answer was made with what is asked for now; what is left out fits anything.
pub(crate) fn same(asked: &GenerationSettings, made: &Generation) -> bool {
    let sampling = &made.sampling;
    asked.temperature_ppm.is_none_or(|ppm| ppm == sampling.temperature_ppm)
        && asked.top_p_ppm.is_none_or(|ppm| ppm == sampling.top_p_ppm)
        && asked.presence_penalty_ppm.is_none_or(|ppm| ppm == sampling.presence_penalty_ppm)
        && asked.frequency_penalty_ppm.is_none_or(|ppm| ppm == sampling.frequency_penalty_ppm)
        && asked.seed.is_none_or(|seed| seed == sampling.seed)
        && asked.tokens_max.is_none_or(|tokens| tokens as u64 == made.tokens_max)
        && stop_hash(&asked.stop).is_ok_and(|hash| hash == made.stop_hash)
        && asked.constraint.as_ref().map(constraint_hash) == made.constraint_hash
        && asked.adapter.as_ref() == made.adapter.as_ref().map(|adapter| &adapter.name)
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "checked to be small; the model's numbers are f32")]
pub(crate) fn engine_sampling(sampling: &SamplingParameters) -> Sampling {
    let fraction = |ppm: u64| (ppm as f64 / PPM as f64) as f32;
    let signed = |ppm: i64| (ppm as f64 / PPM as f64) as f32;
    Sampling {
        temperature: fraction(sampling.temperature_ppm),
        top_k: usize::try_from(sampling.top_k).unwrap_or(usize::MAX),
        top_p: fraction(sampling.top_p_ppm),
        min_p: fraction(sampling.min_p_ppm),
        repetition_penalty: fraction(sampling.repetition_penalty_ppm),
        presence_penalty: signed(sampling.presence_penalty_ppm),
        frequency_penalty: signed(sampling.frequency_penalty_ppm),
        seed: sampling.seed,
    }
}

pub(crate) fn mode_name(mode: ContextMode) -> &'static str {
    match mode {
        ContextMode::Full => "full",
        ContextMode::Blocks => "blocks",
    }
}

/// What [`mode_name`] names.
pub(crate) fn mode_named(name: &str) -> Option<ContextMode> {
    [ContextMode::Full, ContextMode::Blocks].into_iter().find(|mode| mode_name(*mode) == name)
}

pub(crate) fn stop_hash(stop: &[String]) -> Result<Option<B256>> {
    if stop.is_empty() {
        return Ok(None);
    }
    Ok(Some(keccak256(canonical::to_string(&stop)?)))
}

pub(crate) fn constraint_hash(constraint: &Constraint) -> B256 {
    keccak256(constraint_text(constraint))
}

fn constraint_text(constraint: &Constraint) -> String {
    match constraint {
        Constraint::JsonSchema(schema) => serde_json::json!({ "json_schema": schema }).to_string(),
        Constraint::JsonObject => serde_json::json!({ "json_object": true }).to_string(),
        Constraint::Regex(regex) => serde_json::json!({ "regex": regex }).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected: `SEED mod 2^53` in Python.
    #[test]
    fn every_integer_of_64_bits_is_a_seed() {
        for (chosen, seed) in [
            (0, 0),
            (7, 7),
            (SEED_END - 1, 9_007_199_254_740_991),
            (SEED_END, 0),
            (SEED_END + 7, 7),
            ((-1_i64).cast_unsigned(), 9_007_199_254_740_991),
            (i64::MIN.cast_unsigned(), 0),
            (i64::MAX.cast_unsigned(), 9_007_199_254_740_991),
            (1_234_567_890_123_456_789, 581_592_223_940_885),
            ((-1_234_567_890_123_456_789_i64).cast_unsigned(), 8_425_607_030_800_107),
            (u64::MAX, 9_007_199_254_740_991),
        ] {
            assert_eq!(GenerationSettings::seed_of(chosen), seed, "{chosen}");
            check(&GenerationSettings { seed: Some(seed), ..GenerationSettings::default() }, None).unwrap();
        }
    }
}
