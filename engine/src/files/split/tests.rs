use std::fs;

use super::*;
use crate::files::ModelFiles;
use crate::files::inventory::{Shape, needs};
use crate::files::tests::{copy, fixtures};

#[test]
fn parts_are_told_by_their_names() {
    let split = Split::parse("a-b-00002-of-00003.gguf").expect("a part");
    assert_eq!((split.stem.as_str(), split.number, split.count), ("a-b", 2, 3));
    assert_eq!(split.names().collect::<Vec<_>>(), ["a-b-00001-of-00003.gguf", "a-b-00002-of-00003.gguf", "a-b-00003-of-00003.gguf"]);
    for other in
        ["a.gguf", "a-00001-of-00003.bin", "a-00004-of-00003.gguf", "a-00000-of-00003.gguf", "a-1-of-3.gguf", "-00001-of-00001.gguf"]
    {
        assert_eq!(Split::parse(other), None, "{other}");
    }
}

#[test]
fn parts_of_a_gguf_file_are_one_model() {
    let split = fixtures().join("gguf/split");
    let part = |number: usize| format!("llama-linear-{number:05}-of-00003.gguf");
    let whole = ModelFiles::open(&fixtures().join("gguf/llama-linear.gguf")).expect("opens");
    let mut digests = Vec::new();
    for number in 1..=3 {
        let found = ModelFiles::open(&split.join(part(number))).unwrap_or_else(|error| panic!("{number}: {error}"));
        assert_eq!((found.name.as_str(), &found.architecture), ("llama-linear", &whole.architecture));
        for (layer, role, shape) in needs(&whole.architecture) {
            if let Shape::Matrix { columns, inner } = shape {
                let matrix = |files: &ModelFiles| files.weights.matrix(layer, role, columns, inner).expect("matrix").bytes.into_owned();
                assert_eq!(matrix(&whole), matrix(&found));
            }
        }
        digests.push(found.sha256().expect("hashes"));
    }
    let whole = whole.sha256().expect("hashes");
    assert!(digests.iter().all(|digest| *digest == digests[0] && *digest != whole));
    let refused = |spoil: &dyn Fn(&Path), open: &str, complaint: &[&str]| {
        let directory = copy(&split);
        spoil(directory.path());
        let error = ModelFiles::open(&directory.path().join(open)).err().expect("refused").to_string();
        assert!(complaint.iter().all(|part| error.contains(part)), "{error}");
    };
    let rename = |from: &Path, to: &str| fs::rename(from, from.with_file_name(to)).expect("renames");
    refused(&|at| fs::remove_file(at.join(part(2))).expect("removes"), &part(1), &["part 1 of 3", &part(2)]);
    refused(
        &|at| [2, 3].iter().for_each(|number| fs::remove_file(at.join(part(*number))).expect("removes")),
        &part(1),
        &[&part(2), &part(3)],
    );
    refused(&|at| fs::remove_file(at.join(part(1))).expect("removes"), &part(1), &["is missing"]);
    refused(&|at| rename(&at.join(part(1)), "a.gguf"), "a.gguf", &["part 1 of 3", "its name that it is part 1 of 1"]);
    let swap = |at: &Path| {
        rename(&at.join(part(2)), "a");
        rename(&at.join(part(3)), &part(2));
        rename(&at.join("a"), &part(3));
    };
    refused(&swap, &part(1), &["00002-of-00003", "part 3 of 3", "part 2 of 3"]);
    refused(
        &|at| fs::copy(fixtures().join("gguf/llama-linear.gguf"), at.join(part(3))).map(drop).expect("copies"),
        &part(1),
        &["part 1 of 0"],
    );
    refused(&|at| rename(&at.join(part(1)), "a-00001-of-99999.gguf"), "a-00001-of-99999.gguf", &["99999 parts: 4096"]);
}
