//! What a request may ask for: every number is checked before anything is computed.

use crate::{EngineError, GenerationRequest, Sampling, ScoreRequest};

const STOPS_MAX: usize = 64;
const STOP_BYTES_MAX: usize = 1024;
/// Alternatives that are told with each token.
const ALTERNATIVES_MAX: usize = 100;
/// Of all subsets' prompts together, before what they share is taken out: 128 MiB.
const SCORED_TOKENS_MAX: usize = 1 << 25;

pub(crate) fn check_generation(request: &GenerationRequest) -> Result<(), EngineError> {
    ensure(!request.messages.is_empty(), || "there are no messages".to_owned())?;
    ensure(request.tokens_max > 0, || "tokens_max is 0: an answer has at least one token".to_owned())?;
    ensure(request.stop.len() <= STOPS_MAX, || format!("{} stop texts, more than {STOPS_MAX}", request.stop.len()))?;
    for stop in &request.stop {
        ensure(!stop.is_empty(), || "a stop text is empty".to_owned())?;
        ensure(stop.len() <= STOP_BYTES_MAX, || format!("a stop text has {} bytes, more than {STOP_BYTES_MAX}", stop.len()))?;
    }
    let alternatives = request.log_probabilities.unwrap_or_default();
    ensure(alternatives <= ALTERNATIVES_MAX, || format!("{alternatives} alternatives for each token, more than {ALTERNATIVES_MAX}"))?;
    check_sampling(&request.sampling)
}

fn check_sampling(sampling: &Sampling) -> Result<(), EngineError> {
    let within = |name: &str, value: f32, range: &str, holds: bool| ensure(holds, || format!("{name} is {value}, not {range}"));
    let Sampling { temperature, top_p, min_p, repetition_penalty, presence_penalty, frequency_penalty, .. } = *sampling;
    within("temperature", temperature, "a number from 0 on", temperature.is_finite() && temperature >= 0.0)?;
    within("top_p", top_p, "from 0 to 1", (0.0..=1.0).contains(&top_p))?;
    within("min_p", min_p, "from 0 to 1", (0.0..=1.0).contains(&min_p))?;
    let positive = repetition_penalty.is_finite() && repetition_penalty > 0.0;
    within("repetition_penalty", repetition_penalty, "a number above 0", positive)?;
    within("presence_penalty", presence_penalty, "a number", presence_penalty.is_finite())?;
    within("frequency_penalty", frequency_penalty, "a number", frequency_penalty.is_finite())
}

/// Of a request whose conversation has `sources` and, with all of them, `prompt_tokens`.
pub(crate) fn check_score(request: &ScoreRequest, sources: usize, prompt_tokens: usize, subsets_max: usize) -> Result<(), EngineError> {
    let subsets = request.subsets.len();
    ensure(subsets <= subsets_max, || format!("{subsets} subsets to score, more than {subsets_max}"))?;
    for (index, subset) in request.subsets.iter().enumerate() {
        ensure(subset.len() == sources, || format!("subset {index} is about {} sources, the messages have {sources}", subset.len()))?;
    }
    ensure(subsets.saturating_mul(prompt_tokens) <= SCORED_TOKENS_MAX, || {
        format!("{subsets} subsets of a prompt of {prompt_tokens} tokens are more than {SCORED_TOKENS_MAX} tokens together")
    })
}

pub(crate) fn ensure(holds: bool, complaint: impl FnOnce() -> String) -> Result<(), EngineError> {
    if holds { Ok(()) } else { Err(EngineError::Prompt { reason: complaint() }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Answer, ContextMode, Message, Part, Role};

    fn request() -> GenerationRequest {
        GenerationRequest {
            messages: vec![Message { role: Role::User, parts: vec![Part::Text("why?".to_owned())] }],
            mode: ContextMode::Full,
            sampling: Sampling::default(),
            tokens_max: 1,
            stop: Vec::new(),
            log_probabilities: None,
            constraint: None,
            adapter: None,
        }
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        let check = |change: fn(&mut GenerationRequest), complaint: &str| {
            let mut request = request();
            change(&mut request);
            let message = check_generation(&request).expect_err(complaint).to_string();
            assert!(message.contains(complaint), "{message}");
        };
        assert!(check_generation(&request()).is_ok());
        check(|request| request.messages.clear(), "no messages");
        check(|request| request.tokens_max = 0, "tokens_max is 0");
        check(|request| request.stop = vec![String::new()], "a stop text is empty");
        check(|request| request.stop = vec!["x".repeat(1025)], "1025 bytes");
        check(|request| request.stop = vec!["x".to_owned(); 65], "65 stop texts");
        check(|request| request.log_probabilities = Some(101), "101 alternatives");
        check(|request| request.sampling.temperature = f32::NAN, "temperature is NaN");
        check(|request| request.sampling.temperature = -0.5, "temperature is -0.5");
        check(|request| request.sampling.temperature = f32::INFINITY, "temperature is inf");
        check(|request| request.sampling.top_p = -0.1, "top_p is -0.1");
        check(|request| request.sampling.top_p = 1.5, "top_p is 1.5");
        check(|request| request.sampling.min_p = f32::NAN, "min_p is NaN");
        check(|request| request.sampling.repetition_penalty = 0.0, "repetition_penalty is 0");
        check(|request| request.sampling.presence_penalty = f32::NAN, "presence_penalty is NaN");
        check(|request| request.sampling.frequency_penalty = f32::INFINITY, "frequency_penalty is inf");
    }

    #[test]
    fn subsets_are_about_the_sources() {
        let request = |subsets: &[&[bool]]| ScoreRequest {
            messages: request().messages,
            mode: ContextMode::Full,
            answer: Answer::Tokens(vec![1]),
            subsets: subsets.iter().map(|subset| subset.to_vec()).collect(),
            adapter: None,
        };
        let check = |subsets: &[&[bool]], tokens| check_score(&request(subsets), 2, tokens, 3).map_err(|error| error.to_string());
        assert_eq!(check(&[&[true, false], &[false, false]], 100), Ok(()));
        assert!(check(&[&[true, false], &[true]], 100).is_err_and(|message| message.contains("subset 1 is about 1 sources")));
        assert!(check(&[&[true, false][..]; 4], 100).is_err_and(|message| message.contains("4 subsets")));
        assert!(check(&[&[true, false][..]; 3], 1 << 24).is_err_and(|message| message.contains("tokens together")));
    }
}
