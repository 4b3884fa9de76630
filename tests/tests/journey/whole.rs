//! The whole journey by `headwater demo`, and what everybody can check afterwards.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::{fs, thread};

use anyhow::{Context, ensure};
use api::demo::{Journey, Question};
use serde_json::{Value, json};

use crate::harness::{Place, Service, objects, wait_for};

#[test]
fn the_journey_holds() -> anyhow::Result<()> {
    let place = Place::new()?;
    let told = place.json(&["demo", "--exit"])?;
    check_answers(&Journey::load()?, list(&told, "answers")?)?;
    check_money(list(&told, "claims")?)?;
    check_queries(list(&told, "queries")?)?;

    let service = place.up()?;
    check_receipts(&place, list(&told, "answers")?)?;
    check_snapshots(&place)?;
    check_refusals(&place)?;
    check_payment(&place)?;
    check_traces(&place)?;
    crate::doors::check(&place, service.address())?;
    let doctor = place.run(&["doctor"])?;
    ensure!(doctor.code == Some(0), "{doctor:?}");
    ensure!(service.lives()?, "the service ended by itself");
    check_audit(&place, &service, &list(&told, "answers")?[0]["reply"])
}

/// What an app got as its reply is verified as it is, and an auditor searches again in the data folder of a service that has ended.
fn check_audit(place: &Place, service: &Service, reply: &Value) -> anyhow::Result<()> {
    let files = ["reply.json", "again.json", "evidence.json"].map(|name| place.path(name).display().to_string());
    let [as_replied, receipt, evidence] = files.each_ref().map(String::as_str);
    fs::write(as_replied, reply.to_string())?;
    ensure!(place.json(&["verify", as_replied])?["failed"] == false);
    let mut changed = reply.clone();
    changed["choices"][0]["message"]["content"] = "something else".into();
    fs::write(as_replied, changed.to_string())?;
    place.run(&["verify", as_replied])?.failed_with(&["the text of the reply is not the answer"])?;
    place.json(&["receipt", text(&reply["attribution"], "receipt_id")?, "--out", receipt, "--evidence", evidence])?;
    service.stop()?;
    fs::write(place.data_dir().join("service.json"), json!({ "url": yes_to_all()? }).to_string())?;
    let searched = place.json(&["verify", "--offline", "--reexecute", evidence])?;
    let retrieval = list(&searched, "checks")?.iter().find(|check| check["of"] == "retrieval");
    ensure!(retrieval.is_some_and(|check| check["outcome"] == "valid"), "{searched}");
    ensure!(searched.to_string().contains("searched again by the data folder"), "{searched}");
    place.run(&["verify", "--offline", "--reexecute", receipt])?.failed_with(&["that takes the evidence", "was not done"])
}

/// The address of a service that finds nothing wrong with anything, as the folder of a dishonest operator may name it.
fn yes_to_all() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut request = [0; 4096];
            let answer =
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 18\r\nconnection: close\r\n\r\n{\"differences\":[]}";
            let Ok(mut connection) = connection else { return };
            drop(connection.read(&mut request).and_then(|_| connection.write_all(answer.as_bytes())));
        }
    });
    Ok(url)
}

fn list<'a>(value: &'a Value, name: &str) -> anyhow::Result<&'a [Value]> {
    value[name].as_array().map(Vec::as_slice).with_context(|| format!("no list {name} in {value}"))
}

fn text<'a>(value: &'a Value, name: &str) -> anyhow::Result<&'a str> {
    value[name].as_str().with_context(|| format!("no text {name} in {value}"))
}

fn wei(value: &Value, name: &str) -> anyhow::Result<u128> {
    text(value, name)?.parse().with_context(|| format!("{name} in {value}"))
}

fn check_answers(journey: &Journey, answers: &[Value]) -> anyhow::Result<()> {
    ensure!(answers.len() == journey.questions.len(), "{} answers", answers.len());
    let mut right = 0;
    for (question, answer) in journey.questions.iter().zip(answers) {
        ensure!(text(answer, "question")? == question.question, "answers are out of order: {answer}");
        let attribution = &answer["reply"]["attribution"];
        let checked = check_shares(attribution).and_then(|()| check_answer(question, attribution));
        right += u32::from(checked.with_context(|| format!("{}: {attribution:#}", question.question))?);
    }
    ensure!(right >= 7, "only {right} of 8 answers cite a source that holds the answer first");
    Ok(())
}

/// Invariant 6: nothing is created or lost.
fn check_shares(attribution: &Value) -> anyhow::Result<()> {
    let ppm = |value: &Value, name: &str| value[name].as_u64().with_context(|| format!("no {name}"));
    let mut sum = ppm(attribution, "unattributed_ppm")?;
    for line in list(attribution, "contributors")? {
        sum += ppm(line, "share_ppm")?;
    }
    ensure!(sum == 1_000_000, "shares and unattributed are {sum} ppm");
    Ok(())
}

/// Whether the first citation is of a text that holds the answer. Copies and declined answers must hold always.
fn check_answer(question: &Question, attribution: &Value) -> anyhow::Result<bool> {
    let shares = list(attribution, "contributors")?;
    if !question.answerable {
        ensure!(text(attribution, "status")? == "declined", "not declined");
        ensure!(shares.is_empty(), "a declined answer has shares");
        ensure!(wei(attribution, "fee_wei")? == 0, "a declined answer costs something");
        return Ok(false);
    }
    // Invariant 8: both of farid's texts repeat another's sentence.
    let copies: Vec<&Value> = shares.iter().filter(|line| !line["copy_of"].is_null()).collect();
    ensure!(copies.iter().all(|line| line["share_ppm"] == 0), "a copy earns");
    let has_copy = question.sources.iter().any(|source| source.contains("/farid-"));
    ensure!(copies.len() == usize::from(has_copy), "{} copies are shown", copies.len());
    let first = &attribution["citations"][0]["file_name"];
    let holds = question.sources.iter().any(|source| source.rsplit('/').next() == first.as_str());
    Ok(holds && attribution["status"] == "answered")
}

fn check_money(claims: &[Value]) -> anyhow::Result<()> {
    ensure!(claims.len() == 2, "{} claims", claims.len());
    for claim in claims {
        let paid = wei(claim, "paid_wei")?;
        ensure!(paid > 0 && paid == wei(claim, "balance_wei")?, "{claim}");
    }
    Ok(())
}

/// Invariant 2 for every version: the root on chain is the root in the tables, and final.
fn check_queries(queries: &[Value]) -> anyhow::Result<()> {
    ensure!(queries.len() == 4, "{} queries", queries.len());
    let mut versions = 0;
    for query in queries {
        let rows = objects(query)?;
        ensure!(!rows.is_empty(), "no rows: {query}");
        for row in rows.iter().filter(|row| row.get("same_root").is_some()) {
            ensure!(row["same_root"] == true && row["finalized"] == true, "{row}");
            versions += 1;
        }
    }
    ensure!(versions == 4, "{versions} versions");
    Ok(())
}

/// Invariant 7: a receipt holds, and with any byte changed it does not.
fn check_receipts(place: &Place, answers: &[Value]) -> anyhow::Result<()> {
    for answer in answers {
        let id = text(&answer["reply"]["attribution"], "receipt_id")?;
        ensure!(place.json(&["verify", "--reexecute", id])?["valid"] == true, "{id}");
    }
    let first = text(&answers[0]["reply"]["attribution"], "receipt_id")?;
    let path = place.path("receipt.json");
    let file = path.to_str().context("the path is not text")?;
    place.json(&["receipt", first, "--out", file])?;
    let checked = place.json(&["verify", file])?;
    // Of a receipt alone nobody can say what was asked and what else was found.
    let unchecked = list(&checked, "checks")?.iter().filter(|check| check["outcome"] == "not_checked");
    let unchecked: Vec<_> = unchecked.filter_map(|check| check["of"].as_str()).collect();
    ensure!(checked["failed"] == false && unchecked == ["evidence", "retrieval"], "{checked}");
    let written = fs::read_to_string(&path)?;
    for (name, mark) in [("answer_hash", "\"answer_hash\": \"0x"), ("share_ppm", "\"share_ppm\": "), ("fee_wei", "\"fee_wei\": \"")] {
        let start = written.find(mark).with_context(|| format!("the receipt has no {name}"))? + mark.len();
        let mut bytes = written.clone().into_bytes();
        bytes[start] = if bytes[start] == b'1' { b'2' } else { b'1' };
        fs::write(&path, bytes)?;
        place.run(&["verify", file])?.failed_with(&["does not hold"]).with_context(|| name.to_owned())?;
    }
    Ok(())
}

/// The same snapshot gives the same rows again.
fn check_snapshots(place: &Place) -> anyhow::Result<()> {
    let query = "SELECT file_name, document_id FROM documents ORDER BY 1, 2";
    let first = place.json(&["sql", query])?;
    let path = place.path("snapshot.json");
    fs::write(&path, first.to_string())?;
    let file = path.to_str().context("the path is not text")?;
    let again = place.json(&["sql", query, "--snapshot", file])?;
    ensure!(first["rows"] == again["rows"] && first["snapshot"] == again["snapshot"], "{again}");
    ensure!(list(&first, "rows")?.len() >= 60, "{first}");
    Ok(())
}

/// An answer is refused when either the deposit or the spending limit does not cover it.
fn check_payment(place: &Place) -> anyhow::Result<()> {
    for (name, deposit, limit, words) in [("poor", "0.005", Some("1"), "does not cover"), ("shy", "1", None, "no spending limit")] {
        place.json(&["keys", "new", name])?;
        place.json(&["dev", "fund", name, "--eth", "1", "--open", "2"])?;
        let register = ["apps", "register", "--name", name, "--as", name, "--deposit", deposit];
        // Refused before a token moves: a deposit of 2 OPEN would cover what is asked below.
        let refused = place.run(&[&register[..6], &["--deposit", "2", "--limit", "0.005"]].concat())?;
        refused.failed_with(&["0.005 OPEN", "let it be of 0.1 OPEN (100000000000000000 wei) or more"])?;
        place.json(&[&register[..], &limit.map_or(vec![], |limit| vec!["--limit", limit])].concat())?;
        let payer = place.json(&["keys", "address", name])?;
        let seen = format!("SELECT payer FROM deposited WHERE finalized AND payer = '{}'", text(&payer, "address")?.to_lowercase());
        wait_for("the deposit to be final", || Ok(Some(()).filter(|()| place.rows(&seen).is_ok_and(|rows| !rows.is_empty()))))?;
        let key = place.data_dir().join(format!("{name}.apikey"));
        let key = key.to_str().context("the path is not text")?;
        let asked = place.run(&["ask", "--datanet", "cold-chain", "--app-key", key, "At what temperature are most vaccines stored?"])?;
        asked.failed_with(&[words])?;
    }
    Ok(())
}

/// A published sentence is found in any text that holds it, with whoever was registered with it first.
fn check_traces(place: &Place) -> anyhow::Result<()> {
    let rows = place
        .rows("SELECT chunk_id, contributor, registered, text FROM chunks WHERE datanet = 'cold-chain' ORDER BY registered, chunk_id")?;
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<String>>();
    let is_plain = |word: &String| word.chars().all(char::is_alphabetic);
    let runs = rows.iter().find_map(|row| {
        let words = words(row["text"].as_str()?);
        words.windows(9).find(|run| run.iter().all(is_plain)).map(|run| run.join(" "))
    });
    let sentence = runs.context("no chunk has nine words in a row")?;
    // White space and line ends of a text count no more than those of the chunks.
    let spaced = |text: &str| format!(" {} ", words(text).join(" "));
    let holds = |row: &&Value| row["text"].as_str().is_some_and(|text| spaced(text).contains(&format!(" {sentence} ")));
    let first = rows.iter().find(holds).context("no chunk has the sentence")?;
    let asked = format!("zyx wvu {sentence} tsr qpo");
    for datanet in [&["--datanet", "cold-chain"][..], &[]] {
        let told = place.json(&[&["trace", &asked][..], datanet].concat())?;
        let trace = list(&told, "traces")?.iter().find(|trace| trace["datanet"] == "cold-chain").context("no trace of it")?;
        let span = list(trace, "spans")?.first().with_context(|| format!("no span: {told}"))?;
        ensure!(text(span, "text")?.contains(&sentence) && span["occurrences"].as_u64() >= Some(1), "{span}");
        ensure!(span["documents"][0]["contributor"] == first["contributor"], "{span} is first {first}");
        ensure!(span["documents"][0]["registered"] == first["registered"], "{span} is first {first}");
        ensure!(!text(trace, "root")?.is_empty() && trace["coverage_ppm"].as_u64() > Some(500_000), "{trace}");
    }
    let person = place.run(&["trace", "--datanet", "cold-chain", &asked])?;
    ensure!(person.code == Some(0) && person.stdout.contains("registered") && person.stdout.contains(&sentence), "{person:?}");
    let file = place.path("traced.txt");
    fs::write(&file, &asked)?;
    let from_file = place.json(&["trace", "--datanet", "cold-chain", "--file", file.to_str().context("the path is not text")?])?;
    ensure!(from_file["traces"][0]["spans"].as_array().is_some_and(|spans| !spans.is_empty()), "{from_file}");
    place.run(&["trace", "--datanet", "nope", "a b c"])?.failed_with(&["nope"])?;
    place.run(&["trace", "--datanet", "cold-chain", " "])?.failed_with(&["text", "empty"])?;
    place.run(&["trace", "--datanet", "cold-chain", &"a ".repeat(40_000)])?.failed_with(&["text", "65536"])?;
    place.run(&["trace", "--datanet", "cold-chain", "--version", "99", "a b c"])?.failed_with(&["99"])?;
    place.run(&["trace", "--version", "1", "a b c"])?.failed_with(&["version", "one Datanet"])
}

fn check_refusals(place: &Place) -> anyhow::Result<()> {
    place.run(&["claim", "--as", "ada"])?.failed_with(&["claimed all"])?;
    place.run(&["ask", "--datanet", "nope", "What is this?"])?.failed_with(&["nope"])?;
    place.run(&["sql", "DROP TABLE versions"])?.failed_with(&["not supported"])?;
    let refused = place.run(&["--json", "--api-key", "wrong", "sql", "SELECT 1"])?;
    refused.failed_with(&["API key"])?;
    let told: Value = serde_json::from_str(refused.stderr.trim())?;
    ensure!(told["error"]["code"] == "unauthorised", "{refused:?}");
    Ok(())
}
