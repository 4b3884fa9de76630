//! JSON-RPC 2.0 bodies: requests written, replies read.
//!
//! A reply that is as it should be is read in one pass, from the body's bytes into the callers'
//! types; where [`super::quick`] can, quickly. Any other is read again, in [`super::loose`].

use bytes::Bytes;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::answers::Answers;
use super::classify::is_ranged;
use super::fault::Fault;
use super::loose;

/// One request: the method and its parameters.
pub(crate) type Call = (&'static str, Value);

/// What was asked in one exchange: calls with the ids `first_id..`.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) first_id: u64,
    pub(super) methods: Vec<&'static str>,
    /// An array of calls, even if it holds only one.
    pub(super) is_batch: bool,
}

impl Asked {
    /// The method to name for the exchange as a whole: the one whose answer grows with a range, if there is one.
    pub(super) fn method(&self) -> &'static str {
        let ranged = self.methods.iter().find(|method| is_ranged(method));
        ranged.or(self.methods.first()).copied().unwrap_or("batch")
    }

    /// The place of the call with this id, which is JSON text.
    pub(super) fn index(&self, id: &str) -> Option<usize> {
        let index = usize::try_from(id.parse::<u64>().ok()?.checked_sub(self.first_id)?).ok()?;
        (index < self.methods.len()).then_some(index)
    }
}

/// The body of a request.
pub(super) fn body(asked: &Asked, calls: &[Call]) -> Bytes {
    let requests = calls.iter().zip(asked.first_id..);
    let mut requests =
        requests.map(|((method, params), id)| serde_json::json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
    let value = if asked.is_batch { requests.collect() } else { requests.next().unwrap_or_default() };
    value.to_string().into()
}

/// Reads a reply.
pub(super) fn read<A: Answers>(body: &[u8], asked: &Asked) -> Result<A, Fault> {
    if let Some(answers) = A::quick(body, asked.first_id) {
        return Ok(answers);
    }
    read_in_order(body, asked).or_else(|problem| loose::read(body, asked, &problem))
}

fn read_in_order<A: Answers>(body: &[u8], asked: &Asked) -> serde_json::Result<A> {
    let mut answers = A::default();
    let mut parser = serde_json::Deserializer::from_slice(body);
    if asked.is_batch {
        parser.deserialize_seq(InOrder { answers: &mut answers, asked })?;
    } else {
        answers.take(0, asked.first_id, &mut parser)?;
    }
    parser.end()?;
    Ok(answers)
}

/// The elements of a batch, the answer to each call in its turn.
struct InOrder<'a, A> {
    answers: &'a mut A,
    asked: &'a Asked,
}

impl<'de, A: Answers> Visitor<'de> for InOrder<'_, A> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "an array of {} replies", self.asked.methods.len())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut replies: S) -> Result<(), S::Error> {
        for (index, id) in (0..self.asked.methods.len()).zip(self.asked.first_id..) {
            if replies.next_element_seed(InTurn { answers: &mut *self.answers, index, id })?.is_none() {
                return Err(S::Error::invalid_length(index, &self));
            }
        }
        match replies.next_element::<IgnoredAny>()? {
            None => Ok(()),
            Some(_) => Err(S::Error::custom("more replies than calls")),
        }
    }
}

struct InTurn<'a, A> {
    answers: &'a mut A,
    index: usize,
    id: u64,
}

impl<'de, A: Answers> DeserializeSeed<'de> for InTurn<'_, A> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reply: D) -> Result<(), D::Error> {
        self.answers.take(self.index, self.id, reply)
    }
}

/// The result in a reply that is an answer with this id; everything else is an error.
pub(super) fn result<'de, R: Deserialize<'de>, D: Deserializer<'de>>(id: u64, reply: D) -> Result<R, D::Error> {
    reply.deserialize_map(ResultVisitor { id, result: std::marker::PhantomData })
}

struct ResultVisitor<R> {
    id: u64,
    result: std::marker::PhantomData<R>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
pub(super) enum Key {
    Jsonrpc,
    Id,
    Result,
    Error,
    #[serde(other)]
    Other,
}

impl<'de, R: Deserialize<'de>> Visitor<'de> for ResultVisitor<R> {
    type Value = R;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a JSON-RPC 2.0 reply with id {}", self.id)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut fields: M) -> Result<R, M::Error> {
        let (mut has_version, mut has_id, mut result) = (false, false, None);
        while let Some(key) = fields.next_key::<Key>()? {
            match key {
                Key::Jsonrpc if !has_version && fields.next_value::<&str>()? == "2.0" => has_version = true,
                Key::Id if !has_id && fields.next_value::<u64>()? == self.id => has_id = true,
                Key::Result if result.is_none() => result = Some(fields.next_value::<R>()?),
                // Some servers write both, one of them null.
                Key::Error => fields.next_value::<()>()?,
                Key::Other => drop(fields.next_value::<IgnoredAny>()?),
                Key::Jsonrpc | Key::Id | Key::Result => return Err(M::Error::custom("another version or id, or a field twice")),
            }
        }
        match result {
            Some(result) if has_version && has_id => Ok(result),
            _ => Err(M::Error::custom("version, id or result is missing")),
        }
    }
}
