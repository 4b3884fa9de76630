//! Phrases that try to give orders to a model that reads the text.

/// A step of a pattern over a text's words.
enum Step {
    /// One of these words.
    Any(&'static [&'static str]),
    /// Up to so many words of any kind.
    Gap(usize),
}
use Step::{Any, Gap};

const NOUNS: &[&str] =
    &["instruction", "instructions", "prompt", "prompts", "rules", "directions", "directives", "context", "messages", "guidelines"];

/// Reviewed patterns. Words are folded (see [`crate::duplicates::words`]).
const PATTERNS: &[&[Step]] = &[
    &[
        Any(&["ignore", "disregard", "forget", "override", "bypass"]),
        Gap(4),
        Any(&["previous", "prior", "above", "earlier", "preceding", "foregoing", "system"]),
        Gap(1),
        Any(NOUNS),
    ],
    &[Any(&["ignore", "disregard", "forget"]), Any(&["all", "your", "any"]), Gap(1), Any(NOUNS)],
    &[Any(&["you"]), Any(&["are"]), Any(&["now"]), Any(&["a", "an", "the", "dan", "in", "no", "free", "unrestricted", "my", "jailbroken"])],
    &[Any(&["from"]), Any(&["now"]), Any(&["on"]), Any(&["you"]), Any(&["are", "will", "must"])],
    &[Any(&["the", "your", "this", "hidden", "original"]), Any(&["system"]), Any(&["prompt"])],
    &[
        Any(&["print", "reveal", "repeat", "show", "output", "leak"]),
        Gap(3),
        Any(&["system", "hidden", "initial"]),
        Any(&["prompt", "instructions", "message"]),
    ],
    &[
        Any(&["always", "only", "must"]),
        Gap(1),
        Any(&["cite", "quote", "credit", "attribute", "recommend"]),
        Any(&["this", "me", "us", "our", "my"]),
    ],
    &[
        Any(&["cite"]),
        Any(&["this"]),
        Any(&["document", "source", "page", "passage", "chunk", "text", "article"]),
        Gap(3),
        Any(&["first", "always", "only", "every", "any"]),
    ],
    &[
        Any(&["do", "must", "should", "never"]),
        Gap(1),
        Any(&["tell", "inform", "mention", "reveal"]),
        Gap(2),
        Any(&["the"]),
        Any(&["user", "users", "reader"]),
    ],
    &[Any(&["enable", "enter", "activate"]), Gap(1), Any(&["developer", "jailbreak", "dan", "god", "debug"]), Any(&["mode"])],
    &[Any(&["new", "updated", "real", "secret"]), Any(&["system", "admin"]), Any(&["instruction", "instructions", "message", "prompt"])],
    &[
        Any(&["act", "behave", "respond"]),
        Any(&["as"]),
        Any(&["if"]),
        Any(&["you"]),
        Any(&["are", "were", "have"]),
        Any(&["no", "an", "unrestricted"]),
    ],
];

/// Control marks of chat templates.
const MARKS: &[&str] = &[
    "<|im_start|>",
    "<|im_end|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|eot_id|>",
    "<|endoftext|>",
    "[inst]",
    "[/inst]",
    "<<sys>>",
    "</system>",
    "<start_of_turn>",
];

pub(super) fn injects(text: &str, words: &[String]) -> bool {
    let lower = text.to_lowercase();
    MARKS.iter().any(|mark| lower.contains(mark)) || PATTERNS.iter().any(|pattern| (0..words.len()).any(|at| matches(pattern, words, at)))
}

/// Whether `pattern` stands at word `at`. The set of places that each step can end at is kept, so that
/// gaps cost no backtracking.
fn matches(pattern: &[Step], words: &[String], at: usize) -> bool {
    let mut places = vec![at];
    for step in pattern {
        places = match step {
            Any(choices) => {
                let here = |place: &usize| words.get(*place).is_some_and(|word| choices.contains(&word.as_str()));
                places.into_iter().filter(here).map(|place| place + 1).collect()
            }
            Gap(most) => {
                let mut reached: Vec<usize> = places.into_iter().flat_map(|place| place..=place + most).collect();
                reached.dedup();
                reached
            }
        };
        if places.is_empty() {
            return false;
        }
    }
    true
}
