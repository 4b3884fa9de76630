//! Where a chunk had better end a little earlier than the splitter ends it.

use std::ops::Range;

use engine::EngineError;
use schemas::words::is_unspaced;
use text_splitter::TryChunkSizer;

use super::Sizer;
use crate::characters::is_southeast_asian;

/// So many opening brackets stand together in writing.
const MOST_BRACKETS: usize = 4;

/// Moves ends of chunks that follow each other, as far as the next ones take what is moved. From the last on, for what a chunk
/// takes depends on where it ends itself.
pub(super) fn settle(text: &str, chunks: &mut [Range<usize>], sizer: &Sizer<'_>) -> Result<(), EngineError> {
    for at in (1..chunks.len()).rev() {
        let [chunk, next] = chunks.get_mut(at - 1..=at).unwrap_or_default() else { continue };
        let Some((end, start)) = better_end(text, chunk, next.start) else { continue };
        if sizer.try_size(text.get(start..next.end).unwrap_or_default())? <= sizer.max_tokens {
            (chunk.end, next.start) = (end, start);
        }
    }
    Ok(())
}

/// Where a chunk had better end, before another that starts at `next`, and where that would start then.
fn better_end(text: &str, chunk: &Range<usize>, next: usize) -> Option<(usize, usize)> {
    let said = text.get(chunk.clone())?;
    before_brackets(said)
        .or_else(|| (chunk.end == next).then(|| after_phrase(said, text.get(next..)?)).flatten())
        .map(|(end, start)| (chunk.start + end, chunk.start + start))
}

/// Opening brackets belong to what follows them.
fn before_brackets(said: &str) -> Option<(usize, usize)> {
    let mut kept = said;
    for _ in 0..MOST_BRACKETS {
        let Some(without) = kept.strip_suffix(opens) else { break };
        kept = without.trim_end();
    }
    let start = said.len() - said.get(kept.len()..)?.trim_start().len();
    (!kept.is_empty() && kept.len() < said.len() && !kept.ends_with(opens)).then_some((kept.len(), start))
}

/// Opening brackets (Unicode's category Ps) of the scripts that are read.
fn opens(c: char) -> bool {
    matches!(
        c,
        '(' | '['
            | '{'
            | '（'
            | '［'
            | '｛'
            | '「'
            | '『'
            | '【'
            | '《'
            | '〈'
            | '〔'
            | '〖'
            | '〘'
            | '〚'
            | '｢'
            | '｟'
            | '⟨'
            | '„'
            | '‚'
    )
}

/// Between two letters of a script that writes no spaces between words, a phrase ends at the last space before them, in the second
/// half of the chunk. One beside a number or a foreign word parts what belongs together: `8 องศา`.
fn after_phrase(said: &str, next: &str) -> Option<(usize, usize)> {
    if !(ends_in_letter(said) && starts_with_letter(next)) {
        return None;
    }
    let middle = said.ceil_char_boundary(said.len() / 2);
    let spaces = said.get(middle..)?.char_indices().rev().filter(|(_, c)| c.is_whitespace());
    spaces.map(|(at, _)| middle + at).find_map(|at| {
        let (before, after) = (said.get(..at)?.trim_end(), said.get(at..)?.trim_start());
        (ends_in_letter(before) && starts_with_letter(after)).then_some((before.len(), said.len() - after.len()))
    })
}

fn ends_in_letter(text: &str) -> bool {
    text.chars().rev().find(|c| *c != '\u{200b}').is_some_and(is_letter)
}

fn starts_with_letter(text: &str) -> bool {
    text.chars().find(|c| *c != '\u{200b}').is_some_and(is_letter)
}

/// A letter, or its mark, of a script that writes no spaces between words.
fn is_letter(c: char) -> bool {
    is_southeast_asian(c) || (is_unspaced(c) && !c.is_numeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `said` and `next`, parted by `|` where the chunk ends and where it had better end.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let at = text.find('|').unwrap();
        let next = at + text.get(at + 1..).unwrap().find(|c: char| !c.is_whitespace()).unwrap();
        let whole = text.replacen('|', "", 1);
        let said = whole.get(..at).unwrap().trim_end().len();
        let found = better_end(&whole, &(0..said), next).map(|(end, start)| {
            assert!(whole.get(end..start).unwrap().trim().is_empty());
            format!("{}|{}", &whole[..end], &whole[start..])
        });
        assert_eq!(found.as_deref().unwrap_or("as it was"), expected, "{text}");
    }

    #[test]
    fn a_chunk_ends_with_a_phrase() {
        check("เก็บวัคซีนไว้ในตู้เย็น ห้ามแช่|แข็ง", "เก็บวัคซีนไว้ในตู้เย็น|ห้ามแช่แข็ง");
        check("ເກັບວັກຊີນໄວ້ໃນຕູ້ເຢັນ  ຫ້າມ|ແຊ່ແຂງ", "ເກັບວັກຊີນໄວ້ໃນຕູ້ເຢັນ|ຫ້າມແຊ່ແຂງ");
        check("ទុកវ៉ាក់សាំងក្នុងទូទឹកកក ហាម\u{200b}|បង្កក", "ទុកវ៉ាក់សាំងក្នុងទូទឹកកក|ហាម\u{200b}បង្កក");
        check("温度管理の手順書と記録　保管する|期間", "温度管理の手順書と記録|保管する期間");
        for kept in [
            // in its first half; beside a number; no letters beside the cut; words of Latin
            "เก็บ วัคซีนไว้ในตู้เย็นห้ามแช่|แข็ง",
            "เก็บวัคซีนไว้ที่อุณหภูมิ 8 องศา|เซลเซียส",
            "เก็บวัคซีนไว้ในตู้เย็น ห้ามแช่ |แข็ง",
            "เก็บวัคซีนไว้ในตู้เย็น ห้ามแช่|(แข็ง)",
            "Keep the vaccine co|ld",
        ] {
            check(kept, "as it was");
        }
    }

    #[test]
    fn a_chunk_does_not_end_with_a_bracket_that_opens() {
        check("保管します。（|開封した", "保管します。|（開封した");
        check("Keep it (see [|the list])", "Keep it (see|[the list])");
        check("Keep it ( [ |the list])", "Keep it|( [ the list])");
        check("ห้ามแช่แข็ง (|ดู", "ห้ามแช่แข็ง|(ดู");
        for kept in ["(|a", "((((((|a", "a ((((((|a", "a)|b"] {
            check(kept, "as it was");
        }
    }
}
