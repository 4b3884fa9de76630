//! A model on this machine answers: a tiny decoder with random weights, whose words mean nothing and whose receipts hold.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::generated::{Asker, publish, words};
use crate::harness::Place;

/// A decoder of the engine's fixtures, with a window that the sources of an answer fit into: its rotary positions have no end.
fn model(place: &Place) -> anyhow::Result<String> {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/decoders/llama-yarn");
    let folder = place.path("tiny-llama");
    fs::create_dir(&folder)?;
    for file in ["model.safetensors", "tokenizer.json"] {
        fs::copy(fixture.join(file), folder.join(file)).context(file)?;
    }
    let mut config: Value = serde_json::from_str(&fs::read_to_string(fixture.join("config.json"))?)?;
    config["max_position_embeddings"] = json!(8192);
    fs::write(folder.join("config.json"), config.to_string())?;
    folder.to_str().map(str::to_owned).context("the path is not text")
}

#[test]
fn a_model_here_answers() -> anyhow::Result<()> {
    let place = Place::new()?;
    let model = model(&place)?;
    inspected_and_measured(&place, &model)?;
    let adapter = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/adapters/llama-attention");
    let settings = [
        format!("generator.model={model}"),
        format!("generator.adapters.attentive={adapter}"),
        "generator.precision=f32".into(),
        "generator.tokens_max=24".into(),
        "attribution.method=likelihood".into(),
    ];
    let service = place.up_with(&settings)?;
    publish(&place)?;
    let asker = Asker::new(&place, &service)?;
    answers_and_proves(&place, &asker, &settings[..4])?;
    chooses_as_told(&asker)?;
    answers_with_an_adapter(&place, &asker)?;
    ensure!(service.lives()?, "the service ended by itself");
    Ok(())
}

fn inspected_and_measured(place: &Place, model: &str) -> anyhow::Result<()> {
    let told = place.json(&["models", "inspect", model])?;
    ensure!(told["family"] == "llama" && told["layers"] == 2 && told["window_tokens"] == 8192 && told["has_template"] == false, "{told:#}");
    ensure!(
        told["sha256"].as_str().is_some_and(|sha256| sha256.len() == 64) && told["memory_bytes"].as_u64() > told["weight_bytes"].as_u64(),
        "{told:#}"
    );
    let told = place.json(&["models", "bench", model, "--prompt-tokens", "64", "--answer-tokens", "4", "--batches", "1,2"])?;
    let rows = told["rows"].as_array().context("rows")?;
    ensure!(rows.len() == 2 && rows[1]["batch"] == 2 && rows[1]["prompt_tokens"].as_u64() > Some(64), "{told:#}");
    let empty = place.path("empty");
    fs::create_dir(&empty)?;
    let empty = empty.to_str().context("the path is not text")?;
    place.run(&["models", "inspect", empty])?.failed_with(&["config.json"])?;
    place.run(&["--set", &format!("generator.model={empty}"), "up"])?.failed_with(&["config.json"])?;
    let adapter = concat!("generator.adapters.other=", env!("CARGO_MANIFEST_DIR"), "/fixtures/adapters/falcon-fused");
    place.run(&["--set", &format!("generator.model={model}"), "--set", adapter, "up"])?.failed_with(&["generator.adapters.other"])
}

fn answers_and_proves(place: &Place, asker: &Asker, settings: &[String]) -> anyhow::Result<()> {
    let (status, reply) = asker.ask(&json!({ "logprobs": true, "top_logprobs": 2 }))?;
    ensure!(status == 200, "{status} {reply:#}");
    let text = reply["choices"][0]["message"]["content"].as_str().context("a text")?;
    let generation = &reply["attribution"]["receipt"]["body"]["generation"];
    ensure!(generation["generator_sha256"].as_str().is_some_and(|sha256| sha256.len() == 64), "{reply:#}");
    ensure!(generation["tokens_hash"].is_string() && generation["prompt"] == "headwater.prompt/1", "{generation:#}");
    ensure!(reply["usage"]["prompt_tokens"].as_u64() > Some(100) && reply["model"] == "tiny-llama", "{reply:#}");
    let tokens = reply["choices"][0]["logprobs"]["content"].as_array().context("probabilities")?;
    let likeliest = tokens
        .iter()
        .all(|token| token["top_logprobs"].as_array().is_some_and(|top| top.len() == 2 && top[0]["logprob"] == token["logprob"]));
    ensure!(!tokens.is_empty() && likeliest, "{tokens:#?}");
    // greedy words do not depend on how they are sent
    let events = asker.stream(&json!({ "stream": true }), "streamed")?;
    ensure!(words(&events)? == text, "{text:?} {events:#?}");
    ensure!(events.len() > 4, "it came at once: {events:#?}");
    for id in [&reply["attribution"]["receipt_id"], &receipt_of(&events)?] {
        let checked = place.json(&["verify", id.as_str().context("a receipt")?])?;
        ensure!(checked["failed"] == false && checked["checks"].to_string().contains("computed again"), "{checked}");
    }
    // how likely it was comes out again where the same model runs, and nowhere else
    let body = &reply["attribution"]["receipt"]["body"];
    ensure!(body["method"] == "likelihood/1" && body["likelihood"]["table"].as_array().is_some_and(|table| table.len() > 1), "{body:#}");
    ensure!(reply["attribution"]["values"][0]["micronats"].is_i64(), "{reply:#}");
    let id = reply["attribution"]["receipt_id"].as_str().context("a receipt")?;
    let set = settings.iter().flat_map(|setting| ["--set", setting]);
    let again: Vec<&str> = set.chain(["verify", id, "--reexecute"]).collect();
    let checked = place.json(&again)?;
    ensure!(checked["checks"].to_string().contains("nothing differs"), "{checked}");
    place.run(&["verify", id, "--reexecute"])?.failed_with(&["re-execute it with that one"])?;
    Ok(())
}

fn receipt_of(events: &[String]) -> anyhow::Result<Value> {
    let last = events.iter().find(|data| data.contains("\"attribution\"")).context("no attribution")?;
    Ok(serde_json::from_str::<Value>(last)?["attribution"]["receipt_id"].clone())
}

fn answers_with_an_adapter(place: &Place, asker: &Asker) -> anyhow::Result<()> {
    let text = |reply: &Value| reply["choices"][0]["message"]["content"].as_str().map(str::to_owned).context("a text");
    let (status, adapted) = asker.ask(&json!({ "model": "datanet:cold::attentive" }))?;
    ensure!(status == 200 && adapted["model"] == "tiny-llama::attentive", "{status} {adapted:#}");
    ensure!(text(&adapted)? != text(&asker.ask(&json!({}))?.1)?, "it changes what is said: {adapted:#}");
    let used = &adapted["attribution"]["receipt"]["body"]["generation"]["adapter"];
    ensure!(used["name"] == "attentive" && used["sha256"].as_str().is_some_and(|sha256| sha256.len() == 64), "{used}");
    let told = place.json(&["ask", "--datanet", "cold", "--adapter", "attentive", crate::generated::QUESTION])?;
    ensure!(text(&told)? == text(&adapted)?, "{told:#}");
    let (status, reply) = asker.ask(&json!({ "model": "datanet:cold::absent" }))?;
    ensure!(status == 404 && reply["error"]["code"] == "model_not_found", "{status} {reply}");
    Ok(())
}

fn chooses_as_told(asker: &Asker) -> anyhow::Result<()> {
    let said = |fields: Value| -> anyhow::Result<String> {
        let (status, reply) = asker.ask(&fields)?;
        ensure!(status == 200, "{fields}: {status} {reply:#}");
        reply["choices"][0]["message"]["content"].as_str().map(str::to_owned).context("a text")
    };
    let warm = |seed: u32| said(json!({ "temperature": 1.5, "seed": seed }));
    ensure!(warm(1)? == warm(1)? && warm(1)? != warm(2)?, "a seed decides");
    let schema =
        json!({ "type": "object", "properties": { "cold": { "type": "boolean" } }, "required": ["cold"], "additionalProperties": false });
    let form = json!({ "type": "json_schema", "json_schema": { "name": "x", "schema": schema } });
    let text = said(json!({ "response_format": form }))?;
    let value: Value = serde_json::from_str(&text).with_context(|| format!("not JSON: {text:?}"))?;
    ensure!(value["cold"].is_boolean(), "{text:?}");
    let (status, reply) = asker.ask(&json!({ "max_tokens": 2 }))?;
    ensure!(status == 200 && reply["choices"][0]["finish_reason"] == "length" && reply["usage"]["completion_tokens"] == 2, "{reply:#}");
    let (status, reply) = asker.ask(&json!({ "max_tokens": 25 }))?;
    ensure!(status == 400 && reply["error"]["param"] == "max_tokens", "{status} {reply:#}");
    let bad = json!({ "type": "json_schema", "json_schema": { "name": "x", "schema": { "type": "nonsense" } } });
    let (status, reply) = asker.ask(&json!({ "response_format": bad }))?;
    ensure!(status == 400, "{status} {reply:#}");
    Ok(())
}
