//! Valid files, spoiled at random: every one is answered, without a panic and without much memory.
//!
//! A few hundred cases in `make test`; `HEADWATER_FUZZ=100000 cargo test -p engine --lib files::fuzz` runs longer.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{copy, fixtures};
use crate::files::{AdapterFiles, ChatTemplate, ModelFiles};
use crate::kernels::counting::most_bytes;
use crate::{Message, Part, Role};

const CASES: u32 = 150;
/// What tokenizers, caches and the digest's buffers take whatever the file; and so many bytes for each of the file.
const BYTES_MAX: (usize, usize) = (24 << 20, 64);

fn check(seeds: &str, case: impl Fn(&mut Spoiler)) {
    let cases = std::env::var("HEADWATER_FUZZ").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&any::<u64>(), |seed| {
        case(&mut Spoiler(seed | 1));
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{seeds}: {error}"));
}

/// Fails where the work takes more memory than files of this size may.
fn bounded<T>(file_bytes: usize, work: impl FnOnce() -> T) {
    let (_, most) = most_bytes(work);
    assert!(most <= BYTES_MAX.0 + BYTES_MAX.1 * file_bytes, "{most} bytes for a file of {file_bytes}");
}

/// xorshift64
struct Spoiler(u64);

impl Spoiler {
    fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.number() % end.max(1) as u64).expect("fits")
    }

    /// One to eight changes, near the beginning three times out of four: there the headers are.
    fn spoil(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(8) {
            let end = if self.below(4) == 0 { bytes.len() } else { bytes.len().min(3000) };
            let at = self.below(end);
            match self.below(8) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at.min(bytes.len()), b"\"[]{},:0-9\0\xff"[self.below(12)]),
                2 => {
                    let length = self.below(40).min(bytes.len() - at);
                    bytes.drain(at..at + length);
                }
                3 => {
                    let length = self.below(200).min(bytes.len() - at);
                    let part = bytes[at..at + length].to_vec();
                    bytes.splice(at..at, part);
                }
                4 => {
                    let large = [0, 1, 31, 32, 255, 1 << 16, 1 << 31, 1 << 32, 1 << 40, u64::MAX / 2, u64::MAX][self.below(11)];
                    bytes.iter_mut().skip(at).zip(large.to_le_bytes()).for_each(|(to, from)| *to = from);
                }
                5 => {
                    let digits = ["0", "99999", "4294967296", "18446744073709551615", "-1", "1e400", "null", "true"][self.below(8)];
                    bytes.splice(at..at, digits.bytes());
                }
                _ => {
                    let bit = self.below(8);
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= 1 << bit;
                    }
                }
            }
        }
    }

    fn spoil_file(&mut self, path: &Path) {
        let mut bytes = fs::read(path).expect("file");
        self.spoil(&mut bytes);
        fs::write(path, bytes).expect("writes");
    }
}

fn bytes_of(directory: &Path) -> usize {
    let size = |entry: std::io::Result<fs::DirEntry>| usize::try_from(entry.expect("entry").metadata().expect("size").len()).expect("fits");
    directory.read_dir().expect("directory").map(size).sum()
}

#[test]
fn spoiled_gguf_files_are_answered() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("a.gguf");
    check("gguf", |spoiler| {
        let name = [
            "gguf/llama-linear.gguf",
            "gguf/smollm3.gguf",
            "tokenizers/pieces.gguf",
            "tokenizers/cuts.gguf",
            "gguf/phi3-longer.gguf",
            "gguf/mixtral.gguf",
        ][spoiler.below(6)];
        fs::copy(fixtures().join(name), &path).expect("copies");
        spoiler.spoil_file(&path);
        bounded(bytes_of(directory.path()), || ModelFiles::open(&path).map(drop));
    });
}

#[test]
fn spoiled_parts_are_answered() {
    check("parts", |spoiler| {
        let directory = copy(&fixtures().join("gguf/split"));
        let part = |number: usize| directory.path().join(format!("llama-linear-{number:05}-of-00003.gguf"));
        let (spoiled, named) = (part(1 + spoiler.below(3)), part(1 + spoiler.below(3)));
        spoiler.spoil_file(&spoiled);
        bounded(bytes_of(directory.path()), || ModelFiles::open(&named).map(drop));
    });
}

#[test]
fn spoiled_directories_are_answered() {
    let families = [
        "llama-linear",
        "mixtral",
        "phi3-longer",
        "qwen3-moe",
        "gemma3",
        "deepseek-v3",
        "phi3-long",
        "falcon-40b",
        "bloom",
        "chatglm",
        "smollm3",
    ];
    check("directory", |spoiler| {
        let directory = copy(&fixtures().join("decoders").join(families[spoiler.below(families.len())]));
        fs::remove_file(directory.path().join("expected.safetensors")).expect("removes");
        let file = ["config.json", "config.json", "model.safetensors", "tokenizer.json"][spoiler.below(4)];
        spoiler.spoil_file(&directory.path().join(file));
        let open = || ModelFiles::open(directory.path()).map(drop);
        // Where the tokenizer library panics, the panic's trace takes more memory than any file.
        if file == "tokenizer.json" { drop(open()) } else { bounded(bytes_of(directory.path()), open) }
    });
}

#[test]
fn spoiled_adapters_are_answered() {
    let base = ModelFiles::open(&fixtures().join("decoders/llama-yarn")).expect("opens").architecture;
    check("adapter", |spoiler| {
        let directory = copy(&fixtures().join("adapters").join(["llama-patterns", "llama-regex", "llama-layers"][spoiler.below(3)]));
        let file = ["adapter_config.json", "adapter_model.safetensors"][spoiler.below(2)];
        spoiler.spoil_file(&directory.path().join(file));
        bounded(bytes_of(directory.path()), || AdapterFiles::open(directory.path(), &base).map(drop));
    });
}

#[test]
fn spoiled_templates_are_answered() {
    const TEMPLATE: &str = "{{ bos_token }}{% set ns = namespace(seen=0) %}{% for message in messages %}{% if message.role == 'system' %}{{ raise_exception('no') }}{% elif message.content | trim %}\
        {% set ns.seen = ns.seen + loop.index0 * 3 %}{{ '<|' + message['role'] + '|>\\n' + message['content'].strip() ~ eos_token }}{% generation %}{{ message | tojson(indent=2) }}{% endgeneration %}\
        {% endif %}{% endfor %}{% macro m(a, b=[1, 2]) %}{{ a[:2] }}{{ b | join(', ') }}{% endmacro %}{{ m('xyz') }}{{ strftime_now('%Y') }}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";
    let part = |text: &str| Part::Text(text.to_owned());
    let messages = [
        Message { role: Role::System, parts: vec![part("Be brief.")] },
        Message { role: Role::User, parts: vec![part("Read "), Part::Source("a".to_owned()), part(" and say.")] },
    ];
    check("template", |spoiler| {
        let mut bytes = TEMPLATE.as_bytes().to_vec();
        spoiler.spoil(&mut bytes);
        let source = String::from_utf8_lossy(&bytes).into_owned();
        bounded(source.len(), || {
            if let Ok(template) = ChatTemplate::parse(&source, "<s>", "</s>") {
                let _ = template.render(&messages, true);
            }
        });
    });
}
