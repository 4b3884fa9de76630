//! Who may go through which door, and what they find behind it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use schemas::hashing::{ManifestEntry, manifest_hash, sha256};
use schemas::ids::{DatanetId, parse_address};
use schemas::signed::{self, SigningDomain};
use schemas::signer::Signer;
use schemas::tables::Millis;
use serde_json::{Value, json};

use crate::harness::{PATIENCE, Place, RawReply, exchange, objects, wait_for};

/// (method, path, status without key, with an app's key, with an analyst's, with the operator's). 400 and 415 are the
/// answers of a door that is open, to a request without content.
const DOORS: &[(&str, &str, [u16; 4])] = &[
    ("GET", "/", [200, 200, 200, 200]),
    ("GET", "/livez", [200, 200, 200, 200]),
    ("GET", "/readyz", [200, 200, 200, 200]),
    ("GET", "/metrics", [200, 200, 200, 200]),
    ("GET", "/v1/info", [200, 200, 200, 200]),
    ("GET", "/v1/status", [401, 200, 200, 200]),
    ("POST", "/v1/upkeep", [401, 403, 403, 200]),
    ("GET", "/v1/datanets", [200, 200, 200, 200]),
    ("POST", "/v1/datanets", [401, 403, 403, 415]),
    ("GET", "/v1/datanets/cold-chain/queue", [401, 403, 403, 200]),
    ("GET", "/v1/datanets/cold-chain/preview", [401, 403, 403, 409]),
    ("GET", "/v1/datanets/cold-chain/curators", [401, 200, 200, 200]),
    ("POST", "/v1/datanets/cold-chain/curators", [415, 415, 415, 415]),
    ("POST", "/v1/datanets/cold-chain/accept-fork", [401, 403, 403, 409]),
    ("GET", "/v1/datanets/cold-chain/versions", [401, 200, 200, 200]),
    ("POST", "/v1/datanets/cold-chain/versions", [415, 415, 415, 415]),
    ("GET", "/v1/documents/0x1", [401, 403, 403, 400]),
    ("POST", "/v1/submissions", [400, 400, 400, 400]),
    ("POST", "/v1/submissions/list", [415, 415, 415, 415]),
    ("GET", "/v1/submissions/0x1", [401, 403, 403, 400]),
    ("POST", "/v1/reviews", [415, 415, 415, 415]),
    ("POST", "/v1/chat/completions", [401, 415, 403, 415]),
    ("GET", "/v1/models", [401, 200, 200, 200]),
    ("GET", "/v1/models/datanet:cold-chain", [401, 200, 200, 200]),
    ("GET", "/v1/models/owner/nobody", [401, 404, 404, 404]),
    ("GET", "/v1/receipts", [200, 200, 200, 200]),
    ("GET", "/v1/receipts/0x1", [400, 400, 400, 400]),
    ("GET", "/v1/receipts/0x1/inclusion", [400, 400, 400, 400]),
    ("GET", "/v1/receipts/0x1/reexecution", [401, 400, 403, 400]),
    ("GET", "/v1/receipts/0x1/evidence", [401, 400, 400, 400]),
    ("GET", "/v1/index/contracts", [401, 403, 200, 200]),
    ("POST", "/v1/index/contracts", [401, 403, 403, 415]),
    ("DELETE", "/v1/index/contracts/nothing", [401, 403, 403, 404]),
    ("POST", "/v1/sql", [401, 415, 415, 415]),
    ("POST", "/v1/trace", [401, 415, 415, 415]),
    ("POST", "/v1/analysts", [401, 403, 403, 415]),
    ("GET", "/v1/apps", [401, 200, 403, 200]),
    ("POST", "/v1/apps", [415, 415, 415, 415]),
    ("POST", "/v1/apps/check", [415, 415, 415, 415]),
    ("POST", "/v1/apps/list", [415, 415, 415, 415]),
    ("POST", "/v1/apps/revoke", [415, 415, 415, 415]),
    ("POST", "/v1/apps/0x1/revoke", [401, 403, 403, 404]),
    ("POST", "/v1/limits", [415, 415, 415, 415]),
    ("GET", "/v1/account", [401, 200, 403, 400]),
    ("POST", "/v1/account", [415, 415, 415, 415]),
    ("POST", "/v1/settlements", [401, 403, 403, 409]),
    ("GET", "/v1/settlements/latest", [401, 200, 200, 200]),
    ("GET", "/v1/chain", [401, 403, 403, 200]),
    ("POST", "/v1/chain", [401, 403, 403, 415]),
    ("GET", "/v1/epochs/1", [200, 200, 200, 200]),
    ("GET", "/v1/epochs/999/debts", [404, 404, 404, 404]),
    ("GET", "/v1/epochs/x/rewards", [400, 400, 400, 400]),
    ("GET", "/v1/rewards/0x1", [400, 400, 400, 400]),
    ("GET", "/nowhere", [404, 404, 404, 404]),
];

/// On a folder in which the demo ran, with its service up at `address`.
pub(crate) fn check(place: &Place, address: &str) -> anyhow::Result<()> {
    place.json(&["analysts", "new", "alice"])?;
    every_door_lets_in_whom_it_names(place, address)?;
    errors_come_in_the_envelope(address)?;
    foreign_hosts_are_refused(address)?;
    an_analyst_sees_what_is_published(place)?;
    what_is_not_published_is_for_curators(place)?;
    names_and_numbers_come_out_whole(place)?;
    an_upload_is_refused_by_its_manifest(place, address)?;
    forms_that_trickle_keep_nobody_out(place, address)?;
    a_name_that_a_browser_quoted_keeps_its_signature(place, address)?;
    a_body_that_is_too_large_is_refused_before_it_comes(address)?;
    lists_come_in_pages(place, address)?;
    uploads_are_counted(address)?;
    a_running_service_is_put_in_order_by_hand(place)?;
    others_on_this_machine_read_nothing(&place.data_dir())
}

fn key(place: &Place, name: &str) -> anyhow::Result<String> {
    let text = fs::read_to_string(place.data_dir().join(name)).with_context(|| name.to_owned())?;
    Ok(text.trim().to_owned())
}

fn every_door_lets_in_whom_it_names(place: &Place, address: &str) -> anyhow::Result<()> {
    for (method, path) in api::http::routes() {
        ensure!(DOORS.iter().any(|(known, door, _)| *known == method && is_at(path, door)), "{method} {path} is not tried");
    }
    let keys = [None, Some(key(place, "demo-app.apikey")?), Some(key(place, "alice.apikey")?), Some(key(place, "operator.apikey")?)];
    for (method, path, expected) in DOORS {
        for (key, expected) in keys.iter().zip(expected).chain([(&Some("hw_0_0".to_owned()), &expected[0])]) {
            // HTTP's schemes are the same in any case.
            for scheme in ["Bearer", "bearer"] {
                let authorization = key.as_ref().map_or(String::new(), |key| format!("Authorization: {scheme} {key}\r\n"));
                let reply = request(address, method, path, &authorization)?;
                ensure!((reply.status == 401) == reply.head.contains("\r\nwww-authenticate: bearer realm="), "{method} {path}: {reply:?}");
                let found = match reply.status {
                    // Not ready is an answer too.
                    503 if *path == "/readyz" => 200,
                    found => found,
                };
                ensure!(
                    found == *expected,
                    "{method} {path} with key {:?}: {found} instead of {expected}",
                    key.as_ref().map(|key| &key[..6])
                );
            }
        }
    }
    Ok(())
}

/// Whether `path` is one of the paths that `route` takes.
fn is_at(route: &str, path: &str) -> bool {
    let (mut wanted, mut found) = (route.split('/'), path.split('/'));
    loop {
        match (wanted.next(), found.next()) {
            (None, None) => return true,
            (Some(part), Some(_)) if part.starts_with("{*") => return true,
            (Some(part), Some(there)) if part.starts_with('{') || part == there => {}
            _ => return false,
        }
    }
}

pub(crate) fn request(address: &str, method: &str, path: &str, headers: &str) -> anyhow::Result<RawReply> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let host = if headers.contains("Host:") { String::new() } else { format!("Host: {address}\r\n") };
    write!(stream, "{method} {path} HTTP/1.1\r\n{host}{headers}Content-Length: 0\r\nConnection: close\r\n\r\n")?;
    exchange(&stream)
}

fn errors_come_in_the_envelope(address: &str) -> anyhow::Result<()> {
    let long = format!("X-Long: {}\r\n", "x".repeat(40_000));
    for (method, path, headers, status, code) in [
        ("GET", "/v1/chat/completions", "", 405, "method_not_allowed"),
        ("DELETE", "/v1/models", "", 405, "method_not_allowed"),
        ("GET", "/nowhere", "", 404, "not_found"),
        ("GET", "/v1/info", long.as_str(), 431, "headers_too_large"),
        ("POST", "/v1/reviews", "Content-Encoding: gzip\r\n", 415, "unsupported_encoding"),
        (
            "OPTIONS",
            "/v1/chat/completions",
            "Origin: https://a.example\r\nAccess-Control-Request-Method: POST\r\n",
            403,
            "origin_not_allowed",
        ),
    ] {
        let reply = request(address, method, path, headers)?;
        let body: Value = serde_json::from_str(&reply.body).with_context(|| format!("{method} {path}: {reply:?}"))?;
        ensure!(reply.status == status && body["error"]["code"] == code, "{method} {path}: {reply:?}");
        ensure!(status != 405 || reply.head.contains("\r\nallow: "), "{reply:?}");
    }
    Ok(())
}

fn foreign_hosts_are_refused(address: &str) -> anyhow::Result<()> {
    for path in ["/", "/metrics", "/livez", "/v1/info"] {
        ensure!(request(address, "GET", path, "Host: attacker.example\r\n")?.status == 421, "{path}");
        ensure!(request(address, "GET", path, "Host: localhost:1\r\n")?.status == 200, "{path}");
    }
    Ok(())
}

fn an_analyst_sees_what_is_published(place: &Place) -> anyhow::Result<()> {
    let alice = key(place, "alice.apikey")?;
    let as_analyst = |query: &str| objects(&place.json(&["--api-key", &alice, "sql", query])?);
    let answers = as_analyst("SELECT question, answer, status FROM answers")?;
    ensure!(!answers.is_empty() && answers.iter().all(|row| row["question"].is_null() && row["answer"].is_null()), "{answers:?}");
    let unpublished = "SELECT count(*) AS n FROM submitted_chunks c LEFT ANTI JOIN chunks p ON p.chunk_id = c.chunk_id";
    ensure!(as_analyst(unpublished)?[0]["n"] == 0 && place.rows(unpublished)?[0]["n"].as_u64() > Some(0), "texts that were rejected");
    let names = "SELECT count(file_name) AS names, count(title) AS titles, count(reason) AS reasons, count(*) AS n FROM document_status WHERE review_status <> 'accepted'";
    let hidden = &as_analyst(names)?[0];
    ensure!(hidden["n"].as_u64() > Some(0) && hidden["names"] == 0 && hidden["titles"] == 0 && hidden["reasons"] == 0, "{hidden}");
    ensure!(as_analyst("SELECT count(*) AS n FROM chunks WHERE text <> ''")?[0]["n"].as_u64() > Some(50), "what is published");
    for query in ["EXPLAIN SELECT * FROM chunks", "EXPLAIN ANALYZE SELECT 1", "SELECT * FROM api_keys"] {
        place.run(&["--api-key", &alice, "sql", query])?.failed_with(&[])?;
    }
    // An app sees what it asked and was told, and nobody else's.
    let app = key(place, "demo-app.apikey")?;
    let own = objects(&place.json(&[
        "--api-key",
        &app,
        "sql",
        "SELECT count(question) AS own, count(*) AS n FROM answers WHERE payer IS NOT NULL",
    ])?)?;
    ensure!(own[0]["own"] == own[0]["n"] && own[0]["n"].as_u64() >= Some(10), "{own:?}");
    let id = place.rows("SELECT answer_id FROM answers WHERE payer IS NOT NULL LIMIT 1")?[0]["answer_id"]
        .as_str()
        .context("an answer")?
        .to_owned();
    let address = place.service_address()?;
    for (key, expected) in [(&alice, 403), (&app, 200)] {
        let found = request(&address, "GET", &format!("/v1/receipts/{id}/evidence"), &format!("Authorization: Bearer {key}\r\n"))?;
        ensure!(found.status == expected, "{found:?}");
    }
    Ok(())
}

fn what_is_not_published_is_for_curators(place: &Place) -> anyhow::Result<()> {
    let strange = ["--api-key", "hw_0_0"];
    let as_nobody = |args: &[&str]| place.run(&[&strange, args].concat());
    let listed = place.json(&[&strange[..], &["review", "list", "--datanet", "cold-chain", "--as", "iris"]].concat())?;
    let first = listed[0]["document"]["document_id"].as_str().context("a document")?;
    let shown = place.json(&[&strange[..], &["review", "show", "--datanet", "cold-chain", "--as", "iris", first]].concat())?;
    ensure!(shown["chunks"][0]["text"].as_str().is_some_and(|text| !text.is_empty()), "{shown}");
    as_nobody(&["review", "list", "--datanet", "cold-chain"])?.failed_with(&["API key"])?;
    as_nobody(&["review", "list", "--datanet", "cold-chain", "--as", "ada"])?.failed_with(&["no curator of Datanet cold-chain"])?;
    as_nobody(&["review", "show", "--datanet", "medication-safety", "--as", "iris", first])?.failed_with(&[])
}

fn names_and_numbers_come_out_whole(place: &Place) -> anyhow::Result<()> {
    let most = "9".repeat(38);
    let reply = place.json(&["sql", "SELECT a.x, b.x FROM (SELECT 1 AS x) a JOIN (SELECT 2 AS x) b ON a.x < b.x"])?;
    ensure!(reply["rows"] == json!([[1, 2]]) && reply["columns"][1]["name"] == "x", "{reply}");
    let sum = format!("SELECT sum(x), [max(x)], CAST(1.0 AS DOUBLE) / 0 FROM (VALUES (CAST('{most}' AS DECIMAL(38,0))), ({most})) t(x)");
    let reply = place.json(&["sql", &sum])?;
    ensure!(reply["rows"] == json!([[format!("1{}8", "9".repeat(37)), [most], "Infinity"]]), "{reply}");
    for wrong in ["SELECT 9223372036854775807 + 1", "SELECT sum(x) FROM (VALUES (9223372036854775807),(1)) t(x)"] {
        place.run(&["sql", wrong])?.failed_with(&["verflow"]).or_else(|_| place.run(&["sql", wrong])?.failed_with(&["digits"]))?;
    }
    let csv = place.run(&["sql", "SELECT 123456789012345678901234567890 AS n", "--format", "csv"])?;
    ensure!(csv.stdout.trim() == "n\r\n123456789012345678901234567890", "{csv:?}");
    let deep = format!("SELECT 1{}", "+1".repeat(7_000));
    place.run(&["sql", &deep])?.failed_with(&["words and signs"])
}

/// The parts of an upload: what is signed, and files with the names that a form gives them.
struct Upload {
    fields: Value,
    files: Vec<(String, String)>,
}

impl Upload {
    fn signed(place: &Place, name: &str, text: &str, as_sent: &str) -> anyhow::Result<Self> {
        place.json(&["keys", "new", "walter"]).or_else(|_| place.json(&["keys", "address", "walter"]))?;
        let signer = api::identity::load(&place.data_dir(), "walter")?;
        let deployment: Value = serde_json::from_str(&fs::read_to_string(place.data_dir().join("deployment.json"))?)?;
        let registry = parse_address(deployment["registry"].as_str().context("a registry")?)?;
        let domain = SigningDomain { chain_id: deployment["chain_id"].as_u64().context("a chain")?, registry };
        let listed = place.json(&["datanets", "list"])?;
        let datanet = listed.as_array().into_iter().flatten().find(|row| row["name"] == "cold-chain").context("cold-chain")?;
        let datanet: DatanetId = datanet["datanet_id"].as_str().context("an id")?.parse()?;
        let deadline = Millis::now().unix_seconds() + 600;
        let entry = ManifestEntry { file_name: name.into(), sha256: sha256(text.as_bytes()), size_bytes: text.len() as u64 };
        let message = signed::submission(signer.address(), datanet, manifest_hash(std::slice::from_ref(&entry)), "CC0-1.0", deadline);
        let fields = json!({
            "datanet": datanet, "contributor": signer.address(), "licence": "CC0-1.0", "deadline": deadline,
            "signature": signer.sign_digest(domain.digest(&message))?,
            "files": [{ "file_name": name, "sha256": entry.sha256, "size_bytes": entry.size_bytes }],
        });
        Ok(Self { fields, files: vec![(as_sent.to_owned(), text.to_owned())] })
    }

    fn parts(&self) -> (String, String) {
        let fields = format!("--edge\r\ncontent-disposition: form-data; name=\"submission\"\r\n\r\n{}\r\n", self.fields);
        let file = |(name, text): &(String, String)| {
            format!("--edge\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n{text}\r\n")
        };
        (fields, self.files.iter().map(file).collect())
    }

    fn head(address: &str, length: usize) -> String {
        format!(
            "POST /v1/submissions HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: multipart/form-data; boundary=edge\r\ncontent-length: {length}\r\n\r\n"
        )
    }

    /// Sends it until it is done, as who hears no answer does; its report.
    fn done(&self, address: &str) -> anyhow::Result<Value> {
        let (fields, files) = self.parts();
        wait_for("the upload to be done", || {
            let reply = self.send(address, &format!("{fields}{files}--edge--\r\n"))?;
            let status: Value = serde_json::from_str(&reply.body).with_context(|| format!("{reply:?}"))?;
            let place = format!("location: /v1/submissions/{}", status["submission_id"].as_str().unwrap_or_default());
            ensure!([200, 202].contains(&reply.status) && reply.head.contains(&place), "{reply:?}");
            ensure!((reply.status == 200) == (status["state"] == "done"), "{reply:?}");
            Ok((reply.status == 200).then_some(status))
        })
    }

    fn send(&self, address: &str, body: &str) -> anyhow::Result<RawReply> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "{}{body}", Self::head(address, body.len()))?;
        exchange(&stream)
    }
}

/// Nothing of a file is waited for where what was signed is not in order.
fn an_upload_is_refused_by_its_manifest(place: &Place, address: &str) -> anyhow::Result<()> {
    let good = Upload::signed(place, "a.txt", "A text.", "a.txt")?;
    for (field, value, status) in [
        ("licence", json!("MIT"), 401),
        ("deadline", json!(1), 401),
        ("datanet", json!(format!("0x{}", "1".repeat(64))), 404),
        ("files", json!([{ "file_name": "a.txt", "sha256": "0".repeat(64), "size_bytes": 1_u64 << 40 }]), 413),
    ] {
        let mut fields = good.fields.clone();
        fields[field] = value;
        let (part, _) = Upload { fields, files: Vec::new() }.parts();
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // A file is announced and does not come; the answer does.
        let head = "--edge\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nA";
        write!(stream, "{}{part}{head}", Upload::head(address, 1 << 20))?;
        let mut said = [0; 12];
        stream.read_exact(&mut said).with_context(|| field.to_owned())?;
        ensure!(said.ends_with(status.to_string().as_bytes()), "{field}: {}", String::from_utf8_lossy(&said));
    }
    let (fields, files) = good.parts();
    let late = good.send(address, &format!("{files}{fields}--edge--\r\n"))?;
    ensure!(late.status == 400 && late.body.contains("must come first"), "{late:?}");
    let mut longer = Upload::signed(place, "a.txt", "A text.", "a.txt")?;
    longer.files[0].1.push_str(" And more than was signed.");
    let (fields, files) = longer.parts();
    let reply = longer.send(address, &format!("{fields}{files}--edge--\r\n"))?;
    ensure!(reply.status == 413, "{reply:?}");
    let left = fs::read_dir(place.data_dir().join("uploads"))?.count();
    ensure!(left == 0, "{left} uploads left their files");
    Ok(())
}

/// Without a list of files nothing of a form can be checked before it is there, whoever signed it.
fn forms_that_trickle_keep_nobody_out(place: &Place, address: &str) -> anyhow::Result<()> {
    let mut unlisted = Upload::signed(place, "a.txt", "A text.", "a.txt")?;
    unlisted.fields.as_object_mut().context("fields")?.remove("files");
    let (part, _) = unlisted.parts();
    let file = "--edge\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nA";
    let mut trickling = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(address)?;
        write!(stream, "{}{part}{file}", Upload::head(address, 500_000))?;
        trickling.push(stream);
    }
    let upload = Upload::signed(place, "after.txt", "Whoever signs for a text hands it in beside those who do not.", "after.txt")?;
    upload.done(address)?;
    drop(trickling);
    Ok(())
}

fn a_name_that_a_browser_quoted_keeps_its_signature(place: &Place, address: &str) -> anyhow::Result<()> {
    for (name, as_sent) in
        [("say \"hi\".txt", "say %22hi%22.txt"), ("100%22.txt", "100%22.txt"), ("Größe \"x\".txt", "Größe \\\"x\\\".txt")]
    {
        let text = format!("The name of this text is {name} and nothing else.");
        let upload = Upload::signed(place, name, &text, as_sent)?;
        for listed in [true, false] {
            let mut upload = Upload { fields: upload.fields.clone(), files: upload.files.clone() };
            if !listed {
                upload.fields.as_object_mut().context("fields")?.remove("files");
            }
            let report = upload.done(address)?;
            ensure!(report["documents"][0]["file_name"] == name, "{name}, listed: {listed}: {report}");
        }
    }
    Ok(())
}

fn a_body_that_is_too_large_is_refused_before_it_comes(address: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "{}--edge\r\n", Upload::head(address, 1 << 30))?;
    let reply = exchange(&stream)?;
    ensure!(reply.status == 413 && reply.body.contains("too_large"), "{reply:?}");
    Ok(())
}

/// What an item of a list is called in `after`.
type Cursor<'a> = &'a dyn Fn(&Value) -> String;

fn lists_come_in_pages(place: &Place, address: &str) -> anyhow::Result<()> {
    let operator = format!("Authorization: Bearer {}\r\n", key(place, "operator.apikey")?);
    let get = |path: &str| -> anyhow::Result<Vec<Value>> {
        let reply = request(address, "GET", path, &operator)?;
        serde_json::from_str(&reply.body).with_context(|| format!("{path}: {reply:?}"))
    };
    let datanet = |item: &Value| item["datanet_id"].as_str().unwrap_or_default().to_owned();
    let queued = |item: &Value| {
        let part = if item["status"] == "pending" { "pending" } else { "decided" };
        format!("{part}:{}", item["document"]["document_id"].as_str().unwrap_or_default())
    };
    let lists: [(&str, Cursor<'_>); 2] = [("/v1/datanets", &datanet), ("/v1/datanets/cold-chain/queue", &queued)];
    for (path, key) in lists {
        let all = get(path)?;
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let page = get(&format!("{path}?limit=2{after}"))?;
            let Some(last) = page.last() else { break };
            ensure!(page.len() <= 2, "{path}: {page:?}");
            after = format!("&after={}", key(last));
            found.extend(page);
        }
        ensure!(found == all && all.len() > 2, "{path}: {} of {}", found.len(), all.len());
        let reply = request(address, "GET", &format!("{path}?limit=0"), &operator)?;
        ensure!(reply.status == 400, "{path}: {reply:?}");
    }
    Ok(())
}

fn uploads_are_counted(address: &str) -> anyhow::Result<()> {
    let page = request(address, "GET", "/metrics", "")?.body;
    for sample in [
        "headwater_uploads{state=\"queued\"} 0",
        "headwater_uploads_ended_total{outcome=\"done\"} ",
        "headwater_upload_chunks_total{stage=\"embedded\"} ",
        "headwater_upload_stage_seconds_count{stage=\"commit\"} ",
    ] {
        ensure!(page.contains(sample), "{sample} is not in {page}");
    }
    Ok(())
}

/// The command asks the service, which alone has the store open.
fn a_running_service_is_put_in_order_by_hand(place: &Place) -> anyhow::Result<()> {
    place.json(&["upkeep"])?;
    let again = place.json(&["upkeep"])?;
    ensure!(again.as_array().is_some_and(|done| done.iter().all(|table| table["table"].is_string())), "{again}");
    Ok(())
}

fn others_on_this_machine_read_nothing(folder: &Path) -> anyhow::Result<()> {
    let mut open = BTreeSet::new();
    let mut left = vec![folder.to_owned()];
    while let Some(path) = left.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if !metadata.is_symlink() && metadata.permissions().mode() & 0o077 != 0 {
            open.insert(path.clone());
        }
        if metadata.is_dir() {
            left.extend(fs::read_dir(&path)?.filter_map(|entry| Some(entry.ok()?.path())));
        }
    }
    if !open.is_empty() {
        bail!("open to others: {open:?}");
    }
    Ok(())
}
