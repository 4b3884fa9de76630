//! Answers that a model writes, on the real binary: whole and streamed, paid for and proven, refused and broken off.

use std::fs;
use std::io::Read;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::harness::{Place, RawReply, Service, begin, exchange, post, wait_for};
use crate::openai::{Mood, OpenAi};

pub(crate) const QUESTION: &str = "At what temperature should most vaccines be stored in a refrigerator?";
const TEXTS: [(&str, &str); 2] = [
    (
        "ada",
        "# Vaccines\n\nMost vaccines are stored in a refrigerator at a temperature between 2 °C and 8 °C. The usual set point is 5 °C, which leaves the same margin on both sides.\n",
    ),
    (
        "bruno",
        "# Dry ice\n\nDry ice is solid carbon dioxide and turns to gas at -78.5 °C. A package with dry ice must let the gas escape, because a sealed container would burst under its pressure.\n",
    ),
];
const SAID: [&str; 4] =
    ["Most vaccines are stored in a refrigerator ", "at a temperature between 2 °C and 8 °C [1", "][7]. Penguins", " agree [9]."];
const TEXT: &str = "Most vaccines are stored in a refrigerator at a temperature between 2 °C and 8 °C [1]. Penguins agree.";

#[test]
fn a_model_elsewhere_answers() -> anyhow::Result<()> {
    let place = Place::new()?;
    let model = OpenAi::start(Mood::Says(SAID.to_vec()))?;
    let settings = [format!("generator.model={}", model.url), "generator.remote_model=big".to_owned()];
    let service = place.up_with(&settings)?;
    publish(&place)?;
    let asker = Asker::new(&place, &service)?;
    let receipt = answers_whole(&place, &asker, &model)?;
    answers_streamed(&asker, &receipt)?;
    wrong_requests_are_named(&asker)?;
    failures_cost_nothing(&place, &asker, &model)?;
    a_client_that_hangs_up_ends_the_generation(&place, &asker, &model)?;
    a_payer_that_hangs_up_pays(&place, &service, &model)?;
    asked_by_command(&place, &model)?;
    metrics(&asker)?;
    ensure!(service.lives()?, "the service ended by itself");
    Ok(())
}

/// Two contributors, one published version, its root final on the chain.
pub(crate) fn publish(place: &Place) -> anyhow::Result<()> {
    for name in ["ada", "bruno", "iris"] {
        place.json(&["keys", "new", name])?;
    }
    let topic = "Vaccines, refrigerators, dry ice";
    place.json(&["datanets", "create", "--name", "cold", "--title", "Cold chain", "--topic", topic, "--curator", "iris"])?;
    for (name, text) in TEXTS {
        let path = place.path(&format!("{name}.md"));
        fs::write(&path, text)?;
        let path = path.to_str().context("the path is not text")?;
        place.json(&["submit", "--datanet", "cold", "--as", name, "--licence", "CC-BY-4.0", path])?;
    }
    place.json(&["review", "accept", "--datanet", "cold", "--as", "iris", "ada.md", "bruno.md"])?;
    place.json(&["publish", "--datanet", "cold", "--as", "iris"])?;
    let versions = || place.json(&["datanets", "versions", "cold"]);
    wait_for("the version to be final", || Ok(Some(()).filter(|()| versions().is_ok_and(|rows| rows[0]["anchor"] == "final"))))
}

/// Asks with the operator's key.
pub(crate) struct Asker {
    address: String,
    bearer: String,
}

impl Asker {
    pub(crate) fn new(place: &Place, service: &Service) -> anyhow::Result<Self> {
        Self::with_key(place, service, "operator.apikey")
    }

    fn with_key(place: &Place, service: &Service, file: &str) -> anyhow::Result<Self> {
        let key = fs::read_to_string(place.data_dir().join(file))?;
        Ok(Self { address: service.address().to_owned(), bearer: format!("Bearer {}", key.trim()) })
    }

    fn body(fields: &Value) -> anyhow::Result<Value> {
        let mut body = json!({ "model": "datanet:cold", "messages": [{ "role": "user", "content": QUESTION }] });
        let fields = fields.as_object().context("fields")?.clone();
        body.as_object_mut().context("a body")?.extend(fields);
        Ok(body)
    }

    pub(crate) fn ask(&self, fields: &Value) -> anyhow::Result<(u16, Value)> {
        post(&self.address, "/v1/chat/completions", &[("authorization", &self.bearer)], &Self::body(fields)?)
    }

    fn raw(&self, fields: &Value, id: &str) -> anyhow::Result<RawReply> {
        let headers = [("authorization", self.bearer.as_str()), ("idempotency-key", id)];
        exchange(&begin(&self.address, "/v1/chat/completions", &headers, &Self::body(fields)?)?)
    }

    /// The data of a stream's events.
    pub(crate) fn stream(&self, fields: &Value, id: &str) -> anyhow::Result<Vec<String>> {
        let reply = self.raw(fields, id)?;
        ensure!(reply.status == 200 && reply.head.contains("content-type: text/event-stream"), "{reply:?}");
        Ok(reply.body.lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect())
    }
}

/// The words of a stream's chunks.
pub(crate) fn words(events: &[String]) -> anyhow::Result<String> {
    let chunks = events.iter().filter(|data| *data != "[DONE]").map(|data| serde_json::from_str::<Value>(data).context("a chunk"));
    let words = chunks.map(|chunk| Ok(chunk?["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned()));
    words.collect()
}

/// The receipt's id.
fn answers_whole(place: &Place, asker: &Asker, model: &OpenAi) -> anyhow::Result<String> {
    let fields = json!({ "temperature": 0.5, "seed": -7, "max_tokens": 40, "stop": ["\n\n"] });
    let (status, reply) = asker.ask(&fields)?;
    let attribution = &reply["attribution"];
    ensure!(status == 200 && reply["choices"][0]["message"]["content"] == TEXT, "{status} {reply:#}");
    ensure!(reply["model"] == "big" && reply["choices"][0]["finish_reason"] == "stop", "{reply:#}");
    ensure!(reply["choices"][0]["message"].get("refusal") == Some(&Value::Null), "OpenAI's clients expect it: {reply:#}");
    ensure!(reply["usage"] == json!({ "prompt_tokens": 200, "completion_tokens": 4, "total_tokens": 204 }), "{reply:#}");
    ensure!(attribution["invalid_citations"] == 2 && attribution["citations"][0]["file_name"] == "ada.md", "{attribution:#}");
    let unattributed = attribution["unattributed_ppm"].as_u64().context("unattributed")?;
    ensure!(
        (1..500_000).contains(&unattributed) && attribution["contributors"][0]["share_ppm"] == 1_000_000 - unattributed,
        "{attribution:#}"
    );
    // the sources are numbered data, after the instruction
    let asked = model.last_asked()?;
    let content = asked["messages"][1]["content"].as_str().context("a user's message")?;
    ensure!(content.starts_with("Sources:\n\n[1] ") && content.ends_with(&format!("Question: {QUESTION}")), "{asked:#}");
    ensure!(asked["model"] == "big" && asked["max_tokens"] == 40 && asked["temperature"] == 0.5, "{asked:#}");
    // any integer is a seed; the one that is used is stated
    let seed = (1_u64 << 53) - 7;
    let stated = &attribution["receipt"]["body"]["generation"]["sampling"]["seed"];
    ensure!(asked["seed"] == seed && *stated == seed, "{asked:#} {stated}");
    let id = attribution["receipt_id"].as_str().context("a receipt")?;
    let checked = place.json(&["verify", id])?;
    ensure!(checked["failed"] == false && checked["checks"].to_string().contains("computed again"), "{checked}");
    Ok(id.to_owned())
}

fn answers_streamed(asker: &Asker, other_receipt: &str) -> anyhow::Result<()> {
    let fields = json!({ "stream": true, "stream_options": { "include_usage": true } });
    let events = asker.stream(&fields, "streamed")?;
    ensure!(words(&events)? == TEXT, "{events:?}");
    ensure!(events.len() >= SAID.len() + 3 && events.last().is_some_and(|last| last == "[DONE]"), "{events:#?}");
    let chunk = |from_end: usize| -> anyhow::Result<Value> {
        let data = events.iter().rev().nth(from_end).context("too few events")?;
        Ok(serde_json::from_str(data)?)
    };
    let (usage, last) = (chunk(1)?, chunk(2)?);
    ensure!(usage["choices"] == json!([]) && usage["usage"]["total_tokens"] == 204, "{usage:#}");
    ensure!(last["choices"][0]["finish_reason"] == "stop" && last["usage"].is_null(), "{last:#}");
    let first: Value = serde_json::from_str(&events[0])?;
    ensure!(first["object"] == "chat.completion.chunk" && first["choices"][0]["delta"]["role"] == "assistant", "{first:#}");
    let id = last["attribution"]["receipt_id"].as_str().context("a receipt")?;
    ensure!(id != other_receipt && first["id"] == format!("chatcmpl-{id}"), "{last:#}");
    // the same request again: the stored words, and no second receipt
    let again = asker.stream(&fields, "streamed")?;
    ensure!(words(&again)? == TEXT && again.iter().any(|data| data.contains(id)), "{again:?}");
    // quoted sentences come one by one
    let quoted = json!({ "stream": true, "model": "quote", "attribution": { "datanets": [{ "name": "cold" }] } });
    let events = asker.stream(&quoted, "quoted")?;
    ensure!(
        words(&events)?.contains("between 2 °C and 8 °C.") && events.iter().any(|data| data.contains(rag::QUOTE_GENERATOR)),
        "{events:?}"
    );
    Ok(())
}

fn wrong_requests_are_named(asker: &Asker) -> anyhow::Result<()> {
    for (fields, parameter) in [
        (json!({ "temperature": 3 }), "temperature"),
        (json!({ "top_p": 0 }), "top_p"),
        (json!({ "max_tokens": 100_000 }), "max_tokens"),
        (json!({ "n": 2 }), "n"),
        (json!({ "stream": true, "stop": [""] }), "stop"),
        (json!({ "tools": [{ "type": "function" }] }), "tools"),
        (json!({ "messages": [] }), "messages"),
        (json!({ "messages": [{ "role": "robot", "content": QUESTION }] }), "messages[0].role"),
    ] {
        let (status, reply) = asker.ask(&fields)?;
        ensure!(status == 400 && reply["error"]["param"] == parameter, "{fields}: {status} {reply}");
        ensure!(reply["error"]["type"] == "invalid_request_error", "{reply}");
    }
    let (status, reply) = asker.ask(&json!({ "model": "gpt-5", "attribution": { "datanets": [{ "name": "cold" }] } }))?;
    ensure!(status == 404 && reply["error"]["code"] == "model_not_found", "{status} {reply}");
    Ok(())
}

fn receipts(place: &Place) -> anyhow::Result<u64> {
    // asking for what a payer owes drains; so does time
    wait_for("the receipts in the tables", || {
        let first = place.rows("SELECT count(*) AS n, max(sequence) AS last FROM receipts")?;
        Ok(Some(first[0]["n"].as_u64().context("a count")?).filter(|n| first[0]["last"] == *n))
    })
}

fn failures_cost_nothing(place: &Place, asker: &Asker, model: &OpenAi) -> anyhow::Result<()> {
    asker.stream(&json!({ "stream": true }), "counted")?;
    wait_for("the last receipt", || Ok(Some(receipts(place)?).filter(|n| *n == 4)))?;
    for (refusal, status, code, seconds) in [
        ("401 Unauthorized", 502, "generator_failed", 5),
        ("429 Too Many Requests", 503, "generator_busy", 1),
        ("500 Internal Server Error", 502, "generator_failed", 5),
    ] {
        model.feels(Mood::Refuses(refusal));
        for stream in [false, true] {
            let reply = asker.raw(&json!({ "stream": stream }), "refused")?;
            ensure!(reply.status == status && reply.head.contains(&format!("retry-after: {seconds}")), "{refusal}: {reply:?}");
            ensure!(reply.body.contains(code) && reply.body.contains("nothing was charged"), "{refusal}: {reply:?}");
        }
    }
    // the same request, once the model is well again
    model.feels(Mood::Says(SAID.to_vec()));
    let reply = asker.raw(&json!({}), "refused")?;
    ensure!(reply.status == 200, "{reply:?}");
    let sequence: Value = serde_json::from_str(&reply.body)?;
    ensure!(sequence["attribution"]["receipt"]["body"]["sequence"] == 5, "{sequence:#}");
    Ok(())
}

/// Reads a stream's first words, and goes away.
fn hang_up(asker: &Asker, id: &str) -> anyhow::Result<()> {
    let headers = [("authorization", asker.bearer.as_str()), ("idempotency-key", id)];
    let mut stream = begin(&asker.address, "/v1/chat/completions", &headers, &Asker::body(&json!({ "stream": true }))?)?;
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains("Most vaccines") {
        let mut bytes = [0; 512];
        let count = stream.read(&mut bytes)?;
        ensure!(count > 0, "the stream ended: {}", String::from_utf8_lossy(&heard));
        heard.extend_from_slice(&bytes[..count]);
    }
    Ok(())
}

fn a_client_that_hangs_up_ends_the_generation(place: &Place, asker: &Asker, model: &OpenAi) -> anyhow::Result<()> {
    model.feels(Mood::Hesitates(vec!["Most vaccines"]));
    hang_up(asker, "abandoned")?;
    wait_for("the generation to end", || Ok((model.hung_up() == 1).then_some(())))?;
    model.feels(Mood::Says(SAID.to_vec()));
    ensure!(receipts(place)? == 5, "an abandoned answer has a receipt");
    let events = asker.stream(&json!({ "stream": true }), "abandoned")?;
    ensure!(words(&events)? == TEXT, "{events:?}");
    Ok(())
}

fn a_payer_that_hangs_up_pays(place: &Place, service: &Service, model: &OpenAi) -> anyhow::Result<()> {
    place.json(&["keys", "new", "app"])?;
    place.json(&["dev", "fund", "app", "--eth", "1", "--open", "1"])?;
    place.json(&["apps", "register", "--name", "app", "--as", "app", "--deposit", "1", "--limit", "1"])?;
    let asker = Asker::with_key(place, service, "app.apikey")?;
    wait_for("the deposit in the tables", || {
        Ok(Some(place.rows("SELECT * FROM deposited WHERE finalized")?).filter(|rows| !rows.is_empty()))
    })?;
    model.feels(Mood::Ponders(SAID.to_vec()));
    hang_up(&asker, "paid")?;
    model.feels(Mood::Refuses("500 Internal Server Error"));
    let charged = "SELECT answer_id FROM receipts WHERE payer IS NOT NULL AND fee_wei > 0";
    wait_for("the receipt of an answer nobody waited for", || Ok((place.rows(charged)?.len() == 1).then_some(())))?;
    let events = asker.stream(&json!({ "stream": true }), "paid")?;
    ensure!(words(&events)? == TEXT, "a retry gives the words that were paid for: {events:?}");
    ensure!(place.rows(charged)?.len() == 1, "they are paid for once");
    model.feels(Mood::Says(SAID.to_vec()));
    Ok(())
}

fn asked_by_command(place: &Place, model: &OpenAi) -> anyhow::Result<()> {
    let told = place.json(&["ask", "--datanet", "cold", "--max-tokens", "33", "--temperature", "0.25", QUESTION])?;
    ensure!(told["choices"][0]["message"]["content"] == TEXT && model.last_asked()?["max_tokens"] == 33, "{told:#}");
    let shown = place.run(&["ask", "--datanet", "cold", QUESTION])?;
    ensure!(shown.code == Some(0) && shown.stdout.starts_with(TEXT) && shown.stdout.contains("ada.md"), "{shown:?}");
    let quoted = place.json(&["ask", "--datanet", "cold", "--quote", QUESTION])?;
    ensure!(quoted["model"] == rag::QUOTE_GENERATOR, "{quoted:#}");
    place.run(&["ask", "--datanet", "cold", "--temperature", "9", QUESTION])?.failed_with(&["temperature"])
}

fn metrics(asker: &Asker) -> anyhow::Result<()> {
    let text = {
        let mut stream = std::net::TcpStream::connect(&asker.address)?;
        std::io::Write::write_all(&mut stream, b"GET /metrics HTTP/1.0\r\n\r\n")?;
        exchange(&stream)?.body
    };
    for (name, count) in [("answered", None), ("abandoned", Some(1)), ("failed", Some(6))] {
        let mark = format!("headwater_generator_answers_total{{outcome=\"{name}\"}} ");
        let found = text.lines().find_map(|line| line.strip_prefix(&mark)).with_context(|| format!("no {mark} in {text}"))?;
        ensure!(found != "0" && count.is_none_or(|count: u32| found == count.to_string()), "{name}: {found}");
    }
    ensure!(text.contains("headwater_generator_under_way 0\n"), "{text}");
    Ok(())
}
