//! Payouts that a stranger computes again, from a folder with nothing in it; and a service that lies about them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::doors::request;
use crate::harness::{Place, RawReply, Service};

/// What is said falsely: a part of the paths of such replies, what is done to them, and what the stranger finds.
struct Lie(&'static str, fn(&mut Value), &'static str);

const LIES: [Lie; 14] = [
    Lie("/v1/receipts", |receipts| drop(receipts.as_array_mut().and_then(Vec::pop)), "does not give each of the receipts"),
    Lie("/v1/receipts", |receipts| receipts[0]["body"]["shares"][0]["share_ppm"] = json!(1), "receipt 1:"),
    Lie("/v1/receipts", |receipts| receipts[0]["signer"] = json!("0x00000000000000000000000000000000000000aa"), "receipt 1:"),
    Lie("/rewards", |rows| rows[0]["amount_wei"] = json!("1"), "✗ failed       rewards"),
    Lie("/debts", |rows| rows[0]["collected_wei"] = json!("1"), "✗ failed       debts"),
    Lie("/v1/epochs/1?", |epoch| epoch["closing"]["epoch"] = json!(2), "gives epochs 2 and 1 for epoch 1"),
    Lie("/v1/epochs/1?", |epoch| epoch["closing"]["last_sequence"] = json!(u64::MAX), "the service does not give each"),
    Lie("/v1/epochs/1?", |epoch| epoch["closing"]["data_bps"] = json!(9_000), "the vault's schedule was 8000"),
    Lie("/v1/epochs/1?", |epoch| epoch["closing"]["reserve_wei"] = json!("7"), "artifact_hash"),
    Lie(
        "/v1/epochs/1?",
        |epoch| epoch["closing"]["receipts_root"] = epoch["closing"]["block_hash"].clone(),
        "was given the receipts of root",
    ),
    Lie("/v1/epochs/1?", |epoch| epoch["closing"]["first_sequence"] = json!(2), "it has the receipts 2 to"),
    Lie("/v1/epochs/1?", |epoch| epoch["policy"]["cap_wei"] = json!("1"), "artifact_hash"),
    Lie("/v1/epochs/1?", |epoch| epoch["policy"] = Value::Null, "rules is"),
    Lie("/v1/epochs/1?", |epoch| epoch["settled"]["pool_wei"] = json!("1"), "pool_wei"),
];

/// Every epoch that is accepted comes out again, and no lie about the first goes through.
pub(crate) fn payouts_are_computed_again(place: &Place, service: &Service) -> anyhow::Result<()> {
    let epochs = place.rows("SELECT epoch, reward_root, artifact_hash FROM epochs ORDER BY epoch")?;
    let policies = place.rows("SELECT p.policy FROM policies p JOIN epochs e ON e.epoch = p.epoch")?;
    ensure!(policies.len() == epochs.len(), "each epoch states its policy, in SQL too: {policies:?}");
    let newest = epochs.last().context("no epoch is settled")?;
    let stranger = Place::new()?;
    let last = newest["epoch"].to_string();
    let address = |name: &str| service.deployment[name].as_str().context("no such contract").map(str::to_owned);
    let (registry, vault, distributor) = (address("registry")?, address("vault")?, address("distributor")?);
    let own = ["--rpc", &service.rpc_url, "--registry", &registry, "--vault", &vault, "--distributor", &distributor, "--start-block", "0"];
    let all = [&["--url", &service.url, "settle", "--recompute", &last, "--from", "1"][..], &own].concat();
    let computed = stranger.json(&all)?;
    ensure!(computed["valid"] == true, "everything is checked, and holds: {computed}");
    for name in ["reward_root", "artifact_hash"] {
        ensure!(computed[name] == newest[name], "{name}: {computed} for {newest}");
    }
    let alone = stranger.json(&["--url", &service.url, "settle", "--recompute", &last])?;
    ensure!(alone["valid"] == false && alone["reward_root"] == newest["reward_root"], "what is believed is said: {alone}");
    stranger.run(&["--url", &service.url, "settle", "--recompute", "999"])?.failed_with(&["no epoch 998"])?;
    let late = ["--url", &service.url, "settle", "--recompute", "1", "--start-block", "99999999"];
    stranger.run(&late)?.failed_with(&["name an earlier one"])?;
    for Lie(path, lie, found) in LIES {
        let liar = lying(service.address(), path, lie)?;
        let said = stranger.run(&["--url", &format!("http://{liar}"), "settle", "--recompute", "1"])?;
        said.failed_with(&[found]).with_context(|| format!("a lie in {path} that should show as {found:?}"))?;
    }
    Ok(())
}

/// Passes on what it is asked, and lies in the replies to paths that hold `part`. It lives as long as the process.
fn lying(service: &str, part: &'static str, lie: fn(&mut Value)) -> anyhow::Result<String> {
    let (listener, service) = (TcpListener::bind("127.0.0.1:0").context("a port")?, service.to_owned());
    let address = listener.local_addr()?.to_string();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            // whoever is not answered finds the connection closed, and the test its error
            drop(answer(client, &service, part, lie));
        }
    });
    Ok(address)
}

fn answer(mut client: TcpStream, service: &str, part: &str, lie: fn(&mut Value)) -> anyhow::Result<()> {
    let mut lines = BufReader::new(client.try_clone()?).lines();
    let first = lines.next().context("nothing is asked")??;
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = first.split(' ').nth(1).context("no path")?;
    let RawReply { status, body, .. } = request(service, "GET", path, "")?;
    let mut reply: Value = serde_json::from_str(&body)?;
    if format!("{path}?").contains(part) && status == 200 {
        lie(&mut reply);
    }
    let body = reply.to_string();
    let head =
        format!("HTTP/1.1 {status} said\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    client.write_all(format!("{head}{body}").as_bytes())?;
    Ok(client.shutdown(Shutdown::Write)?)
}
