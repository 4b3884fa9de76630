//! One text as an encoder reads it, and what it may be.

/// Ids of tokens, special ones included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<'a> {
    pub(crate) ids: &'a [u32],
    /// Each token's type; None where all have the first.
    pub(crate) types: Option<&'a [u32]>,
}

/// What texts may be, within what the model's configuration allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TextLimits {
    /// Most tokens of a text, special tokens included.
    pub(crate) window: usize,
    /// Types of tokens, at least one. Each beyond the first costs memory for a table of `window` rows.
    pub(crate) token_types: usize,
}

impl Text<'_> {
    /// # Errors
    /// A sentence, where it is none that the limits and the vocabulary allow.
    pub(super) fn check(&self, limits: TextLimits, vocabulary: usize) -> Result<(), String> {
        let TextLimits { window, token_types } = limits;
        if self.ids.is_empty() || self.ids.len() > window {
            return Err(format!("a text of {} tokens; 1 to {window} are taken", self.ids.len()));
        }
        if let Some(token) = self.ids.iter().find(|token| **token as usize >= vocabulary) {
            return Err(format!("token {token} of a vocabulary of {vocabulary}"));
        }
        let types = self.types.unwrap_or_default();
        if self.types.is_some() && types.len() != self.ids.len() {
            return Err(format!("{} types of {} tokens", types.len(), self.ids.len()));
        }
        match types.iter().find(|kind| **kind as usize >= token_types) {
            Some(kind) => Err(format!("a token of type {kind}; {token_types} types are known")),
            None => Ok(()),
        }
    }

    /// Adds each token's row in the table of positions, which has a part of `window` rows for each type, and its id.
    pub(super) fn places(&self, window: usize, places: &mut Vec<(usize, u32)>) {
        let numbered = self.ids.iter().copied().enumerate();
        match self.types {
            None => places.extend(numbered),
            Some(types) => places.extend(numbered.zip(types).map(|((at, id), kind)| (*kind as usize * window + at, id))),
        }
    }
}
