//! Answers that a model writes: what it is asked, its words as they come, and what the receipt states of it.
//!
//! Nothing of an answer is kept until it is whole: a generator that fails, and a caller that goes away, leave no receipt and
//! cost nothing.

mod settings;
mod stats;

use std::sync::Arc;

use engine::{ChosenToken, Finish, GenerationEnd, GenerationEvent, GenerationRequest, GenerationStream, Generator, Message};
use schemas::alloy_primitives::{B256, keccak256};
use schemas::ids::AnswerId;
use schemas::receipt::{AnswerSentence, FinishReason, Generation, Likelihood};

use crate::citations::{CitationFilter, Plain};
use crate::prompt::{self, Form, Window};
use crate::sentences::{self, Edition};
use crate::{RagError, Result, blocking, quote};

pub use settings::GenerationSettings;
pub(crate) use settings::{Chosen, check, mode_named, same};
pub use stats::GenerationStats;
pub(crate) use stats::{Counters, Running};

/// What is told while an answer is made.
#[derive(Debug)]
pub enum Progress {
    /// The generator has taken the request: from here on it may take long.
    Accepted,
    /// The answer's next words; all of them together are its text. `tokens` are the generator's, where they were asked for,
    /// and are what it chose also where a citation was taken out.
    Piece { text: String, tokens: Vec<ChosenToken> },
}

/// Is told of every step, in order, and returns at once.
pub type Listener<'a> = &'a mut (dyn FnMut(Progress) + Send);

/// What a model wrote, with everything that its receipt states but the sources.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) answer: String,
    pub(crate) declined: bool,
    pub(crate) generation: Generation,
    /// One per sentence, without citations: what the value function sees.
    pub(crate) said: Vec<String>,
    /// How likely its sources made it, where that divides it.
    pub(crate) likelihood: Option<Likelihood>,
}

/// What was asked, to be scored.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) messages: Vec<Message>,
    pub(crate) form: Form,
}

/// Asks the generator and listens to it to the end. `texts` are the sources', best first; `generation.dropped_sources` of
/// them were left out.
pub(crate) async fn write(
    generator: &Arc<dyn Generator>,
    id: AnswerId,
    question: &str,
    texts: &[String],
    chosen: &Chosen,
    running: &mut Running,
    listener: Listener<'_>,
) -> Result<(Written, Asked)> {
    let form = if chosen.constraint.is_some() { Form::Prescribed } else { Form::Prose };
    let window = Window { tokens: generator.info().context_tokens, answer: chosen.tokens_max };
    let fitted = fit(generator, question, texts, form, window).await?;
    let sampling = chosen.sampling(id);
    let asked = Asked { messages: fitted.messages, form };
    let request = GenerationRequest {
        messages: asked.messages.clone(),
        mode: chosen.mode,
        sampling: settings::engine_sampling(&sampling),
        tokens_max: chosen.tokens_max,
        stop: chosen.stop.clone(),
        log_probabilities: chosen.log_probabilities,
        constraint: chosen.constraint.clone(),
        adapter: chosen.adapter.as_ref().map(|adapter| adapter.name.clone()),
    };
    let stream = generator.generate(request).await.map_err(RagError::Generator)?;
    listener(Progress::Accepted);
    let filter = (form == Form::Prose).then(|| CitationFilter::new(fitted.sources));
    let (answer, end, invalid_citations) = listen(stream, filter, running, listener).await?;
    let declined = form == Form::Prose && is_declined(&answer);
    let (sentences, said) = if declined { Default::default() } else { read(&answer, form).into_iter().unzip() };
    let generation = Generation {
        generator_sha256: generator.info().sha256.clone(),
        precision: generator.info().precision.map(|precision| precision.name().to_owned()),
        context_tokens: Some(window.tokens as u64),
        adapter: chosen.adapter.clone(),
        prompt: prompt::VERSION.to_owned(),
        prompt_hash: prompt::hash(),
        dropped_sources: (texts.len() - fitted.sources) as u64,
        mode: settings::mode_name(chosen.mode).to_owned(),
        sampling,
        tokens_max: chosen.tokens_max as u64,
        stop_hash: settings::stop_hash(&chosen.stop)?,
        constraint_hash: chosen.constraint.as_ref().map(settings::constraint_hash),
        finish: match end.finish {
            Finish::Stop => FinishReason::Stop,
            Finish::Length => FinishReason::Length,
        },
        prompt_tokens: end.prompt_tokens as u64,
        answer_tokens: end.answer_tokens as u64,
        tokens_hash: tokens_hash(&end.tokens),
        invalid_citations,
        sentences,
    };
    Ok((Written { answer, declined, generation, said, likelihood: None }, asked))
}

/// The prompt with as many of the best sources as fit.
///
/// # Errors
/// [`RagError::InvalidQuestion`] where none does.
pub(crate) async fn fit(
    generator: &Arc<dyn Generator>,
    question: &str,
    texts: &[String],
    form: Form,
    window: Window,
) -> Result<prompt::Fitted> {
    let (asked, question, texts) = (generator.clone(), question.to_owned(), texts.to_vec());
    let fitted = blocking(move || {
        let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
        prompt::fit(asked.as_ref(), &question, &borrowed, form, window).map_err(RagError::Generator)
    });
    fitted.await?.ok_or_else(|| {
        let info = generator.info();
        let problem = format!("not even the best source fits the window of {} tokens that {} has", window.tokens, info.name);
        RagError::InvalidQuestion(format!("{problem}: ask more briefly, or ask the operator for a model with a longer window"))
    })
}

/// The answer's text, how it ended, and how many citations were taken out.
async fn listen(
    mut stream: GenerationStream,
    mut filter: Option<CitationFilter>,
    running: &mut Running,
    listener: Listener<'_>,
) -> Result<(String, GenerationEnd, u64)> {
    let mut answer = String::new();
    while let Some(event) = stream.next().await {
        match event {
            GenerationEvent::Piece { text, tokens } => {
                running.piece();
                let text = filter.as_mut().map_or_else(|| text.clone(), |filter| filter.push(&text));
                answer.push_str(&text);
                if !text.is_empty() || !tokens.is_empty() {
                    listener(Progress::Piece { text, tokens });
                }
            }
            GenerationEvent::End(end) => {
                let mut rest = filter.as_mut().map(CitationFilter::finish).unwrap_or_default();
                if answer.trim().is_empty() && rest.is_empty() {
                    // a model that says nothing has no answer
                    rest = quote::DECLINED.to_owned();
                }
                if !rest.is_empty() {
                    answer.push_str(&rest);
                    listener(Progress::Piece { text: rest, tokens: Vec::new() });
                }
                return Ok((answer, end, filter.map_or(0, |filter| filter.invalid)));
            }
            GenerationEvent::Failed(error) => return Err(RagError::Generator(error)),
        }
    }
    let reason = "the answer ended without its end".to_owned();
    Err(RagError::Generator(engine::EngineError::Library { operation: "generating", reason }))
}

/// Whether a model said, as it was told to, that the sources do not answer.
fn is_declined(answer: &str) -> bool {
    let plain = Plain::without_citations(answer).text;
    plain.trim().trim_end_matches('.') == quote::DECLINED.trim_end_matches('.')
}

/// The sentences of an answer, each with its text without citations. An answer that is no sentence is one as a whole.
pub(crate) fn read(answer: &str, form: Form) -> Vec<(AnswerSentence, String)> {
    read_by(answer, form, Edition::Second)
}

/// [`read`], as an edition cuts sentences.
pub(crate) fn read_by(answer: &str, form: Form, edition: Edition) -> Vec<(AnswerSentence, String)> {
    let plain = match form {
        Form::Prose => Plain::without_citations(answer),
        Form::Prescribed => Plain::whole(answer),
    };
    let spans = sentences::split_by(&plain.text, edition);
    let starts: Vec<usize> = spans.iter().map(|span| span.start).collect();
    let mut read: Vec<(AnswerSentence, String)> = Vec::with_capacity(spans.len());
    for (index, span) in spans.iter().enumerate() {
        // a citation at a sentence's very beginning belongs to the one before
        let from = if index == 0 { 0 } else { span.start + 1 };
        let (start, end, numbers) = plain.locate(span.start, span.end, from, starts.get(index + 1).copied());
        let cited = numbers.into_iter().filter_map(|number| number.checked_sub(1)).map(|index| index as u64).collect();
        read.push((AnswerSentence { start: start as u64, end: end as u64, cited }, span.of(&plain.text).to_owned()));
    }
    if read.is_empty() {
        let said = answer.trim();
        let start = answer.len() - answer.trim_start().len();
        let sentence = AnswerSentence { start: start as u64, end: (start + said.len()) as u64, cited: Vec::new() };
        read.push((sentence, said.to_owned()));
    }
    read
}

/// keccak256 of the token ids, where there are any.
fn tokens_hash(tokens: &[u32]) -> Option<B256> {
    (!tokens.is_empty()).then(|| keccak256(tokens.iter().flat_map(|token| token.to_le_bytes()).collect::<Vec<u8>>()))
}

#[cfg(test)]
mod tests;
