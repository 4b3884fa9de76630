//! E-mail addresses and telephone numbers.

pub(super) fn has_email(text: &str) -> bool {
    text.match_indices('@').any(|(at, _)| {
        let before = text.get(..at).unwrap_or_default();
        let local = before.chars().rev().take_while(|c| c.is_alphanumeric() || "._%+-".contains(*c)).take(64).count();
        let after = text.get(at + 1..).unwrap_or_default();
        let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '-')).unwrap_or(after.len());
        let domain = after.get(..end).unwrap_or_default().trim_end_matches(['.', '-']);
        let top = domain.rsplit_once('.').filter(|(name, _)| !name.is_empty()).map(|(_, top)| top);
        local > 0 && top.is_some_and(|top| top.len() >= 2 && top.bytes().all(|byte| byte.is_ascii_alphabetic()))
    })
}

/// A number in international form (`+` and 8 to 15 digits, E.164), or a North American one with its separators.
pub(super) fn has_phone(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '+' | '(' | ')' | '-' | '.' | ' ' | '\u{a0}');
    text.split(|c: char| !is_part(c)).any(|run| {
        let run = run.trim_matches(|c: char| !(c.is_ascii_digit() || c == '+' || c == '('));
        is_international(run) || groups_are_north_american(run)
    })
}

fn is_international(run: &str) -> bool {
    let Some((before, number)) = run.rsplit_once('+') else { return false };
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    !before.ends_with(|c: char| c.is_ascii_digit()) && number.starts_with(|c: char| c.is_ascii_digit()) && (8..=15).contains(&digits)
}

fn groups_are_north_american(run: &str) -> bool {
    let groups: Vec<&str> = run.split(|c: char| !c.is_ascii_digit()).filter(|group| !group.is_empty()).collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    let shape = matches!(lengths.as_slice(), [3, 3, 4]) || (matches!(lengths.as_slice(), [1, 3, 3, 4]) && groups.first() == Some(&"1"));
    // Three numbers that happen to stand in a row are apart by more than these.
    let separators = run.contains('(') || run.matches(['-', '.']).count() >= 2;
    shape && separators && !run.contains("  ")
}
