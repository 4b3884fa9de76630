//! A generator that says what it is told to, and remembers what it was asked.

use std::sync::{Arc, Mutex};

use engine::{
    AdapterInfo, Answer, ChosenToken, EngineError, Finish, GenerationEnd, GenerationEvent, GenerationRequest, GenerationStream, Generator,
    GeneratorInfo, Isa, Message, Part, Score, ScoreRequest, TokenProbability,
};
use tokio::sync::mpsc;

/// What a request meets.
#[derive(Debug, Clone)]
pub(crate) enum Script {
    /// These pieces, each one token.
    Say(Vec<&'static str>),
    /// These pieces, and then no end.
    SayAndWait(Vec<&'static str>),
    /// These pieces, and then a failure.
    SayAndFail(Vec<&'static str>),
    Refuse,
    Overloaded,
}

#[derive(Debug)]
pub(crate) struct Scripted {
    info: GeneratorInfo,
    script: Script,
    pub(crate) asked: Mutex<Vec<GenerationRequest>>,
    /// One is kept for each stream that has no end: closed once nobody listens.
    waiting: Mutex<Vec<mpsc::Sender<GenerationEvent>>>,
    knows_system: bool,
}

impl Scripted {
    /// A token is a byte, as far as the window is concerned.
    pub(crate) fn new(script: Script, context_tokens: usize) -> Self {
        let (name, family) = ("scripted".to_owned(), "test".to_owned());
        let info = GeneratorInfo {
            name,
            family,
            sha256: Some("ab".repeat(32)),
            precision: None,
            isa: Some(Isa::Portable),
            context_tokens,
            scores: false,
        };
        Self { info, script, asked: Mutex::default(), waiting: Mutex::default(), knows_system: true }
    }

    /// It also says how likely an answer is: a word of the sources that it is shown has ln p = −¼, any other −4.
    pub(crate) fn scores(mut self) -> Self {
        self.info.scores = true;
        self
    }

    pub(crate) fn says(pieces: &[&'static str]) -> Arc<Self> {
        Arc::new(Self::new(Script::Say(pieces.to_vec()), 100_000))
    }

    pub(crate) fn without_system(script: Script) -> Self {
        Self { knows_system: false, ..Self::new(script, 100_000) }
    }

    /// Whether somebody still listens to a stream that has no end.
    pub(crate) fn is_heard(&self) -> bool {
        self.waiting.lock().unwrap().iter().any(|events| !events.is_closed())
    }
}

fn text(part: &Part) -> &str {
    match part {
        Part::Text(text) | Part::Source(text) => text,
    }
}

pub(crate) fn shown(messages: &[Message]) -> String {
    messages.iter().map(|message| format!("<{}>{}", message.role, message.parts.iter().map(text).collect::<String>())).collect()
}

#[async_trait::async_trait]
impl Generator for Scripted {
    fn info(&self) -> &GeneratorInfo {
        &self.info
    }

    fn adapters(&self) -> Vec<AdapterInfo> {
        vec![AdapterInfo { name: "legal".into(), sha256: "cd".repeat(32) }]
    }

    async fn generate(&self, request: GenerationRequest) -> Result<GenerationStream, EngineError> {
        let wants_tokens = request.log_probabilities.is_some();
        let prompt_tokens = self.count_tokens(&request.messages)?;
        self.asked.lock().unwrap().push(request);
        let (sender, receiver) = mpsc::channel(64);
        let pieces = match &self.script {
            Script::Refuse => return Err(EngineError::Prompt { reason: "scripted".into() }),
            Script::Overloaded => return Err(EngineError::Overloaded { waiting: 3 }),
            Script::Say(pieces) | Script::SayAndWait(pieces) | Script::SayAndFail(pieces) => pieces,
        };
        for (token, text) in (0..).zip(pieces) {
            let chosen = TokenProbability { token, text: (*text).to_owned(), log_probability: -0.5 };
            let tokens = if wants_tokens { vec![ChosenToken { chosen, alternatives: vec![] }] } else { vec![] };
            sender.try_send(GenerationEvent::Piece { text: (*text).to_owned(), tokens }).unwrap();
        }
        let count = pieces.len();
        let end = match &self.script {
            Script::SayAndFail(_) => GenerationEvent::Failed(EngineError::Remote { status: None, reason: "scripted".into() }),
            Script::SayAndWait(_) => {
                self.waiting.lock().unwrap().push(sender);
                return Ok(GenerationStream::new(receiver));
            }
            _ => GenerationEvent::End(GenerationEnd {
                finish: Finish::Stop,
                prompt_tokens,
                cached_tokens: 0,
                answer_tokens: count,
                tokens: (0..count as u32).collect(),
            }),
        };
        sender.try_send(end).unwrap();
        Ok(GenerationStream::new(receiver))
    }

    async fn score(&self, request: ScoreRequest) -> Result<Vec<Score>, EngineError> {
        let unscored = || EngineError::Unscored { name: self.info.name.clone(), reason: "scripted".into() };
        let Answer::Text(answer) = request.answer else { return Err(unscored()) };
        if !self.info.scores {
            return Err(unscored());
        }
        let sources = request.messages.iter().flat_map(|message| &message.parts).filter_map(|part| match part {
            Part::Source(text) => Some(text.as_str()),
            Part::Text(_) => None,
        });
        let sources: Vec<&str> = sources.collect();
        let likely = |subset: &Vec<bool>, word: &str| sources.iter().zip(subset).any(|(text, is_in)| *is_in && text.contains(word));
        let of = |subset: &Vec<bool>, word: &str| if likely(subset, word) { -0.25 } else { -4.0 };
        let words: Vec<&str> = answer.split_inclusive(' ').collect();
        let ends = words.iter().scan(0, |end, word| {
            *end += word.len();
            Some(*end)
        });
        let ends: Vec<usize> = ends.collect();
        let score = |subset: &Vec<bool>| Score {
            log_probabilities: words.iter().map(|word| of(subset, word.trim())).collect(),
            ends: ends.clone(),
        };
        Ok(request.subsets.iter().map(score).collect())
    }

    fn count_tokens(&self, messages: &[Message]) -> Result<usize, EngineError> {
        if !self.knows_system && messages.iter().any(|message| message.role == engine::Role::System) {
            return Err(EngineError::Prompt { reason: "the template knows no system".into() });
        }
        Ok(shown(messages).len())
    }
}
