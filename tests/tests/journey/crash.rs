//! Invariant 1 and its kin: a small journey whose service is killed with SIGKILL in every step.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use indexer::{At, ContractReader, RpcConfig};
use schemas::contracts::Deployment;
use serde_json::{Value, json};

use crate::harness::{PATIENCE, Place, post, wait_for};
use crate::proxy::{Moment, Proxy};

const CONTRIBUTORS: [&str; 3] = ["ada", "bruno", "chika"];
const QUESTION: &str = "At what temperature should most vaccines be stored in a refrigerator?";
const TEXTS: [&str; 3] = [
    "# Vaccines\n\nMost vaccines are stored in a refrigerator at a temperature between 2 °C and 8 °C. The usual set point is 5 °C, which leaves the same margin on both sides.\n",
    "# Dry ice\n\nDry ice is solid carbon dioxide and turns to gas at -78.5 °C. A package with dry ice must let the gas escape, because a sealed container would burst under its pressure.\n",
    "# Loggers\n\nA data logger in a vaccine refrigerator records its temperature every ten minutes. The alarm sounds when it stays above 8 °C for ten hours without a break.\n",
];

fn moments(milliseconds: &[u64]) -> Vec<Moment> {
    let timed = milliseconds.iter().map(|time| Moment::After(Duration::from_millis(*time)));
    [Moment::Sent].into_iter().chain(timed).chain([Moment::Answered]).collect()
}

/// Repeats `act` through a proxy that kills the service in the middle of it, each time at another moment.
/// Whether a killed attempt failed or succeeded is not asked: both happen, and neither may harm.
fn under_fire(
    place: &Place,
    request: &'static str,
    moments: &[Moment],
    mut act: impl FnMut(&str) -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    let (mut hits, mut last) = (0, String::new());
    for moment in moments {
        let service = Arc::new(place.up().with_context(|| format!("{request}, {moment:?}"))?);
        let proxy = Proxy::start(&service, request, *moment)?;
        last = act(&proxy.address).unwrap_or_else(|error| format!("{error:#}"));
        ensure!(!last.contains("panicked"), "{request}, {moment:?}: {last}");
        hits += u32::from(proxy.seen());
        if proxy.seen() {
            // What a request sets off goes on after its answer; the proxy's kill comes at its own time.
            wait_for("the kill", || Ok((!service.lives()?).then_some(())))?;
        }
        service.kill();
    }
    ensure!(hits > 0, "no request {request:?} came by; the last attempt said: {last}");
    Ok(())
}

/// A command, killed in the middle again and again.
fn command_under_fire(place: &Place, request: &'static str, times: &[u64], args: &[&str]) -> anyhow::Result<()> {
    under_fire(place, request, &moments(times), |address| {
        let url = format!("http://{address}");
        Ok(format!("{:?}", place.run(&[&["--url", &url], args].concat())?))
    })
}

#[test]
fn a_killed_service_finishes_after_restart() -> anyhow::Result<()> {
    let place = Place::new()?;
    let steps = Steps::prepare(&place)?;
    steps.publish()?;
    let receipt = steps.ask()?;
    let balance = steps.settle_and_claim()?;
    let service = place.up()?;
    wait_for("the claim in the tables", || Ok(Some(place.rows("SELECT * FROM claimed")?).filter(|rows| !rows.is_empty())))?;
    check(&place, &receipt, &balance)?;
    ensure!(service.lives()?, "the service ended by itself");
    Ok(())
}

/// An upload that takes many seconds to embed: it holds up no stop, and neither that nor a kill loses it.
#[test]
fn an_accepted_upload_is_finished_by_a_later_start() -> anyhow::Result<()> {
    let place = Place::new()?;
    for name in ["ada", "iris"] {
        place.json(&["keys", "new", name])?;
    }
    let passage = |n: usize| {
        let words = (0..60).map(|at| format!("word{} ", (n * 7919 + at * 104_729) % 5000)).collect::<String>();
        format!("## Passage {n}\n\nLogger {n} tells: {words}and so it ends.\n\n")
    };
    let file = place.path("long.md");
    fs::write(&file, (0..300).map(passage).collect::<String>())?;
    let file = file.to_str().context("the path is not text")?;
    let submit = ["submit", "--datanet", "cold", "--as", "ada", "--licence", "CC-BY-4.0", file];

    let service = place.up()?;
    place.json(&["datanets", "create", "--name", "cold", "--title", "Cold chain", "--topic", "Loggers", "--curator", "iris"])?;
    let accepted = place.json(&[&submit[..], &["--no-wait"]].concat())?;
    ensure!(["queued", "reading", "embedding"].iter().any(|state| accepted["state"] == *state), "{accepted}");
    let again = place.json(&[&submit[..], &["--no-wait"]].concat())?;
    ensure!(again["submission_id"] == accepted["submission_id"], "a retry is another job: {again}");
    let own = place.json(&["submissions", "--as", "ada"])?;
    ensure!(own[0]["state"] == "under_way", "{own}");
    let ended = service.stop()?;
    ensure!(ended.code == Some(0), "{ended:?}");
    // What was being written when a service was killed stands beside it, as `NAME#N`.
    let records = || -> anyhow::Result<usize> {
        let names = fs::read_dir(place.data_dir().join("store/records/uploads"))?.map(|entry| Ok(entry?.file_name()));
        let names = names.collect::<anyhow::Result<Vec<_>>>()?;
        Ok(names.iter().filter(|name| !name.to_string_lossy().contains('#')).count())
    };
    ensure!(records()? == 1, "it was finished before the stop: it takes too little to be a test");

    place.up()?.kill();
    let service = place.up()?;
    let report = place.json(&submit)?;
    ensure!(report["state"] == "done" && report["submission_id"] == accepted["submission_id"], "{report}");
    ensure!(report["documents"][0]["chunk_count"].as_u64().is_some_and(|count| count >= 100), "{report}");
    let rows = place.rows("SELECT count(*) AS n, count(DISTINCT submission_id) AS ids FROM submissions")?;
    ensure!(rows == [json!({ "n": 1, "ids": 1 })], "{rows:?}");
    wait_for("the record to go", || Ok((records()? == 0).then_some(())))?;
    ensure!(service.lives()?, "the service ended by itself");
    Ok(())
}

struct Steps<'a> {
    place: &'a Place,
    app_key: String,
}

impl<'a> Steps<'a> {
    /// Keys and texts, which need no service.
    fn prepare(place: &'a Place) -> anyhow::Result<Self> {
        for name in CONTRIBUTORS.iter().chain(&["iris", "app"]) {
            place.json(&["keys", "new", name])?;
        }
        for (name, text) in CONTRIBUTORS.iter().zip(TEXTS) {
            fs::write(place.path(&format!("{name}.md")), text)?;
        }
        let app_key = place.path("app.apikey").to_str().context("the path is not text")?.to_owned();
        Ok(Self { place, app_key })
    }

    fn publish(&self) -> anyhow::Result<()> {
        let place = self.place;
        let create = [
            "datanets",
            "create",
            "--name",
            "cold",
            "--title",
            "Cold chain",
            "--topic",
            "Vaccines, refrigerators, dry ice, loggers",
            "--curator",
            "iris",
        ];
        command_under_fire(place, "POST /v1/datanets", &[3, 30], &create)?;
        finish(place, &create)?;
        for name in CONTRIBUTORS {
            let file = place.path(&format!("{name}.md"));
            let submit =
                ["submit", "--datanet", "cold", "--as", name, "--licence", "CC-BY-4.0", file.to_str().context("the path is not text")?];
            command_under_fire(place, "POST /v1/submissions", &[20, 60, 150, 300], &submit)?;
            finish(place, &submit)?;
        }
        let accept = ["review", "accept", "--datanet", "cold", "--as", "iris", "ada.md", "bruno.md", "chika.md"];
        command_under_fire(place, "POST /v1/reviews", &[5, 25, 60], &accept)?;
        finish(place, &accept)?;
        let publish = ["publish", "--datanet", "cold", "--as", "iris"];
        // These also hit the registration and the anchor, which follow by themselves.
        command_under_fire(place, "POST /v1/datanets/cold/versions", &[10, 50, 120, 400, 800], &publish)?;
        let service = place.up()?;
        let versions = || place.json(&["datanets", "versions", "cold"]);
        if versions()? == json!([]) {
            place.json(&publish)?;
        }
        wait_for("the version to be final", || Ok(Some(()).filter(|()| versions().is_ok_and(|rows| rows[0]["anchor"] == "final"))))?;
        ensure!(service.lives()?, "the service ended by itself");
        Ok(())
    }

    /// The answer's receipt id. A repeated request with the same id gets the same answer.
    fn ask(&self) -> anyhow::Result<String> {
        let place = self.place;
        {
            let _service = place.up()?;
            place.json(&["dev", "fund", "app", "--eth", "1", "--open", "100"])?;
        }
        let register =
            ["apps", "register", "--name", "app", "--as", "app", "--deposit", "1", "--limit", "1", "--out", self.app_key.as_str()];
        under_fire(place, "POST /v1/apps HTTP", &moments(&[4, 15]), |address| {
            // A key that an attempt left is never overwritten.
            drop(fs::remove_file(&self.app_key));
            let url = format!("http://{address}");
            Ok(format!("{:?}", place.run(&[&["--url", &url], &register[..]].concat())?))
        })?;
        drop(fs::remove_file(&self.app_key));
        finish(place, &register)?;
        let key = fs::read_to_string(&self.app_key)?;
        let bearer = format!("Bearer {}", key.trim());
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", "the-one-question")];
        let body = json!({ "model": "datanet:cold", "messages": [{ "role": "user", "content": QUESTION }] });
        let ask = |address: &str| post(address, "/v1/chat/completions", &headers, &body);
        under_fire(place, "POST /v1/chat/completions", &moments(&[10, 30, 60, 100, 200, 400]), |address| {
            ask(address).map(|reply| format!("{reply:?}"))
        })?;
        let service = place.up()?;
        // The deposit counts once it is indexed again.
        let reply = wait_for("the answer", || Ok(Some(ask(service.address())?).filter(|(status, _)| *status != 402)))?;
        let (_, again) = ask(service.address())?;
        ensure!(reply.0 == 200 && reply.1["attribution"]["status"] == "answered", "{reply:?}");
        ensure!(reply.1["attribution"]["receipt"] == again["attribution"]["receipt"], "asked again, answered otherwise: {again}");
        reply.1["attribution"]["receipt_id"].as_str().map(str::to_owned).context("no receipt id")
    }

    /// The balance of the contributor who claimed, as the chain knows it.
    fn settle_and_claim(&self) -> anyhow::Result<String> {
        let place = self.place;
        // The latter times hit the debit, the proposal, the dispute window and the acceptance.
        under_fire(place, "POST /v1/settlements", &moments(&[20, 100, 300, 700, 1500, 3000]), |address| {
            can_settle(place)?;
            Ok(format!("{:?}", place.run(&["--url", &format!("http://{address}"), "settle"])?))
        })?;
        {
            let _service = place.up()?;
            wait_for("the settlement", || {
                drop(place.run(&["settle"])?);
                Ok(Some(()).filter(|()| place.rows("SELECT * FROM root_accepted").is_ok_and(|rows| !rows.is_empty())))
            })?;
            place.json(&["dev", "fund", "ada", "--eth", "1"])?;
        }
        let claim = ["claim", "--as", "ada"];
        command_under_fire(place, "GET /v1/rewards/", &[10, 30, 60, 120, 250], &claim)?;
        let service = place.up()?;
        let last = wait_for("the claim", || {
            let ended = place.run(&claim)?;
            Ok(Some(ended.stderr.clone()).filter(|said| ended.code == Some(0) || said.contains("claimed all")))
        })?;
        ensure!(place.run(&claim)?.stderr.contains("claimed all"), "{last}");
        let address = place.json(&["keys", "address", "ada"])?["address"].as_str().context("no address")?.parse()?;
        let deployment: Deployment = serde_json::from_value(service.deployment.clone())?;
        let reader = ContractReader::connect(&service.rpc_url, RpcConfig::default(), deployment)?;
        let runtime = tokio::runtime::Runtime::new()?;
        Ok(runtime.block_on(reader.token_balance(address, At::Latest))?.to_string())
    }
}

/// An epoch is cut at a finalized block, which a restarted service has to find again.
fn can_settle(place: &Place) -> anyhow::Result<()> {
    wait_for("a finalized block", || {
        Ok(Some(()).filter(|()| place.json(&["index", "status"]).is_ok_and(|at| !at["indexed_finalized"].is_null())))
    })
}

/// With a service that nobody kills the command must succeed, also when it was done before.
fn finish(place: &Place, args: &[&str]) -> anyhow::Result<Value> {
    let service = place.up()?;
    let told = place.json(args)?;
    ensure!(service.lives()?, "the service ended by itself");
    Ok(told)
}

/// What must be there exactly once.
fn check(place: &Place, receipt: &str, balance: &str) -> anyhow::Result<()> {
    let same = |query: &str, expected: Value| {
        let rows = place.rows(query)?;
        ensure!(rows.len() == 1 && rows[0] == expected, "{query}\n  gives {rows:?}\n  and not {expected}");
        anyhow::Ok(())
    };
    same("SELECT count(*) AS n, count(DISTINCT contributor) AS people FROM submissions", json!({ "n": 3, "people": 3 }))?;
    same(
        "SELECT count(DISTINCT document_id) AS documents, count(*) - count(DISTINCT chunk_id) AS doubled FROM chunks",
        json!({ "documents": 3, "doubled": 0 }),
    )?;
    same(
        "SELECT count(*) AS n, bool_and(v.root = e.root) AS same_root FROM versions v LEFT JOIN version_committed e ON e.datanet_id = v.datanet_id",
        json!({ "n": 1, "same_root": true }),
    )?;
    same("SELECT count(*) AS n FROM datanet_created", json!({ "n": 1 }))?;
    same(
        &format!(
            "SELECT count(*) AS n, count(DISTINCT a.answer_id) AS ids, min(a.answer_id) = '{receipt}' AS ours FROM answers a JOIN receipts r ON r.answer_id = a.answer_id"
        ),
        json!({ "n": 1, "ids": 1, "ours": true }),
    )?;
    same(
        "SELECT (SELECT count(*) FROM epochs) AS epochs, (SELECT sum(amount_wei) FROM rewards) = (SELECT sum(pool_wei) FROM epochs) AS whole, (SELECT count(*) FROM debited) AS debits",
        json!({ "epochs": 1, "whole": true, "debits": 1 }),
    )?;
    same("SELECT count(*) AS n, CAST(sum(amount) AS VARCHAR) AS paid FROM claimed", json!({ "n": 1, "paid": balance }))?;
    ensure!(balance != "0", "nothing was paid");
    ensure!(place.json(&["verify", "--reexecute", receipt])?["valid"] == true, "the receipt does not hold");
    ensure!(place.run_command(place.command(&["doctor"]), PATIENCE)?.code == Some(0), "doctor finds something");
    Ok(())
}
