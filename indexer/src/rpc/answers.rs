//! Where the answers of one exchange go, each as the type that its caller asked for.

use serde::Deserializer;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::envelope::{Call, result};
use super::fault::Fault;
use super::quick::{self, Quick};
use crate::IndexerError;

pub(super) type Answer<R> = std::result::Result<R, Fault>;

/// The places for the answers to calls `0..n` of one exchange.
pub(super) trait Answers: Default + Send + 'static {
    /// All answers of a batch at once, if there is a quick way and the body fits it.
    fn quick(_body: &[u8], _first_id: u64) -> Option<Self> {
        None
    }

    /// Reads the reply to a call straight from the parser. Calls come in order; anything but a
    /// plain answer with this id is an error.
    fn take<'de, D: Deserializer<'de>>(&mut self, index: usize, id: u64, reply: D) -> std::result::Result<(), D::Error>;

    /// Reads one answer by itself; calls may come in any order.
    fn put(&mut self, index: usize, answer: Answer<&RawValue>);

    /// Whether the call has its answer.
    fn has(&self, index: usize) -> bool;

    /// Why a call failed, if it did.
    fn fault(&self, index: usize) -> Option<&Fault>;
}

fn parsed<R: DeserializeOwned>(answer: Answer<&RawValue>) -> Answer<R> {
    serde_json::from_str(answer?.get()).map_err(|error| Fault::malformed(&error))
}

fn fault_of<R>(answer: Option<&Option<Answer<R>>>) -> Option<&Fault> {
    answer?.as_ref()?.as_ref().err()
}

/// Any number of answers of one type.
#[derive(Debug)]
pub(super) struct Many<R> {
    answers: Vec<Option<Answer<R>>>,
}

impl<R> Default for Many<R> {
    fn default() -> Self {
        Self { answers: Vec::new() }
    }
}

impl<R> Many<R> {
    /// The answers in the order of the calls.
    pub(super) fn into_iter(self) -> impl Iterator<Item = Answer<R>> {
        self.answers.into_iter().map(filled)
    }

    fn set(&mut self, index: usize, answer: Answer<R>) {
        if index >= self.answers.len() {
            self.answers.resize_with(index + 1, || None);
        }
        if let Some(place) = self.answers.get_mut(index) {
            *place = Some(answer);
        }
    }
}

impl<R: DeserializeOwned + Send + 'static> Answers for Many<R> {
    fn take<'de, D: Deserializer<'de>>(&mut self, index: usize, id: u64, reply: D) -> std::result::Result<(), D::Error> {
        self.set(index, Ok(result(id, reply)?));
        Ok(())
    }

    fn put(&mut self, index: usize, answer: Answer<&RawValue>) {
        self.set(index, parsed(answer));
    }

    fn has(&self, index: usize) -> bool {
        matches!(self.answers.get(index), Some(Some(_)))
    }

    fn fault(&self, index: usize) -> Option<&Fault> {
        fault_of(self.answers.get(index))
    }
}

/// Two answers of two types.
#[derive(Debug)]
pub(super) struct Two<A, B> {
    first: Option<Answer<A>>,
    second: Option<Answer<B>>,
}

impl<A, B> Default for Two<A, B> {
    fn default() -> Self {
        Self { first: None, second: None }
    }
}

impl<A, B> Two<A, B> {
    pub(super) fn into_pair(self) -> (Answer<A>, Answer<B>) {
        (filled(self.first), filled(self.second))
    }
}

impl<A: Quick, B: Quick> Answers for Two<A, B> {
    fn quick(body: &[u8], first_id: u64) -> Option<Self> {
        let (first, second) = quick::pair(body, first_id)?;
        Some(Self { first: Some(Ok(first)), second: Some(Ok(second)) })
    }

    fn take<'de, D: Deserializer<'de>>(&mut self, index: usize, id: u64, reply: D) -> std::result::Result<(), D::Error> {
        match index {
            0 => self.first = Some(Ok(result(id, reply)?)),
            _ => self.second = Some(Ok(result(id, reply)?)),
        }
        Ok(())
    }

    fn put(&mut self, index: usize, answer: Answer<&RawValue>) {
        match index {
            0 => self.first = Some(parsed(answer)),
            _ => self.second = Some(parsed(answer)),
        }
    }

    fn has(&self, index: usize) -> bool {
        if index == 0 { self.first.is_some() } else { self.second.is_some() }
    }

    fn fault(&self, index: usize) -> Option<&Fault> {
        if index == 0 { fault_of(Some(&self.first)) } else { fault_of(Some(&self.second)) }
    }
}

/// The reader of replies leaves no place empty.
fn filled<R>(answer: Option<Answer<R>>) -> Answer<R> {
    answer.unwrap_or_else(|| Err(Fault::malformed(&"no answer")))
}

/// The same answers as the crate's results.
pub(super) fn typed<R>(answer: Answer<R>, call: &Call, url: &str) -> std::result::Result<R, IndexerError> {
    answer.map_err(|fault| super::retry::final_fault(fault, call.0).into_error(call, url))
}
