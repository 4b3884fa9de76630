//! An answer again: the pinned version is searched as the receipt says that it was, and what comes out is compared.

use schemas::receipt::{ReceiptBody, Source};

use super::Rag;
use super::draft::Found;
use crate::answer::{Answerer, AskRequest, Evidence};
use crate::attribution::{self, likelihood};
use crate::config::QuoteConfig;
use crate::generate::{self, Written};
use crate::prompt::Form;
use crate::question::Question;
use crate::retrieve::{self, Fusion};
use crate::verify::candidates;
use crate::{GenerationSettings, RagConfig, RagError, Result, blocking, quote, verify_evidence};

/// How far a score that is computed again may be from the stated one: another instruction set embeds a question with other low bits,
/// and segments that lie otherwise add the words' scores in another order.
const SCORE_TOLERANCE_PPM: u64 = 100;

impl Rag {
    /// Searches the receipt's version again, and quotes again where the answer was quoted; a model's words are taken as they
    /// are, and scored again where that divided them. Returns in words what differs from the receipt: nothing, where it tells the truth.
    ///
    /// # Errors
    /// [`RagError::Unproven`] for evidence that does not hold, or was made in ways that are not known here;
    /// [`RagError::NotFound`] for a version that is not in the store; [`RagError::Busy`].
    pub async fn reexecute(&self, evidence: &Evidence) -> Result<Vec<String>> {
        verify_evidence(evidence)?;
        let _admitted = self.admit()?;
        let computing = self.computing().await?;
        let stated = &evidence.receipt.body;
        self.check_repeatable(stated)?;
        let datanet = self.datanet(stated.datanet_id).await?;
        let opened = self.opened(stated.datanet_id, Some(stated.version)).await?;
        if opened.row.root != stated.version_root {
            return Ok(vec![format!("the version's root is {}, not {}", opened.row.root, stated.version_root)]);
        }
        let (embedder, text) = (self.embedder.clone(), evidence.question.clone());
        let ways = blocking(move || Question::ways(&text, embedder.as_ref())).await?;
        let ways = retrieve::nearness(&opened, ways, stated.retrieval.filter.as_ref()).await?;
        let nearest = ways.iter().map(|(nearest, _)| *nearest).max().flatten();
        let turns = stated.retrieval.turns.unwrap_or(0);
        // two ways that nearly tie may change places on another instruction set
        let is_nearest =
            |near: Option<i64>| near.zip(nearest).is_none_or(|(near, nearest)| near.abs_diff(nearest) <= 2 * SCORE_TOLERANCE_PPM);
        let way = ways.into_iter().find(|(_, way)| way.turns as u64 == turns).filter(|(near, _)| is_nearest(*near));
        let Some((_, question)) = way else {
            return Ok(vec![format!(
                "a passage is nearer that is found with another number of earlier turns than the {turns} of the receipt"
            )]);
        };
        let reranker = stated.retrieval.reranked.and_then(|_| self.reranker_info());
        let retrieve::Search { retrieved, candidates } =
            retrieve::retrieve(&opened, &question, &stated.retrieval, self.reranker.as_ref()).await?;
        let request = AskRequest {
            datanet,
            version: Some(stated.version),
            earlier: Vec::new(),
            question: evidence.question.clone(),
            filter: stated.retrieval.filter.clone(),
            salt: evidence.question_salt,
            request_id: String::new(),
            key_id: String::new(),
            payer: stated.payer,
            fee_wei: stated.fee_wei,
            answerer: Answerer::Configured,
            generation: GenerationSettings::default(),
        };
        let found = Found { id: stated.answer_id, request, opened, method: stated.retrieval.clone(), retrieved, candidates, reranker };
        let (given, embedder, config) = (evidence.clone(), self.embedder.clone(), self.config.clone());
        let (draft, texts) = blocking(move || {
            let _computing = computing;
            let (evidence, body) = (&given, &given.receipt.body);
            let Some(generation) = body.generation.clone() else {
                let config = RagConfig { quote: body.quoting.as_ref().map(QuoteConfig::of).unwrap_or_default(), ..config };
                let quotes = quote::select(&question, &found.opened, &found.positions(), embedder.as_ref(), &config.quote)?;
                return Ok((found.quoted(quotes, embedder.info(), &config)?, Vec::new()));
            };
            let are_needed = body.likelihood.is_some() || generation.dropped_sources > 0;
            let texts = if are_needed { found.texts()? } else { Vec::new() };
            let form = Form::of(&generation);
            let declined = generation.sentences.is_empty();
            let said =
                if declined { Vec::new() } else { generate::read(&evidence.answer, form).into_iter().map(|(_, said)| said).collect() };
            let likelihood = body.likelihood.clone();
            let written = Written { answer: evidence.answer.clone(), declined, generation, said, likelihood };
            Ok((found.generated(written, &body.models.generator, embedder.info(), &config)?, texts))
        })
        .await?;
        let dropped = stated.generation.as_ref().map_or(0, |generation| generation.dropped_sources);
        // what was left out is told also where nobody has the model
        let differences = differences(stated, &draft.body);
        match &stated.likelihood {
            Some(likelihood) if differences.is_empty() => self.likelihood_differences(evidence, likelihood, &texts).await,
            // only the model tells what it had no room for
            None if differences.is_empty() && dropped > 0 => self.window_differences(evidence, &texts).await,
            _ => Ok(differences),
        }
    }

    fn check_repeatable(&self, stated: &ReceiptBody) -> Result<()> {
        Fusion::of(&stated.retrieval)?;
        let info = self.embedder.info();
        let ours = self.reranker.as_ref().map_or("", |reranker| reranker.info().sha256.as_str());
        // one that was not used then matters nothing
        let reranker = if stated.models.reranker_sha256.is_none() { "" } else { ours };
        let known = [
            ("method", stated.method.as_str(), if stated.likelihood.is_some() { likelihood::METHOD } else { attribution::METHOD }),
            ("embedder", stated.models.embedder_sha256.as_str(), info.sha256.as_str()),
            ("reranker", stated.models.reranker_sha256.as_deref().unwrap_or_default(), reranker),
        ];
        match known.iter().find(|(_, stated, ours)| stated != ours) {
            Some((what, stated, ours)) => {
                Err(RagError::Unproven(format!("{what} is {stated:?} in the receipt and {ours:?} here: re-execute it with that one")))
            }
            None if stated.generation.is_none() && stated.models.generator != quote::GENERATOR => {
                Err(RagError::Unproven(format!("{:?} is not known here, only {:?}", stated.models.generator, quote::GENERATOR)))
            }
            None => Ok(()),
        }
    }
}

fn differences(stated: &ReceiptBody, again: &ReceiptBody) -> Vec<String> {
    let mut differences = Vec::new();
    let ids = |body: &ReceiptBody| body.sources.iter().map(|source| source.chunk_id).collect::<Vec<_>>();
    let (before, now) = (ids(stated), ids(again));
    for missing in now.iter().filter(|id| !before.contains(id)) {
        differences.push(format!("chunk {missing} is found, and the receipt leaves it out"));
    }
    for invented in before.iter().filter(|id| !now.contains(id)) {
        differences.push(format!("chunk {invented} is a source of the receipt, and is not found"));
    }
    let other_sources = !differences.is_empty();
    let mut compare = |what: &str, same: bool| {
        if !same {
            differences.push(format!("{what} of the receipt is not what comes out"));
        }
    };
    let same_sources = without_scores(stated) == without_scores(again) && stated.retrieved == again.retrieved;
    compare("the order or rank of the sources", other_sources || same_sources);
    compare("the scores of the sources", other_sources || !same_sources || stated.sources.iter().zip(&again.sources).all(scores_agree));
    let candidates = stated.candidates.as_ref().zip(again.candidates.as_ref());
    let candidates = candidates.map_or(Vec::new(), |(stated, again)| candidates::differences(stated, again, SCORE_TOLERANCE_PPM));
    compare("the answer", stated.answer_hash == again.answer_hash && stated.status == again.status);
    compare("the place of the quotes", other_sources || stated.segments == again.segments);
    compare("the value table", other_sources || stated.value_table == again.value_table);
    compare("the shares", stated.shares == again.shares && stated.unattributed_ppm == again.unattributed_ppm);
    differences.extend(candidates);
    differences
}

fn without_scores(body: &ReceiptBody) -> Vec<Source> {
    body.sources.iter().map(|source| Source { vector_ppm: None, lexical_ppm: None, ..source.clone() }).collect()
}

/// Whether scores are the same within [`SCORE_TOLERANCE_PPM`], where the receipt states them: those before scores were fused do not.
fn scores_agree((stated, again): (&Source, &Source)) -> bool {
    let agree = |stated: Option<i64>, again: Option<i64>| match (stated, again) {
        (Some(stated), Some(again)) => stated.abs_diff(again) <= SCORE_TOLERANCE_PPM,
        (None, _) => true,
        (Some(_), None) => false,
    };
    agree(stated.vector_ppm, again.vector_ppm) && agree(stated.lexical_ppm, again.lexical_ppm)
}
