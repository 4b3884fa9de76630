//! How likely an answer is under sets of its sources: computed when it is written, and again when somebody asks for it.

use std::sync::Arc;
use std::time::Duration;

use engine::{Answer, Generator, GeneratorInfo, Precision, ScoreRequest};
use schemas::receipt::{Generation, Likelihood, ReceiptBody, UsedAdapter};
use tokio::runtime::Handle;

use super::Rag;
use super::draft::Found;
use crate::answer::Evidence;
use crate::attribution::likelihood::{Players, Told};
use crate::citations;
use crate::generate::{self, Asked, Written, mode_named};
use crate::prompt::{Fitted, Form, Window};
use crate::{RagError, Result, blocking};

/// How far a log-likelihood that another instruction set computes may be from the stated one, in µnat for each token that counts. In f32
/// portable and AVX2 are 1 apart; in bf16 they are 306 apart at most (`what_instruction_sets_compute`), and where a processor multiplies
/// bf16 itself, other numbers are rounded: that was not measured.
const TOLERANCE_PER_TOKEN: u64 = 20_000;
const TOLERANCE_PER_TOKEN_F32: u64 = 100;
/// Of a remote model.
const REMOTE: &str = "remote";

/// The game of an answer that was just written; none where it cannot be played: what sources said first divides it then. Blocks.
pub(super) fn of_written(
    generator: &Arc<dyn Generator>,
    found: &Found,
    mut texts: Vec<String>,
    written: &Written,
    asked: Asked,
    timeout: Duration,
) -> Option<Likelihood> {
    if written.declined || !generator.info().scores {
        return None;
    }
    texts.truncate(texts.len().saturating_sub(dropped(&written.generation)));
    let scored = (|| {
        let players = Players::new(&found.request.question, &written.said, &found.told(&texts)?);
        let Some(players) = players else { return Ok(None) };
        let score = score(generator, asked, &written.generation, &written.answer, players);
        let scored = Handle::current().block_on(async { tokio::time::timeout(timeout, score).await });
        scored.map_err(|_| RagError::Worker(format!("scoring took more than {timeout:?}")))?.map(Some)
    })();
    scored.unwrap_or_else(|error| {
        tracing::warn!(answer_id = %found.id, %error, "an answer is divided by what its sources said first: it could not be scored");
        None
    })
}

impl Rag {
    /// In words what of a receipt's likelihoods is not what comes out with the same model. `texts` are those that are found again.
    pub(super) async fn likelihood_differences(&self, evidence: &Evidence, stated: &Likelihood, texts: &[String]) -> Result<Vec<String>> {
        let body = &evidence.receipt.body;
        let (generator, generation) = self.generator_of(body)?;
        let _generating = self.generating()?;
        let form = Form::of(generation);
        let fitted = fit(&generator, evidence, generation, texts).await?;
        if (fitted.sources, texts.len() - fitted.sources) != (body.sources.len(), dropped(generation)) {
            return Ok(vec![format!("{} sources fit the model's window, and the receipt has {}", fitted.sources, body.sources.len())]);
        }
        let tokens = window(&generator, generation).tokens;
        let again = evidence.clone();
        let players = blocking(move || {
            let Evidence { question, answer, source_texts, receipt, .. } = &again;
            let sources = &receipt.body.sources;
            let told: Vec<Told<'_>> = sources.iter().zip(source_texts).map(|(source, text)| Told::of(source, text)).collect();
            let said: Vec<String> = generate::read(answer, form).into_iter().map(|(_, said)| said).collect();
            Ok(Players::new(question, &said, &told))
        });
        let players = players.await?.ok_or_else(|| RagError::Unproven("the receipt has no sources".into()))?;
        if dropped(generation) > 0 && tokens < generator.info().context_tokens {
            let (here, dropped) = (generator.info().context_tokens, dropped(generation));
            return Err(RagError::Unproven(format!(
                "{dropped} sources were left out for a window of {tokens} tokens, where the model has {here} here: re-execute it with the smaller one"
            )));
        }
        let asked = Asked { messages: fitted.messages, form };
        let score = score(&generator, asked, generation, &evidence.answer, players);
        let timeout = self.config.attribution.timeout;
        let again = tokio::time::timeout(timeout, score).await;
        let again = again.map_err(|_| RagError::Unproven(format!("scoring took more than {timeout:?}")))??;
        let is_f32 = generator.info().precision == Some(Precision::F32);
        differences(stated, &again, if is_f32 { TOLERANCE_PER_TOKEN_F32 } else { TOLERANCE_PER_TOKEN })
    }

    /// In words whether other sources fit the model's window than the receipt says. `texts` are those that are found again.
    pub(super) async fn window_differences(&self, evidence: &Evidence, texts: &[String]) -> Result<Vec<String>> {
        let (generator, generation) = self.generator_of(&evidence.receipt.body)?;
        let fitted = fit(&generator, evidence, generation, texts).await?;
        let (left_out, stated) = (texts.len() - fitted.sources, dropped(generation));
        let differs = left_out != stated;
        Ok(differs
            .then(|| format!("{left_out} sources have no room in the model's window, and the receipt leaves {stated} out"))
            .into_iter()
            .collect())
    }

    /// The model that wrote an answer, as it was then.
    fn generator_of<'a>(&self, body: &'a ReceiptBody) -> Result<(Arc<dyn Generator>, &'a Generation)> {
        let bad = |problem: String| RagError::Unproven(problem);
        let generation = body.generation.as_ref().ok_or_else(|| bad("no model wrote the answer".into()))?;
        let name = &body.models.generator;
        let generator = self.generator.as_ref().filter(|generator| is_it(generator.info(), name, generation)).ok_or_else(|| {
            let precision = generation.precision.as_ref().map(|precision| format!(" in {precision}")).unwrap_or_default();
            bad(format!("the model {name:?}{precision} wrote the answer, and is not the one here: re-execute it with that one"))
        })?;
        if let Some(UsedAdapter { name, sha256 }) = &generation.adapter
            && !generator.adapters().iter().any(|adapter| adapter.name == *name && adapter.sha256 == *sha256)
        {
            return Err(bad(format!("the adapter {name:?} that wrote the answer is not here: re-execute it with that one")));
        }
        Ok((generator.clone(), generation))
    }
}

/// A local model is known by its content and precision, a remote one by its name.
fn is_it(info: &GeneratorInfo, name: &str, generation: &Generation) -> bool {
    let precision = info.precision.map(Precision::name);
    let is_same = info.sha256 == generation.generator_sha256 && precision == generation.precision.as_deref();
    info.scores && is_same && (info.sha256.is_some() || info.name == name)
}

fn window(generator: &Arc<dyn Generator>, generation: &Generation) -> Window {
    let limit = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let tokens = generation.context_tokens.map_or(generator.info().context_tokens, limit);
    Window { tokens, answer: limit(generation.tokens_max) }
}

/// The prompt of an answer, with as many of the texts as were in it.
async fn fit(generator: &Arc<dyn Generator>, evidence: &Evidence, generation: &Generation, texts: &[String]) -> Result<Fitted> {
    let (form, window) = (Form::of(generation), window(generator, generation));
    generate::fit(generator, &evidence.question, texts, form, window).await.map_err(|error| match error {
        RagError::InvalidQuestion(problem) => RagError::Unproven(problem),
        other => other,
    })
}

fn dropped(generation: &Generation) -> usize {
    usize::try_from(generation.dropped_sources).unwrap_or(usize::MAX)
}

async fn score(
    generator: &Arc<dyn Generator>,
    asked: Asked,
    generation: &Generation,
    answer: &str,
    players: Players,
) -> Result<Likelihood> {
    let mode = mode_named(&generation.mode).ok_or_else(|| RagError::Unproven(format!("mode {:?} is not known here", generation.mode)))?;
    let request = ScoreRequest {
        messages: asked.messages,
        mode,
        answer: Answer::Text(answer.to_owned()),
        subsets: players.subsets().to_vec(),
        adapter: generation.adapter.as_ref().map(|adapter| adapter.name.clone()),
    };
    let scores = generator.score(request).await.map_err(RagError::Generator)?;
    let cited = match asked.form {
        Form::Prose => citations::ranges(answer),
        Form::Prescribed => Vec::new(),
    };
    let instruction_set = generator.info().isa.map_or_else(|| REMOTE.to_owned(), |isa| isa.to_string());
    players.likelihood(&scores, answer, &cited, instruction_set)
}

/// [`RagError::Unproven`] where a remote model gave other numbers: neither is shown to be wrong.
fn differences(stated: &Likelihood, again: &Likelihood, per_token: u64) -> Result<Vec<String>> {
    if (&stated.players, &stated.needs, stated.tokens) != (&again.players, &again.needs, again.tokens) {
        return Ok(vec!["the players of the receipt, or the number of the answer's tokens, are not what comes out".to_owned()]);
    }
    let of = |likelihood: &Likelihood| [likelihood.table.clone(), likelihood.alone.clone(), likelihood.without.clone()].concat();
    let apart = of(stated).iter().zip(of(again)).map(|(stated, again)| stated.abs_diff(again)).max().unwrap_or_default();
    let is_same = stated.instruction_set == again.instruction_set && again.instruction_set != REMOTE;
    let tolerance = if is_same { 0 } else { again.tokens.saturating_mul(per_token) };
    match apart {
        _ if apart <= tolerance => Ok(Vec::new()),
        _ if again.instruction_set == REMOTE => Err(RagError::Unproven(format!(
            "a likelihood is {apart} µnat from what comes out, and nobody can tell whether the remote model is the same"
        ))),
        _ => Ok(vec![format!("a likelihood of the receipt is {apart} µnat from what comes out, where {tolerance} may be")]),
    }
}
