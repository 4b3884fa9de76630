//! Keys and passwords that somebody uploaded by mistake.

/// A prefix that announces a token, the fewest characters that follow it, and which.
type TokenShape = (&'static str, usize, fn(char) -> bool);

const TOKENS: &[TokenShape] = &[
    ("AKIA", 16, |c| c.is_ascii_uppercase() || c.is_ascii_digit()),
    ("ASIA", 16, |c| c.is_ascii_uppercase() || c.is_ascii_digit()),
    ("AIza", 35, is_token),
    ("ghp_", 30, is_token),
    ("gho_", 30, is_token),
    ("ghs_", 30, is_token),
    ("github_pat_", 30, is_token),
    ("glpat-", 20, is_token),
    ("xoxb-", 20, is_token),
    ("xoxp-", 20, is_token),
    ("sk-", 20, is_token),
    ("sk_live_", 20, is_token),
    ("rk_live_", 20, is_token),
    ("npm_", 30, is_token),
    ("hf_", 30, is_token),
];

/// Words of a BIP-39 phrase: how many in a row are no accident.
const SEED_WORDS: usize = 12;

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

pub(super) fn has_secret(text: &str, words: &[String]) -> bool {
    has_private_key_block(text)
        || TOKENS.iter().any(|(prefix, least, of)| has_token(text, prefix, *least, *of))
        || (names_a_private_key(words) && has_hex_key(text))
        || has_seed_phrase(words)
}

fn has_private_key_block(text: &str) -> bool {
    text.match_indices("-----BEGIN ").any(|(at, begin)| {
        let rest = text.get(at + begin.len()..).unwrap_or_default();
        let line = rest.get(..rest.floor_char_boundary(60)).unwrap_or_default().lines().next().unwrap_or_default();
        line.contains("PRIVATE KEY")
    })
}

fn has_token(text: &str, prefix: &str, least: usize, of: fn(char) -> bool) -> bool {
    text.match_indices(prefix).any(|(at, _)| {
        let starts_word = !text.get(..at).unwrap_or_default().ends_with(is_token);
        let rest = text.get(at + prefix.len()..).unwrap_or_default();
        starts_word && rest.chars().take_while(|c| of(*c)).take(least).count() == least
    })
}

fn names_a_private_key(words: &[String]) -> bool {
    words.windows(2).any(|pair| matches!(pair, [a, b] if matches!(a.as_str(), "private" | "secret" | "signing") && b == "key"))
        || words.iter().any(|word| matches!(word.as_str(), "privkey" | "privatekey" | "secretkey"))
}

/// 64 hexadecimal digits.
fn has_hex_key(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric()).any(|run| {
        let digits = run.strip_prefix("0x").unwrap_or(run);
        digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Talk of a seed phrase, and a dozen short plain words in a row after it.
fn has_seed_phrase(words: &[String]) -> bool {
    let named = words.iter().enumerate().find_map(|(at, word)| {
        let phrase = words.get(at + 1).is_some_and(|next| next == "phrase");
        (word == "mnemonic" || (phrase && matches!(word.as_str(), "seed" | "recovery" | "backup"))).then_some(at)
    });
    let Some(at) = named else { return false };
    let plain = |word: &String| (3..=8).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase());
    words.get(at + 1..).unwrap_or_default().windows(SEED_WORDS).any(|run| run.iter().all(plain))
}
