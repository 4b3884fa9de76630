//! The words of a text as tantivy takes them.

use schemas::words::{self, Word, WordKind};
use tantivy::tokenizer::{Token, TokenStream, Tokenizer};

/// Content words and numbers, in order. Signs alone find nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words;

/// The words that are still to come, and the one that is current.
pub(super) struct Stream {
    rest: std::vec::IntoIter<Word>,
    token: Token,
}

impl Tokenizer for Words {
    type TokenStream<'a> = Stream;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Stream {
        Stream { rest: words::content_words(text).into_iter(), token: Token::default() }
    }
}

impl TokenStream for Stream {
    fn advance(&mut self) -> bool {
        let Some(word) = self.rest.find(|word| word.kind != WordKind::Symbol) else { return false };
        let position = self.token.position.wrapping_add(1);
        self.token = Token { offset_from: word.range.start, offset_to: word.range.end, position, text: word.text, position_length: 1 };
        true
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}
