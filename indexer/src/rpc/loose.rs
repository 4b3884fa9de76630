//! Replies that are not a plain answer to every call in its turn: batches in another order, answers
//! and errors mixed, one error for all, and what is no reply at all. Read by id, and slowly.
//!
//! What cannot be read is a [`Fault`], never a panic. Everything but the answers themselves stays in
//! the body's bytes, so nothing grows faster than the body.

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::answers::Answers;
use super::classify::classify;
use super::envelope::{Asked, Key};
use super::fault::Fault;

/// Of an error object, longer data are dropped: revert data are a few hundred bytes.
const MAX_ERROR_DATA_BYTES: usize = 1 << 20;

/// Reads a reply that is not as it should be; `problem` says why not.
pub(super) fn read<A: Answers>(body: &[u8], asked: &Asked, problem: &serde_json::Error) -> Result<A, Fault> {
    if asked.is_batch { read_by_id(body, asked, problem) } else { read_one(body, asked, problem) }
}

/// A reply whose parts are not looked into yet. A null is a part: for many methods it is the answer.
#[derive(Default)]
struct Loose<'a> {
    jsonrpc: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    result: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for Loose<'de> {
    fn deserialize<D: Deserializer<'de>>(reply: D) -> Result<Self, D::Error> {
        // What is derived would take an array for an object.
        reply.deserialize_map(LooseVisitor)
    }
}

struct LooseVisitor;

impl<'de> Visitor<'de> for LooseVisitor {
    type Value = Loose<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON-RPC 2.0 reply")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut fields: M) -> Result<Loose<'de>, M::Error> {
        let mut reply = Loose::default();
        while let Some(key) = fields.next_key::<Key>()? {
            let value = Some(fields.next_value::<&RawValue>()?);
            let twice = match key {
                Key::Jsonrpc => std::mem::replace(&mut reply.jsonrpc, value),
                Key::Id => std::mem::replace(&mut reply.id, value),
                Key::Result => std::mem::replace(&mut reply.result, value),
                Key::Error => std::mem::replace(&mut reply.error, value),
                Key::Other => None,
            };
            if twice.is_some() {
                return Err(M::Error::custom("a field twice"));
            }
        }
        Ok(reply)
    }
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
    let object = Some(error.get()).filter(|error| error.starts_with('{')).map(serde_json::from_str::<ErrorObject<'_>>);
    let Some(Ok(object)) = object else {
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
