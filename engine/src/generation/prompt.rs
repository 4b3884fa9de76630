//! From messages to tokens: piece by piece, so that the prompt of a subset of the sources is exactly the pieces that are left.
//!
//! A piece is a source, or the run of text between two sources; each is tokenized alone. Only a template's own words may
//! name the model's control tokens.

use super::span::Plan;
use crate::files::{TemplatePiece, Vocabulary};
use crate::{ContextMode, EngineError, Message, Part, Role};

#[cfg(test)]
mod tests;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PieceKind {
    /// With words of the template in it: what surrounds a message, or lies between two.
    Template,
    /// Of one message.
    Text,
    Source(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) kind: PieceKind,
    pub(crate) tokens: Vec<u32>,
}

/// A tokenized conversation. Its sources are numbered without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prompt {
    pub(crate) pieces: Vec<Piece>,
    pub(crate) sources: usize,
}

/// A prompt for [`ContextMode::Blocks`]. `head`: what stands before the first source. `blocks`: each source, behind the
/// text that stands between it and the source before it in the same message (its number or title, say). `tail`: the rest.
/// Where two sources stand in different messages, what lies between is the tail's: it does not go when a source does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Blocks {
    pub(crate) head: Vec<u32>,
    pub(crate) blocks: Vec<Vec<u32>>,
    pub(crate) tail: Vec<u32>,
}

impl Prompt {
    /// Tokenizes rendered messages.
    ///
    /// # Errors
    /// [`EngineError::Prompt`] where the template left a source out or repeated one, or a text has no tokens of this model.
    pub(crate) fn new(vocabulary: &Vocabulary, rendered: &[TemplatePiece]) -> Result<Self, EngineError> {
        let mut found = Vec::new();
        // Of the run before each source and of the last.
        let mut has_template = vec![false];
        for piece in rendered {
            match piece {
                TemplatePiece::Template(_) => has_template.iter_mut().last().into_iter().for_each(|run| *run = true),
                TemplatePiece::Text(_) => {}
                TemplatePiece::Source(source, _) => {
                    found.push(*source);
                    has_template.push(false);
                }
            }
        }
        let sources = found.len();
        found.sort_unstable();
        if !found.into_iter().eq(0..sources) {
            return Err(EngineError::Prompt { reason: "the model's template leaves a source out, or repeats one".to_owned() });
        }
        let mut pieces = Vec::new();
        let mut passed = 0;
        for piece in vocabulary.encode_pieces(rendered)? {
            let kind = match piece.source {
                Some(source) => PieceKind::Source(source),
                None if has_template.get(passed).copied().unwrap_or_default() => PieceKind::Template,
                None => PieceKind::Text,
            };
            passed += usize::from(piece.source.is_some());
            pieces.push(Piece { kind, tokens: piece.ids });
        }
        Ok(Self { pieces, sources })
    }

    /// Tokens with all sources.
    pub(crate) fn tokens(&self) -> usize {
        self.pieces.iter().map(|piece| piece.tokens.len()).sum()
    }

    /// The prompt that only some sources are in.
    pub(crate) fn full(&self, subset: &[bool]) -> Vec<u32> {
        let is_in = |piece: &&Piece| match piece.kind {
            PieceKind::Source(source) => subset.get(source).copied().unwrap_or_default(),
            PieceKind::Template | PieceKind::Text => true,
        };
        self.pieces.iter().filter(is_in).flat_map(|piece| piece.tokens.iter().copied()).collect()
    }

    pub(crate) fn blocks(&self) -> Blocks {
        let mut blocks = Blocks { blocks: vec![Vec::new(); self.sources], ..Blocks::default() };
        let mut before_first = true;
        // Text since the last source, and whether template text is among it.
        let (mut between, mut leaves_message) = (Vec::new(), false);
        for piece in &self.pieces {
            match piece.kind {
                PieceKind::Source(source) => {
                    let label = std::mem::take(&mut between);
                    if let Some(block) = blocks.blocks.get_mut(source) {
                        if leaves_message {
                            blocks.tail.extend(label);
                        } else {
                            block.extend(label);
                        }
                        block.extend_from_slice(&piece.tokens);
                    }
                    (before_first, leaves_message) = (false, false);
                }
                _ if before_first => blocks.head.extend_from_slice(&piece.tokens),
                kind => {
                    leaves_message |= kind == PieceKind::Template;
                    between.extend_from_slice(&piece.tokens);
                }
            }
        }
        blocks.tail.extend(between);
        blocks
    }

    /// What has to be computed before the answer's first token. The last span is the one the answer goes on with.
    pub(crate) fn plan(&self, mode: ContextMode) -> Plan {
        let mut plan = Plan::default();
        let everything = vec![true; self.sources];
        if mode == ContextMode::Full || self.sources == 0 {
            plan.segment(Vec::new(), 0, self.full(&everything));
        } else {
            let blocks = self.blocks();
            let cached = blocks.plan(&mut plan, &everything);
            blocks.plan_tail(&mut plan, &cached, &everything, &[]);
        }
        plan.want_last(1);
        plan.grows = true;
        plan
    }

    /// Position of the answer's first token.
    pub(crate) fn answer_position(&self, mode: ContextMode) -> usize {
        if mode == ContextMode::Full || self.sources == 0 {
            return self.tokens();
        }
        let blocks = self.blocks();
        blocks.tail_position() + blocks.tail.len()
    }

    /// Whether a token follows the sources, so that there is one to continue.
    pub(crate) fn has_end(&self, mode: ContextMode) -> bool {
        if mode == ContextMode::Full || self.sources == 0 { self.tokens() > 0 } else { !self.blocks().tail.is_empty() }
    }
}

/// How a conversation is written down for a model that brings no template: who speaks, what is said, an empty line.
/// A system message stands without a name. The answer is to follow the last line.
pub(crate) fn plain(messages: &[Message]) -> Vec<TemplatePiece> {
    let mut pieces = Vec::new();
    let mut sources = 0;
    for message in messages {
        let name = match message.role {
            Role::System => "",
            Role::User => "User: ",
            Role::Assistant => "Assistant: ",
        };
        pieces.push(TemplatePiece::Template(name.to_owned()));
        for part in &message.parts {
            pieces.push(match part {
                Part::Text(text) => TemplatePiece::Text(text.clone()),
                Part::Source(text) => {
                    sources += 1;
                    TemplatePiece::Source(sources - 1, text.clone())
                }
            });
        }
        pieces.push(TemplatePiece::Template("\n\n".to_owned()));
    }
    pieces.push(TemplatePiece::Template("Assistant:".to_owned()));
    pieces
}

/// Where an answer ends that [`plain`] asked for: the model goes on as the next speaker.
pub(crate) const PLAIN_STOP: &str = "\n\nUser:";

/// Spans of the head and of each block.
pub(crate) struct CachedSpans {
    head: Option<usize>,
    blocks: Vec<Option<usize>>,
}

impl Blocks {
    /// The same for every subset: a source that is taken out leaves its place empty.
    pub(crate) fn tail_position(&self) -> usize {
        self.head.len() + self.blocks.iter().map(Vec::len).max().unwrap_or_default()
    }

    /// Adds what serves every subset: the head, and the blocks that are `used`.
    pub(crate) fn plan(&self, plan: &mut Plan, used: &[bool]) -> CachedSpans {
        let head = plan.segment(Vec::new(), 0, self.head.clone());
        let block = |(block, used): (&Vec<u32>, &bool)| {
            used.then(|| plan.segment(head.into_iter().collect(), self.head.len(), block.clone())).flatten()
        };
        let blocks = self.blocks.iter().zip(used).map(block).collect();
        CachedSpans { head, blocks }
    }

    /// Adds the tail of one subset, `answer` behind it.
    pub(crate) fn plan_tail(&self, plan: &mut Plan, cached: &CachedSpans, subset: &[bool], answer: &[u32]) -> Option<usize> {
        let blocks = cached.blocks.iter().zip(subset).filter(|(_, is_in)| **is_in).filter_map(|(block, _)| *block);
        let sees = cached.head.into_iter().chain(blocks).collect();
        plan.segment(sees, self.tail_position(), [&self.tail, answer].concat())
    }
}
