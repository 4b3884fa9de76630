//! How many tokens a text may be where the tokenizer is not known.

use crate::files::{Message, Part};

/// What a template adds to a message at most, as far as is known.
const PER_MESSAGE: usize = 8;

/// English has about 4.5 bytes to a token, so 3 is high; a character outside ASCII may be two.
pub(super) fn tokens(messages: &[Message]) -> usize {
    messages.iter().map(|message| PER_MESSAGE + message.parts.iter().map(of_part).sum::<usize>()).sum()
}

fn of_part(part: &Part) -> usize {
    let (Part::Text(text) | Part::Source(text)) = part;
    let ascii = text.bytes().filter(u8::is_ascii).count();
    let others = text.chars().filter(|c| !c.is_ascii()).count();
    ascii.div_ceil(3) + 2 * others
}
