//! JSON-RPC 2.0 bodies: requests written, replies read.
//!
//! A reply that is as it should be is read in one pass, from the body's bytes into the callers'
//! types. Any other is read a second time, slowly and by id: batches may come in another order, and
//! may mix answers and errors. What is still not a reply then is a [`Fault`], never a panic, and
//! nothing that is kept grows faster than the body.

use bytes::Bytes;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::answers::Answers;
use super::classify::{classify, is_ranged};
use super::fault::Fault;

/// Of an error object, longer data are dropped: revert data are a few hundred bytes.
const MAX_ERROR_DATA_BYTES: usize = 1 << 20;

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

    fn index(&self, id: &str) -> Option<usize> {
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
    read_in_order(body, asked)
        .or_else(|problem| if asked.is_batch { read_by_id(body, asked, &problem) } else { read_one(body, asked, &problem) })
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
enum Key {
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

/// A reply whose parts are not looked into yet.
#[derive(Deserialize)]
struct Loose<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// A null is a value here: for many methods it is the answer.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(value).map(Some)
}

impl<'a> Loose<'a> {
    fn error(&self) -> Option<&'a RawValue> {
        self.error.filter(|error| error.get() != "null")
    }

    fn id(&self) -> &'a str {
        self.id.map_or("null", RawValue::get)
    }

    fn result(&self) -> Result<&'a RawValue, Fault> {
        if self.jsonrpc.map(RawValue::get) != Some(r#""2.0""#) {
            return Err(Fault::malformed(&"not a reply of JSON-RPC 2.0"));
        }
        self.result.ok_or_else(|| Fault::malformed(&"neither a result nor an error"))
    }
}

fn read_one<A: Answers>(body: &[u8], asked: &Asked, problem: &serde_json::Error) -> Result<A, Fault> {
    let reply: Loose<'_> = serde_json::from_slice(body).map_err(|_| unreadable(body, problem))?;
    // Who cannot read a request does not know its id either.
    if let Some(error) = reply.error().filter(|_| reply.id() == "null" || asked.index(reply.id()) == Some(0)) {
        return Err(node_error(error, asked.method()));
    }
    let result = reply.result()?;
    if asked.index(reply.id()) != Some(0) {
        return Err(wrong_id(reply.id()));
    }
    let mut answers = A::default();
    answers.put(0, Ok(result));
    Ok(answers)
}

fn read_by_id<A: Answers>(body: &[u8], asked: &Asked, problem: &serde_json::Error) -> Result<A, Fault> {
    let mut by_id = ById { asked, answers: A::default(), fault: None };
    let mut parser = serde_json::Deserializer::from_slice(body);
    let read = parser.deserialize_seq(&mut by_id).and_then(|()| parser.end());
    if let Some(fault) = by_id.fault {
        return Err(fault);
    }
    if let Err(problem_by_id) = read {
        // A whole batch is refused with one error.
        return match serde_json::from_slice::<Loose<'_>>(body) {
            Ok(reply) => Err(reply.error().map_or_else(|| Fault::malformed(&problem_by_id), |error| node_error(error, asked.method()))),
            Err(_) => Err(unreadable(body, problem)),
        };
    }
    let Some(missing) = (0..asked.methods.len()).find(|index| !by_id.answers.has(*index)) else {
        return Ok(by_id.answers);
    };
    // geth answers a batch that is too large with one error that bears the first id.
    let first_fault = (0..asked.methods.len()).find_map(|index| by_id.answers.fault(index));
    Err(first_fault.cloned().unwrap_or_else(|| Fault::malformed(&format!("no reply to call {} of {}", missing + 1, asked.methods.len()))))
}

/// The elements of a batch in any order.
struct ById<'a, A> {
    asked: &'a Asked,
    answers: A,
    /// What is wrong with the exchange as a whole.
    fault: Option<Fault>,
}

impl<'de, A: Answers> Visitor<'de> for &mut ById<'_, A> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "an array of {} replies", self.asked.methods.len())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut replies: S) -> Result<(), S::Error> {
        while let Some(reply) = replies.next_element::<Loose<'de>>()? {
            if let Err(fault) = self.place(&reply) {
                self.fault = Some(fault);
                return Err(S::Error::custom("not a reply to the batch"));
            }
        }
        Ok(())
    }
}

impl<A: Answers> ById<'_, A> {
    fn place(&mut self, reply: &Loose<'_>) -> Result<(), Fault> {
        let index = match (self.asked.index(reply.id()), reply.error()) {
            (Some(index), _) => index,
            (None, Some(error)) if reply.id() == "null" => return Err(node_error(error, self.asked.method())),
            (None, _) => return Err(wrong_id(reply.id())),
        };
        if self.answers.has(index) {
            return Err(Fault::malformed(&format!("two replies with id {}", reply.id())));
        }
        let method = self.asked.methods.get(index).copied().unwrap_or_default();
        let answer = reply.error().map_or_else(|| reply.result(), |error| Err(node_error(error, method)));
        self.answers.put(index, answer);
        Ok(())
    }
}

/// The error object in a body that came with an HTTP status other than success, if that is what it is.
pub(super) fn error_in(body: &[u8], asked: &Asked) -> Option<Fault> {
    let error = match serde_json::from_slice::<Loose<'_>>(body) {
        Ok(reply) => reply.error()?,
        Err(_) => serde_json::from_slice::<Vec<Loose<'_>>>(body).ok()?.first()?.error()?,
    };
    Some(node_error(error, asked.method()))
}

/// Codes as strings, errors that are only a string: what is there is taken.
fn node_error(error: &RawValue, method: &str) -> Fault {
    #[derive(Deserialize)]
    struct ErrorObject<'a> {
        #[serde(borrow, default)]
        code: Option<&'a RawValue>,
        #[serde(borrow, default)]
        message: Option<&'a RawValue>,
        #[serde(borrow, default)]
        data: Option<&'a RawValue>,
    }
    let Ok(object) = serde_json::from_str::<ErrorObject<'_>>(error.get()) else {
        return classify(method, 0, &text(error), None);
    };
    let code = object.code.and_then(|code| code.get().trim_matches('"').parse().ok()).unwrap_or(0);
    let data = object.data.map(RawValue::get).filter(|data| data.len() <= MAX_ERROR_DATA_BYTES).map(str::to_owned);
    classify(method, code, &text(object.message.unwrap_or(error)), data)
}

/// A string's content, or the JSON text of anything else.
fn text(value: &RawValue) -> String {
    let start = |text: &str| text.chars().take(4_096).collect();
    serde_json::from_str::<std::borrow::Cow<'_, str>>(value.get()).map_or_else(|_| start(value.get()), |text| start(&text))
}

fn wrong_id(id: &str) -> Fault {
    Fault::malformed(&format!("a reply with id {id}, which was not asked"))
}

fn unreadable(body: &[u8], problem: &serde_json::Error) -> Fault {
    match body.trim_ascii_start().first() {
        None => Fault::malformed(&"an empty body"),
        Some(b'<') => Fault::malformed(&"a page of HTML or XML"),
        Some(_) => Fault::malformed(problem),
    }
}
