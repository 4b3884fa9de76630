//! How byte-level vocabularies cut texts before anything merges: the ways that llama.cpp has names for.
//!
//! What the models' own `tokenizer.json` says is the reference; llama.cpp says the same in other words. A name that is not
//! in the table is refused: a text that is cut otherwise becomes tokens that the model was not trained on.

use serde_json::{Value, json};

/// Letters of several scripts that DeepSeek's first tokenizer keeps together. By their numbers: some are letters that editors
/// replace where they normalise.
const LETTERS: &str = concat!(
    r"\s?[A-Za-z\u{b5}\u{c0}-\u{d6}\u{d8}-\u{f6}\u{f8}-\u{1ba}\u{1bc}-\u{1bf}\u{1c4}-\u{293}\u{295}-\u{2af}\u{370}-\u{373}",
    r"\u{376}\u{377}\u{37b}-\u{37d}\u{37f}\u{386}\u{388}-\u{38a}\u{38c}\u{38e}-\u{3a1}\u{3a3}-\u{3f5}\u{3f7}-\u{481}",
    r"\u{48a}-\u{52f}\u{531}-\u{556}\u{10a0}-\u{10c5}\u{13a0}-\u{13f5}\u{13f8}-\u{13fd}\u{1c90}-\u{1cba}\u{1cbd}-\u{1cbf}",
    r"\u{1d00}-\u{1d2b}\u{1d6b}-\u{1d77}\u{1d79}-\u{1d9a}\u{1e00}-\u{1f15}\u{1f18}-\u{1f1d}\u{1f20}-\u{1f45}\u{1f48}-\u{1f4d}",
    r"\u{1f50}-\u{1f57}\u{1f59}\u{1f5b}\u{1f5d}\u{1f5f}-\u{1f7d}\u{1f80}-\u{1fb4}\u{1fb6}-\u{1fbc}\u{1fbe}\u{1fc2}-\u{1fc4}",
    r"\u{1fc6}-\u{1fcc}\u{1fd0}-\u{1fd3}\u{1fd6}-\u{1fdb}\u{1fe0}-\u{1fec}\u{1ff2}-\u{1ff4}\u{1ff6}-\u{1ffc}\u{2102}",
    r"\u{2107}\u{210a}-\u{2113}\u{2115}\u{2119}-\u{211d}\u{2124}\u{2126}\u{2128}\u{212a}-\u{212d}\u{212f}-\u{2134}",
    r"\u{2139}\u{213c}-\u{213f}\u{2145}-\u{2149}\u{214e}\u{2183}\u{2184}\u{2c00}-\u{2c7b}\u{2c7e}-\u{2ce4}\u{2ceb}-\u{2cee}",
    r"\u{2cf2}\u{2cf3}\u{a640}-\u{a66d}\u{a680}-\u{a69b}\u{a722}-\u{a76f}\u{a771}-\u{a787}\u{a78b}-\u{a78e}\u{ab70}-\u{abbf}",
    r"\u{fb00}-\u{fb06}\u{fb13}-\u{fb17}\u{ff21}-\u{ff3a}\u{ff41}-\u{ff5a}\u{10400}-\u{1044f}\u{104b0}-\u{104d3}\u{104d8}-\u{104fb}",
    r"\u{10c80}-\u{10cb2}\u{10cc0}-\u{10cf2}\u{118a0}-\u{118df}\u{1e900}-\u{1e943}]+",
);
const PUNCTUATION: &str = r"\s?[!-/:-~！-／：-～‘-‟　-。]+";
const EAST_ASIAN: &str = "[一-龥ࠀ-一가-퟿]+";
const DIGIT: &str = r"\p{N}";
/// GPT-2's.
const WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA_3: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN_2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEEPSEEK_3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT_4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const SEED_CODER: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";
const BLOOM: &str = r" ?[^(\s|[.,!?…。，、।۔،])]+";

#[derive(Debug, Clone, Copy)]
pub(super) struct Cuts {
    names: &'static [&'static str],
    /// Expressions: at every match of each in turn, within the pieces of those before it.
    at: &'static [&'static str],
    /// A piece that is a token is taken whole, however its merges go.
    pub(super) whole_tokens: bool,
    /// Text is normalised to NFC. llama.cpp leaves that out.
    pub(super) composes: bool,
    /// A text begins with the beginning token, where the file does not say.
    pub(super) begins: bool,
}

impl Cuts {
    const fn plain(names: &'static [&'static str], at: &'static [&'static str]) -> Self {
        Self { names, at, whole_tokens: false, composes: false, begins: false }
    }

    const fn whole(self) -> Self {
        Self { whole_tokens: true, ..self }
    }

    const fn composed(self) -> Self {
        Self { composes: true, ..self }
    }

    const fn beginning(self) -> Self {
        Self { begins: true, ..self }
    }

    /// # Errors
    /// A sentence, where there is no such way.
    pub(super) fn find(name: &str) -> Result<Self, String> {
        let known = TABLE.iter().find(|cuts| cuts.names.contains(&name)).copied();
        known.ok_or_else(|| {
            let other: String = name.chars().take(40).collect();
            format!("tokenizer.ggml.pre is {other:?}, a way to cut texts that is not known")
        })
    }

    /// As a `tokenizer.json` says it: what is cut becomes characters that stand for bytes.
    pub(super) fn described(&self) -> Value {
        let split = |regex| json!({ "type": "Split", "pattern": { "Regex": regex }, "behavior": "Isolated", "invert": false });
        let mut parts: Vec<Value> = self.at.iter().map(split).collect();
        parts.push(json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false }));
        json!({ "type": "Sequence", "pretokenizers": parts })
    }

    #[cfg(test)]
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        TABLE.iter().flat_map(|cuts| cuts.names).copied()
    }
}

/// Where the file names none, as llama.cpp does: its files are from before names.
pub(super) const UNNAMED: &str = "default";

const TABLE: &[Cuts] = &[
    Cuts::plain(&[UNNAMED], &[r"[\p{P}$+<=>^~|]+", WORDS, r"\p{N}+", "[0-9][0-9][0-9]"]),
    Cuts::plain(&["falcon"], &[r"[\p{P}$+<=>^~|`]+", WORDS, "[0-9][0-9][0-9]"]),
    Cuts::plain(&["gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "mellum", "a.x-4.0", "exaone4"], &[WORDS]),
    Cuts::plain(&["smollm", "starcoder", "refact", "codeshell", "exaone", "minerva-7b", "mellum2"], &[DIGIT, WORDS]),
    Cuts::plain(&["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"], &[LLAMA_3])
        .whole()
        .beginning(),
    Cuts::plain(&["glm4", "glm5"], &[LLAMA_3]).whole(),
    Cuts::plain(&["chatglm-bpe", "smaug-bpe", "dbrx"], &[LLAMA_3]),
    Cuts::plain(&["qwen2", "deepseek-r1-qwen", "megrez"], &[QWEN_2]).composed(),
    Cuts::plain(&["gpt-4o", "llama4", "kanana2"], &[GPT_4O]),
    Cuts::plain(&["tekken"], &[TEKKEN]).whole().beginning(),
    Cuts::plain(&["seed-coder"], &[SEED_CODER]),
    Cuts::plain(&["deepseek-llm"], &["[\r\n]", LETTERS, PUNCTUATION, r"\s+$", EAST_ASIAN, r"\p{N}+"]),
    Cuts::plain(&["deepseek-coder"], &["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", EAST_ASIAN, DIGIT]),
    Cuts::plain(&["deepseek-v3", "hunyuan-dense", "joyai-llm"], &[r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK_3]),
    Cuts::plain(&["bloom", "poro-chat", "gpt3-finnish"], &[BLOOM]),
    Cuts::plain(&["viking"], &[BLOOM, DIGIT]),
];

#[cfg(test)]
mod tests;
