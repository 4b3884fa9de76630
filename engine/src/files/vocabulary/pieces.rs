//! A rendered conversation to ids: control tokens where the template wrote them, text everywhere else.

use super::{Specials, Vocabulary};
use crate::EngineError;
use crate::files::TemplatePiece;

/// Ids of a run of pieces, or of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EncodedPiece {
    /// Number of the source; none for what the sources stand in.
    pub(crate) source: Option<usize>,
    pub(crate) ids: Vec<u32>,
}

impl Vocabulary {
    /// Between two control tokens the template's words and the messages' texts are encoded as one text, as the model
    /// was trained; so for a conversation without sources, and without names of control tokens in it, the ids are
    /// those of the whole rendered text. A source is encoded alone: taking it out takes out its ids.
    ///
    /// # Errors
    /// As [`Vocabulary::encode`].
    pub(crate) fn encode_pieces(&self, pieces: &[TemplatePiece]) -> Result<Vec<EncodedPiece>, EngineError> {
        let mut encoder = Encoder { vocabulary: self, done: Vec::new(), ids: Vec::new(), text: String::new(), first: true };
        for piece in pieces {
            match piece {
                TemplatePiece::Template(text) => encoder.template(text)?,
                TemplatePiece::Text(text) => encoder.text.push_str(text),
                TemplatePiece::Source(source, text) => encoder.source(*source, text)?,
            }
        }
        encoder.end_run()?;
        Ok(encoder.done)
    }

    /// A template's text, cut at the control tokens it names: each is its id, and the text before it.
    fn control_tokens(&self, text: &str) -> Result<Vec<(usize, usize, u32)>, EngineError> {
        let encoding = self.run(text, self.tokenizer.get_added_vocabulary(), self.tokenizer.get_pre_tokenizer())?;
        let tokens = encoding.get_ids().iter().zip(encoding.get_offsets());
        let control = tokens.filter(|(id, _)| self.control.contains(id));
        Ok(control.map(|(id, (start, end))| (*start, *end, *id)).collect())
    }
}

struct Encoder<'a> {
    vocabulary: &'a Vocabulary,
    done: Vec<EncodedPiece>,
    /// Of the run of pieces that is being read.
    ids: Vec<u32>,
    /// What has been read since the last control token.
    text: String,
    /// Nothing has been encoded yet.
    first: bool,
}

impl Encoder<'_> {
    fn template(&mut self, text: &str) -> Result<(), EngineError> {
        let mut reached = 0;
        for (start, end, id) in self.vocabulary.control_tokens(text)? {
            self.text.push_str(text.get(reached..start).unwrap_or_default());
            self.end_text()?;
            self.ids.push(id);
            self.first = false;
            reached = end;
        }
        self.text.push_str(text.get(reached..).unwrap_or_default());
        Ok(())
    }

    fn source(&mut self, source: usize, text: &str) -> Result<(), EngineError> {
        self.end_run()?;
        let ids = self.encode(text)?;
        self.done.push(EncodedPiece { source: Some(source), ids });
        Ok(())
    }

    fn end_run(&mut self) -> Result<(), EngineError> {
        self.end_text()?;
        if !self.ids.is_empty() {
            self.done.push(EncodedPiece { source: None, ids: std::mem::take(&mut self.ids) });
        }
        Ok(())
    }

    fn end_text(&mut self) -> Result<(), EngineError> {
        let text = std::mem::take(&mut self.text);
        let ids = self.encode(&text)?;
        self.ids.extend(ids);
        Ok(())
    }

    fn encode(&mut self, text: &str) -> Result<Vec<u32>, EngineError> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let first = std::mem::replace(&mut self.first, false);
        if first { self.vocabulary.encode(text, Specials::AsText) } else { self.vocabulary.encode_inner(text) }
    }
}
