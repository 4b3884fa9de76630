//! Each thing that can be wrong with a model's files is told by its own name, with what to do about that.

use super::*;

const POINTER: &str =
    "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";

/// What opening the folder says after `change`.
fn says(change: impl Fn(&Path)) -> String {
    let directory = llama();
    change(directory.path());
    let error = refused(&directory).to_string();
    assert!(!error.contains("headwater models pull"), "nothing pulls a folder that somebody put there: {error}");
    error
}

fn check(error: &str, words: &[&str]) {
    assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {error}");
}

fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    fs::write(path, bytes).expect("writes");
}

fn remove(path: &Path) {
    fs::remove_file(path).expect("removes");
}

#[test]
fn a_git_lfs_pointer_is_called_so() {
    for file in ["model.safetensors", "tokenizer.json", "config.json"] {
        check(&says(|folder| write(&folder.join(file), POINTER)), &[file, "Git LFS pointer", "git lfs pull"]);
    }
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("model.gguf");
    write(&path, POINTER);
    check(&ModelFiles::open(&path).err().expect("refused").to_string(), &["git lfs pull"]);
}

#[test]
fn a_file_that_was_not_downloaded_whole_is_called_so() {
    let halve = |file: &'static str| {
        move |folder: &Path| {
            let bytes = fs::read(folder.join(file)).expect("file");
            write(&folder.join(file), &bytes[..bytes.len() / 2]);
        }
    };
    check(&says(halve("model.safetensors")), &["model.safetensors", "ends early", "download it again"]);
    check(&says(|folder| write(&folder.join("model.safetensors"), "")), &["is empty", "download it again"]);
    check(&says(|folder| write(&folder.join("model.safetensors"), "<!DOCTYPE html><html>")), &["web page"]);
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("model.gguf");
    let bytes = fs::read(fixtures().join("gguf/llama3.gguf")).expect("fixture");
    write(&path, &bytes[..bytes.len() - 100]);
    check(&ModelFiles::open(&path).err().expect("refused").to_string(), &["ends early", "download it again"]);
}

#[test]
fn weights_in_another_form_are_named() {
    let pickled = |folder: &Path| fs::rename(folder.join("model.safetensors"), folder.join("pytorch_model.bin")).expect("renames");
    check(&says(pickled), &["pytorch_model.bin", "PyTorch", "save_pretrained"]);
    check(&says(|folder| write(&folder.join("model.safetensors"), b"PK\x03\x04")), &["PyTorch", "save_pretrained"]);
    let shards =
        |folder: &Path| fs::rename(folder.join("model.safetensors"), folder.join("model-00001-of-00002.safetensors")).expect("renames");
    check(&says(shards), &["model-00001-of-00002.safetensors", "model.safetensors.index.json", "copy that file"]);
    let gguf = |folder: &Path| {
        remove(&folder.join("model.safetensors"));
        ["b.gguf", "a.gguf"].iter().for_each(|name| write(&folder.join(name), "GGUF"));
    };
    check(&says(gguf), &["GGUF", "name the one that is meant", "a.gguf, b.gguf"]);
    let renamed = |folder: &Path| remove(&folder.join("model.safetensors"));
    check(&says(renamed), &["model.safetensors is missing", "in expected.safetensors, give it this name"]);
    let nothing = |folder: &Path| ["model.safetensors", "expected.safetensors"].iter().for_each(|name| remove(&folder.join(name)));
    check(&says(nothing), &["model.safetensors is missing", "copy the weights"]);
}

#[test]
fn a_folder_without_configuration_says_what_it_is() {
    check(&says(|folder| remove(&folder.join("config.json"))), &["config.json is missing", "copy all files"]);
    let gguf = |folder: &Path| {
        remove(&folder.join("config.json"));
        (0..7).for_each(|index| write(&folder.join(format!("q{index}.gguf")), "GGUF"));
    };
    check(&says(gguf), &["q0.gguf, q1.gguf, q2.gguf, q3.gguf, q4.gguf and 2 more"]);
    let adapter = |folder: &Path| fs::rename(folder.join("config.json"), folder.join("adapter_config.json")).expect("renames");
    check(&says(adapter), &["adapter", "base model"]);
    let folder = llama();
    let one = folder.path().join("model.safetensors");
    check(&ModelFiles::open(&one).err().expect("refused").to_string(), &["name the folder"]);
    check(&ModelFiles::open(Path::new("no/such/model")).err().expect("refused").to_string(), &["nothing of that name"]);
}

#[test]
fn shards_that_are_missing_are_counted_and_named() {
    let index = json!({"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-3.safetensors"});
    let error = says(|folder| {
        write(&folder.join("model-2.safetensors"), "x");
        write(&folder.join("model.safetensors.index.json"), json!({ "weight_map": index }).to_string());
    });
    check(&error, &["of the 3 files", "2 are missing: model-1.safetensors, model-3.safetensors"]);
}

#[test]
fn a_missing_head_or_embedding_says_what_would_mend_it() {
    let without = |dropped: &str| {
        let directory = llama();
        spoil(&directory, |name, _, _| name != dropped);
        refused(&directory).to_string()
    };
    check(&without("lm_head.weight"), &["Head is missing", "lm_head.weight", "tie_word_embeddings: true", "AutoModelForCausalLM"]);
    check(&without("model.embed_tokens.weight"), &["no embeddings", "family llama", "embed_tokens.weight", "lm_head.weight"]);
}
