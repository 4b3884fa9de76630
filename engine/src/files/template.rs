//! How a model wants its conversations written down.
//!
//! A template is code from a model's files, and a message is a stranger's text: neither sees the other. The template
//! is given random marks in place of the texts, and what it renders is split at the marks; so no text is ever read as
//! a template, or as the control tokens that a template writes. Templates run on a limited amount of fuel, keep and
//! write a limited amount of text, and reach no file, clock or random number.

mod bounds;
mod environment;
mod marks;
mod message;

#[cfg(test)]
mod tests;

use std::fmt;

use minijinja::{Environment, ErrorKind, Value, context};
use serde_json::Map;

use crate::EngineError;
use bounds::Bounded;
use environment::Raised;
use marks::Marks;
pub use message::{Message, Part, Role};

/// The longest published template has 20 kB.
pub(super) const TEMPLATE_BYTES_MAX: usize = 256 << 10;
const RENDERED_BYTES_MAX: usize = 4 << 20;
/// Instructions; a published template takes some hundreds for each message.
const FUEL: u64 = 4_000_000;
const NAME: &str = "chat";

/// A run of a rendered conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TemplatePiece {
    /// The template's own words: may name control tokens.
    Template(String),
    /// A message's text: never read as control tokens.
    Text(String),
    /// A source's text, and its number.
    Source(usize, String),
}

/// A template that parses.
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatTemplate").field("bos", &self.bos).field("eos", &self.eos).finish_non_exhaustive()
    }
}

/// Why a conversation was not rendered.
enum Failure {
    /// The template raised an exception, or left a text out.
    Refused(String),
    /// It is broken, or took too much.
    Broken(String),
}

impl ChatTemplate {
    /// `bos` and `eos` are what the template writes where it names them.
    ///
    /// # Errors
    /// A sentence saying why the template does not parse.
    pub(crate) fn parse(source: &str, bos: &str, eos: &str) -> Result<Self, String> {
        if source.len() > TEMPLATE_BYTES_MAX {
            return Err(format!("a chat template of {} bytes, {TEMPLATE_BYTES_MAX} allowed", source.len()));
        }
        let mut environment = environment::environment().map_err(|error| error.to_string())?;
        bounds::add_to(&mut environment);
        let bounded = Bounded::new(&environment::without_generation_tags(source)).map_err(|error| format!("the chat template: {error}"))?;
        environment.set_fuel(Some(FUEL.min(bounded.fuel_max)));
        environment.add_template_owned(NAME, bounded.source).map_err(|error| format!("the chat template: {error}"))?;
        Ok(Self { environment, bos: bos.to_owned(), eos: eos.to_owned() })
    }

    /// Where the template knows no system messages and says so, their text is put before the first user message's.
    ///
    /// # Errors
    /// [`EngineError::Prompt`] where the template refuses the messages, or changes or repeats a source.
    pub(crate) fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<Vec<TemplatePiece>, EngineError> {
        let failed = |reason| EngineError::Prompt { reason: format!("the model's chat template {reason}") };
        let refusal = match self.attempt(messages, add_generation_prompt) {
            Ok(pieces) => return Ok(pieces),
            Err(Failure::Broken(reason)) => return Err(failed(format!("fails: {reason}"))),
            Err(Failure::Refused(reason)) => reason,
        };
        let folded = without_system(messages).ok_or_else(|| failed(format!("refuses the messages: {refusal}")))?;
        self.attempt(&folded, add_generation_prompt).map_err(|failure| match failure {
            Failure::Refused(reason) | Failure::Broken(reason) => failed(format!("refuses the messages: {reason}")),
        })
    }

    fn attempt(&self, messages: &[Message], add_generation_prompt: bool) -> Result<Vec<TemplatePiece>, Failure> {
        let mut marks = Marks::new();
        let shown: Vec<Value> = messages
            .iter()
            .map(|message| context! { role => message.role.to_string(), content => marks.content(&message.parts) })
            .collect();
        let broken = |error: &dyn fmt::Display| Failure::Broken(error.to_string());
        let template = self.environment.get_template(NAME).map_err(|error| broken(&error))?;
        let (bos_token, eos_token) = (self.bos.as_str(), self.eos.as_str());
        // transformers says that there are none of both: some templates ask whether they are none, not whether they are defined.
        let values = context! { messages => shown, add_generation_prompt, bos_token, eos_token, tools => (), documents => () };
        let mut rendered = Limited(Vec::new());
        bounds::refill();
        template.render_captured_to(values, &mut rendered).map_err(|error| failure(&error))?;
        let rendered = String::from_utf8(rendered.0).map_err(|error| broken(&error))?;
        marks.split(&rendered).map_err(Failure::Refused)
    }
}

fn failure(error: &minijinja::Error) -> Failure {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(Raised(reason)) = inner.downcast_ref::<Raised>() {
            return Failure::Refused(reason.clone());
        }
        source = inner.source();
    }
    match error.kind() {
        ErrorKind::OutOfFuel => Failure::Broken("it runs for too long".to_owned()),
        ErrorKind::WriteFailure => Failure::Broken(format!("it writes more than {RENDERED_BYTES_MAX} bytes")),
        _ => Failure::Broken(error.to_string()),
    }
}

/// System messages' parts before those of the first user message that follows. None where there is no system message,
/// or no user to tell.
fn without_system(messages: &[Message]) -> Option<Vec<Message>> {
    if messages.iter().all(|message| message.role != Role::System) {
        return None;
    }
    let mut folded: Vec<Message> = Vec::with_capacity(messages.len());
    let mut told: Vec<Part> = Vec::new();
    for message in messages {
        match message.role {
            Role::System => {
                told.extend(message.parts.iter().cloned());
                told.push(Part::Text("\n\n".to_owned()));
            }
            Role::User => {
                let parts = told.drain(..).chain(message.parts.iter().cloned()).collect();
                folded.push(Message { role: Role::User, parts });
            }
            Role::Assistant => folded.push(message.clone()),
        }
    }
    told.is_empty().then_some(folded)
}

struct Limited(Vec<u8>);

impl std::io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > RENDERED_BYTES_MAX {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The template among those of a `tokenizer_config.json`: one text, or the one named default; of a list of named ones, or of an
/// object by their names. transformers makes that object of the list, where the last of a name counts.
///
/// # Errors
/// A sentence, where there is something else.
pub(super) fn configured(values: &Map<String, serde_json::Value>) -> Result<Option<&str>, String> {
    const DEFAULT: &str = "default";
    let default = match values.get("chat_template") {
        None | Some(serde_json::Value::Null) => return Ok(None),
        Some(serde_json::Value::String(template)) => return Ok(Some(template)),
        Some(serde_json::Value::Array(named)) => {
            let entry = named.iter().rfind(|entry| entry.get("name").and_then(serde_json::Value::as_str) == Some(DEFAULT));
            entry.map(|entry| entry.get("template"))
        }
        Some(serde_json::Value::Object(by_name)) => by_name.get(DEFAULT).map(Some),
        Some(_) => return Err("chat_template is neither a text nor named ones".to_owned()),
    };
    let Some(template) = default else { return Ok(None) };
    let text = template.and_then(serde_json::Value::as_str);
    text.map(Some).ok_or_else(|| "chat_template has a default that is no text".to_owned())
}
