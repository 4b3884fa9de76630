//! Against transformers.

use super::*;
use crate::files::ModelFiles;
use crate::{Isa, Precision};

/// A sentence where the largest difference is above 1e-4, and above 1e-5 of the number.
pub(super) fn far(found: &[f32], expected: &[f32], what: &str) -> Option<String> {
    assert_eq!(found.len(), expected.len(), "{what}");
    let excess = |(found, expected): (&f32, &f32)| (found - expected).abs() / (1e-5 * expected.abs()).max(1e-4);
    let worst = found.iter().zip(expected).map(excess).fold(0.0, f32::max);
    (worst > 1.0).then(|| format!("{what}: {worst} times the tolerance"))
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn largest(logits: &[f32]) -> u32 {
    let (token, _) =
        logits.iter().enumerate().fold((0, f32::NEG_INFINITY), |best, (token, logit)| if *logit > best.1 { (token, *logit) } else { best });
    token as u32
}

pub(super) fn greedy(decoder: &Decoder, prompt: &[u32], count: usize) -> Vec<u32> {
    let mut runner = Runner::new(decoder);
    let after = decoder.architecture().stretches_after().unwrap_or(usize::MAX);
    let mut sequence = Sequence { stretched: prompt.len() > after, ..runner.sequence(prompt.len() + count) };
    let (mut all, mut next) = (prompt.to_vec(), prompt.to_vec());
    for _ in 0..count {
        if all.len() > after && !sequence.stretched {
            (sequence, next) = (runner.sequence(prompt.len() + count), all.clone());
        }
        let hidden = runner.run(&mut [(&mut sequence, &next)]);
        let width = decoder.architecture().width;
        next = vec![largest(&decoder.logits(&hidden[hidden.len() - width..], 1))];
        all.extend(&next);
    }
    all.split_off(prompt.len())
}

/// The first thing that differs.
fn difference(fixture: &Fixture, isa: Isa) -> Option<String> {
    let what = format!("{} on {isa}", fixture.family);
    let decoder = fixture.decoder(Precision::F32, Some(isa));
    let prompt = fixture.ids("tokens");
    decoder.buffers.lock().expect("buffers").trace = Some(Vec::new());
    let hidden = Runner::new(&decoder).chunked(None, &prompt, &[prompt.len()]);
    let layers = decoder.buffers.lock().expect("buffers").trace.take().expect("a trace");
    let last = layers.len() - 1;
    let expected = |layer: usize| fixture.numbers(&format!("hidden.{layer}")).expect("hidden states of every layer");
    let mut before = layers.iter().enumerate().take(last);
    if let Some(far) = before.find_map(|(layer, found)| far(found, &expected(layer), &format!("{what}, after layer {layer}"))) {
        return Some(far);
    }
    let logits = decoder.logits(&hidden, prompt.len());
    let logits = far(&logits, &fixture.numbers("logits").expect("logits"), &format!("{what}, logits"));
    if let Some(far) = far(&hidden, &expected(last), &format!("{what}, normed")).or(logits) {
        return Some(far);
    }
    let margins = fixture.numbers("margin").expect("margins");
    assert!(margins.iter().all(|margin| *margin > 0.01), "{what}: tokens that nearly tie prove nothing");
    let expected = fixture.ids("greedy");
    let found = greedy(&decoder, &prompt, expected.len());
    (found != expected).then(|| format!("{what}: {found:?} for {expected:?}"))
}

fn each(precision_check: impl Fn(&Fixture, Isa) -> Option<String>) {
    let fixtures = families().into_iter().map(|family| Fixture::open(&family));
    let isas: Vec<Isa> = Isa::ALL.into_iter().filter(|isa| isa.is_available()).collect();
    let differences = fixtures.flat_map(|fixture| isas.iter().filter_map(|isa| precision_check(&fixture, *isa)).collect::<Vec<_>>());
    assert_eq!(differences.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn every_family_computes_what_transformers_computes() {
    each(difference);
}

#[test]
fn bf16_is_near() {
    each(|fixture, isa| {
        let prompt = fixture.ids("tokens");
        let decoder = fixture.decoder(Precision::Bf16, Some(isa));
        let hidden = Runner::new(&decoder).chunked(None, &prompt, &[7]);
        let cosine = cosine(&decoder.logits(&hidden, prompt.len()), &fixture.numbers("logits").expect("logits"));
        (cosine < 0.999).then(|| format!("{} on {isa}: {cosine}", fixture.family))
    });
}

/// What a GGUF file cannot say of these: an unusual scale, an unusual choice of layers, two weights of YaRN.
const UNSAID: [&str; 4] = ["gemma2", "gemma3", "smollm3", "deepseek-v3"];

#[test]
fn a_gguf_file_computes_what_its_directory_computes() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/gguf");
    let mut differences = Vec::new();
    let mut compared = 0;
    for family in families().into_iter().filter(|family| !UNSAID.contains(&family.as_str())) {
        let path = folder.join(&family).with_extension("gguf");
        if !path.exists() {
            continue;
        }
        let files = ModelFiles::open(&path).unwrap_or_else(|error| panic!("{family}: {error}"));
        let decoder = Decoder::load(&files, &DecoderOptions::default()).unwrap_or_else(|error| panic!("{family}: {error}"));
        let directory = Fixture::open(&family).decoder(Precision::F32, None);
        let tokens = tokens(40, decoder.architecture().vocabulary, 1);
        let [found, expected] = [&decoder, &directory].map(|decoder| Runner::new(decoder).chunked(None, &tokens, &[tokens.len()]));
        differences.extend(far(&found, &expected, &family));
        compared += 1;
    }
    assert_eq!(differences, Vec::<String>::new());
    assert!(compared > 10, "files of many families");
}
