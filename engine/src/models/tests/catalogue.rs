//! The catalogue, and what `inspect` makes of files on disk.

use super::*;

#[test]
fn an_unknown_name_is_answered_with_the_known_ones() {
    let error = find("all-MiniLM-L12").expect_err("not in the catalogue");
    assert!(matches!(error, EngineError::UnknownModel { .. }), "{error:?}");
    assert!(error.to_string().contains("all-MiniLM-L6-v2"), "{error}");
    assert_eq!(find("all-MiniLM-L6-v2").expect("known").bytes(), 91_335_235);
}

#[test]
fn the_catalogue_is_well_formed() {
    for spec in catalogue() {
        assert_eq!(model_dir(Path::new("/m"), spec.name).parent(), Some(Path::new("/m")), "{}", spec.name);
        assert!(spec.pypi.prefix.ends_with('/'));
        for sha256 in spec.files.iter().map(|file| file.sha256).chain([spec.pypi.wheel_sha256]) {
            assert!(sha256.len() == 64 && sha256.bytes().all(|b| b"0123456789abcdef".contains(&b)), "{sha256}");
        }
        for file in spec.files {
            assert!(!file.path.starts_with('/') && !file.path.contains(".."), "{}", file.path);
        }
    }
}

#[test]
fn inspect_tells_missing_incomplete_corrupt_and_ready_apart() {
    let bench = Bench::new();
    assert_eq!(bench.state(), ModelState::Missing);
    bench.put("config.json", CONFIG);
    assert_eq!(bench.state(), ModelState::Incomplete { missing: vec!["model.safetensors"] });
    bench.put("model.safetensors", &bench.weights[..1000]);
    let (expected, found) = ("300000 bytes".to_owned(), "1000 bytes".to_owned());
    assert_eq!(bench.state(), ModelState::Corrupt { file: "model.safetensors", expected, found });
    let mut flipped = bench.weights.clone();
    flipped[123_456] ^= 1;
    bench.put("model.safetensors", &flipped);
    assert!(matches!(bench.state(), ModelState::Corrupt { file: "model.safetensors", .. }));
    bench.put("model.safetensors", &bench.weights);
    assert_eq!(bench.state(), ModelState::Ready);
}

#[test]
fn a_file_is_read_only_once_it_is_known_to_be_the_pinned_one() {
    let bench = Bench::new();
    let dir = bench.path("");
    let read = || read_verified(&dir, &bench.spec, "config.json");
    assert!(matches!(read(), Err(EngineError::MissingModel { .. })));
    bench.put("config.json", b"{\"layers\": 7}");
    assert!(matches!(read(), Err(EngineError::CorruptModel { .. })));
    bench.put("config.json", b"");
    assert!(matches!(read(), Err(EngineError::CorruptModel { .. })));
    bench.put("config.json", CONFIG);
    assert_eq!(read().expect("sound"), CONFIG);
}
