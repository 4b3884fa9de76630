//! What every [`Generator`] must do.

use super::{ensure, run};
use crate::{
    Answer, ContextMode, EngineError, Finish, GenerationEvent, GenerationRequest, Generator, Message, Part, Role, Sampling, ScoreRequest,
};

/// Checks what a generator says of itself, that greedy answers repeat, end where they should and come in whole characters,
/// that what cannot be run is refused, that an abandoned answer holds nobody up, and what scores there are.
///
/// The model may be any, and its answers nonsense.
///
/// # Errors
/// A sentence saying which promise of the trait was broken, and by what.
pub async fn check_generator(generator: &dyn Generator) -> Result<(), String> {
    check_info(generator)?;
    check_answers(generator).await?;
    check_stop(generator).await?;
    check_refusals(generator).await?;
    check_abandoned(generator).await?;
    check_scores(generator).await
}

fn check_info(generator: &dyn Generator) -> Result<(), String> {
    let info = generator.info();
    ensure(!info.name.is_empty() && !info.family.is_empty(), || "the name or the family is empty".to_owned())?;
    ensure(info.context_tokens > 1, || "the window has no room for an answer".to_owned())?;
    let is_hex = |sha256: &String| sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    ensure(info.sha256.as_ref().is_none_or(is_hex), || format!("sha256 {:?} is not 64 lower-case hex digits", info.sha256))?;
    let short = run(generator.count_tokens(&question("Why?").messages))?;
    let long = run(generator.count_tokens(&question("Why are vaccines kept cold on their way to a village?").messages))?;
    ensure(0 < short && short < long, || format!("a short question has {short} tokens, a long one {long}"))
}

async fn check_answers(generator: &dyn Generator) -> Result<(), String> {
    let request = question("Where are vaccines kept?");
    let first = answer(generator, request.clone()).await?;
    let second = answer(generator, request.clone()).await?;
    ensure(first.text == second.text, || format!("the same greedy request gave {:?} and {:?}", first.text, second.text))?;
    ensure(first.tokens <= request.tokens_max, || format!("{} tokens, more than were allowed", first.tokens))?;
    let one = answer(generator, GenerationRequest { tokens_max: 1, ..request.clone() }).await?;
    ensure(one.tokens <= 1, || format!("{} tokens where one was allowed", one.tokens))?;
    ensure(first.text.starts_with(one.text.trim_end_matches('\u{fffd}')), || {
        format!("one token is {:?}, the longer answer begins otherwise: {:?}", one.text, first.text)
    })?;
    let both = tokio::join!(answer(generator, request), answer(generator, question("And who drives?")));
    ensure(both.0?.text == first.text, || "an answer depends on what is asked at the same time".to_owned())?;
    both.1.map(|_| ())
}

/// An answer ends before a text that it would have.
async fn check_stop(generator: &dyn Generator) -> Result<(), String> {
    let request = question("Count to ten.");
    let whole = answer(generator, request.clone()).await?.text;
    let Some((at, stop)) = whole.char_indices().filter(|(_, character)| *character != '\u{fffd}').nth(2) else { return Ok(()) };
    let before = whole.split(stop).next().unwrap_or_default();
    let stopped = answer(generator, GenerationRequest { stop: vec![stop.to_string()], ..request }).await?;
    ensure(stopped.text == before, || format!("stopped at {stop:?} (byte {at}), {whole:?} became {:?}", stopped.text))?;
    ensure(stopped.finish == Finish::Stop, || "an answer that a stop text ended says something else ended it".to_owned())
}

async fn check_refusals(generator: &dyn Generator) -> Result<(), String> {
    let request = question("Why?");
    let refused = [
        ("no tokens", GenerationRequest { tokens_max: 0, ..request.clone() }),
        ("no messages", GenerationRequest { messages: Vec::new(), ..request.clone() }),
        ("a temperature below 0", GenerationRequest { sampling: Sampling { temperature: -1.0, ..Sampling::default() }, ..request.clone() }),
        ("a top_p above 1", GenerationRequest { sampling: Sampling { top_p: 1.5, ..Sampling::default() }, ..request }),
    ];
    for (what, request) in refused {
        let result = match generator.generate(request).await {
            Ok(stream) => stream.collect().await.map(|_| ()),
            Err(error) => Err(error),
        };
        ensure(result.is_err(), || format!("{what}: not refused"))?;
    }
    Ok(())
}

async fn check_abandoned(generator: &dyn Generator) -> Result<(), String> {
    for _ in 0..3 {
        let mut stream = run(generator.generate(GenerationRequest { tokens_max: 64, ..question("Tell me everything.") }).await)?;
        stream.next().await;
    }
    answer(generator, question("Are you there?")).await.map(|_| ())
}

async fn check_scores(generator: &dyn Generator) -> Result<(), String> {
    let source = |text: &str| Part::Source(text.to_owned());
    let parts = vec![source("Vaccines are kept cold."), source("Trucks are blue."), Part::Text("Where are vaccines kept?".to_owned())];
    let request = ScoreRequest {
        messages: vec![Message { role: Role::User, parts }],
        mode: ContextMode::Full,
        answer: Answer::Text("cold".to_owned()),
        subsets: vec![vec![true, true], vec![false, true], vec![true, true]],
        adapter: None,
    };
    let scores = match generator.score(request.clone()).await {
        Err(EngineError::Unscored { .. }) if !generator.info().scores => return Ok(()),
        scores => run(scores)?,
    };
    ensure(generator.info().scores, || "it scores, and says that it does not".to_owned())?;
    let [all, one, again] = scores.as_slice() else { return Err(format!("{} scores for 3 subsets", scores.len())) };
    let sound = |score: &crate::Score| score.log_probabilities.iter().all(|number| number.is_finite() && *number <= 0.0);
    ensure(!all.log_probabilities.is_empty() && sound(all) && sound(one), || format!("no log-probabilities: {all:?}, {one:?}"))?;
    let whole = all.ends.len() == all.log_probabilities.len() && all.ends.is_sorted() && all.ends.last() == Some(&"cold".len());
    ensure(whole, || format!("its tokens end at {:?}, and the answer at 4", all.ends))?;
    ensure(all == again, || "one subset has two scores".to_owned())?;
    let alone = run(generator.score(ScoreRequest { subsets: vec![vec![false, true]], ..request.clone() }).await)?;
    ensure(alone.first() == Some(one), || "a subset's score depends on the others".to_owned())?;
    let wrong = ScoreRequest { subsets: vec![vec![true]], ..request };
    ensure(generator.score(wrong).await.is_err(), || "a subset of one source among two is scored".to_owned())
}

fn question(text: &str) -> GenerationRequest {
    GenerationRequest {
        messages: vec![Message { role: Role::User, parts: vec![Part::Text(text.to_owned())] }],
        mode: ContextMode::Full,
        sampling: Sampling::default(),
        tokens_max: 12,
        stop: Vec::new(),
        log_probabilities: None,
        constraint: None,
        adapter: None,
    }
}

struct Answered {
    text: String,
    finish: Finish,
    tokens: usize,
}

async fn answer(generator: &dyn Generator, request: GenerationRequest) -> Result<Answered, String> {
    let mut stream = run(generator.generate(request).await)?;
    let mut text = String::new();
    while let Some(event) = stream.next().await {
        match event {
            GenerationEvent::Piece { text: piece, .. } => text.push_str(&piece),
            GenerationEvent::End(end) => {
                ensure(end.prompt_tokens > 0 && end.cached_tokens <= end.prompt_tokens, || format!("counts make no sense: {end:?}"))?;
                ensure(end.tokens.is_empty() || end.tokens.len() == end.answer_tokens, || format!("counts make no sense: {end:?}"))?;
                let after = stream.next().await;
                ensure(after.is_none(), || format!("{after:?} comes after the end"))?;
                return Ok(Answered { text, finish: end.finish, tokens: end.answer_tokens });
            }
            GenerationEvent::Failed(error) => return Err(error.to_string()),
        }
    }
    Err("an answer ended without its end".to_owned())
}
