//! What must not stop payouts, and what must: a payer that gets out of its debit, and a disputed root.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::harness::{Place, Service, post, wait_for};

const TEXT: &str = "# Vaccines\n\nMost vaccines are stored in a refrigerator at a temperature between 2 °C and 8 °C. The usual set point is 5 °C, which leaves the same margin on both sides.\n";
const QUESTION: &str = "At what temperature should most vaccines be stored in a refrigerator?";
const WINDOW_SECONDS: u64 = 600;

#[test]
fn a_bad_payer_stops_nobody_and_a_dispute_stops_payouts() -> anyhow::Result<()> {
    let place = Place::new()?;
    fs::create_dir_all(place.data_dir())?;
    let settings = format!("[settlement]\ndispute_window_seconds = {WINDOW_SECONDS}\nwithdrawal_delay_seconds = 1\n");
    fs::write(place.data_dir().join("headwater.toml"), settings)?;
    let service = place.up()?;
    publish(&place)?;
    ask(&place, "app")?;
    let nonce = ask(&place, "rogue")?;
    get_out_of_the_debit(&place, &nonce)?;
    the_default_costs_its_payers_receipt_alone(&place, &service)?;
    a_dispute_halts_payouts(&place)?;
    a_removed_root_is_proposed_again(&place, &service)?;
    who_pays_its_debt_is_answered_again(&place, &service)?;
    fees_change_on_notice(&place)?;
    ensure!(service.lives()?, "the service ended by itself");
    Ok(())
}

fn text<'a>(value: &'a Value, name: &str) -> anyhow::Result<&'a str> {
    value[name].as_str().with_context(|| format!("no text {name} in {value}"))
}

fn publish(place: &Place) -> anyhow::Result<()> {
    for name in ["ada", "iris", "app", "rogue"] {
        place.json(&["keys", "new", name])?;
    }
    let file = place.path("ada.md");
    fs::write(&file, TEXT)?;
    let file = file.to_str().context("the path is not text")?;
    place.json(&["datanets", "create", "--name", "cold", "--title", "Cold chain", "--topic", "Vaccines", "--curator", "iris"])?;
    place.json(&["submit", "--datanet", "cold", "--as", "ada", "--licence", "CC-BY-4.0", file])?;
    place.json(&["review", "accept", "--datanet", "cold", "--as", "iris", "ada.md"])?;
    place.json(&["publish", "--datanet", "cold", "--as", "iris"])?;
    wait_for("the version to be final", || {
        Ok(Some(()).filter(|()| place.json(&["datanets", "versions", "cold"]).is_ok_and(|rows| rows[0]["anchor"] == "final")))
    })
}

/// One paid answer; the nonce of the limit that it is paid under.
fn ask(place: &Place, name: &str) -> anyhow::Result<String> {
    place.json(&["dev", "fund", name, "--eth", "1", "--open", "1"])?;
    let registered = place.json(&["apps", "register", "--name", name, "--as", name, "--deposit", "1", "--limit", "1"])?;
    let key = text(&registered, "key_file")?.to_owned();
    let answer = wait_for("the deposit to count", || {
        let asked = place.run(&["--json", "ask", "--datanet", "cold", "--app-key", &key, QUESTION])?;
        if asked.code == Some(0) { asked.json().map(Some) } else { Ok(None) }
    })?;
    ensure!(answer["attribution"]["fee_wei"] == "10000000000000000", "{answer}");
    text(&registered, "nonce").map(str::to_owned)
}

/// The limit ends before the epoch is debited; it backs no answer from the moment that its cancellation is seen.
fn get_out_of_the_debit(place: &Place, nonce: &str) -> anyhow::Result<()> {
    let cancelled = place.json(&["apps", "cancel-limit", "--as", "rogue", "--nonce", nonce])?;
    wait_for(
        "the cancellation in the tables",
        || Ok(Some(place.rows("SELECT seq FROM limit_cancelled")?).filter(|rows| !rows.is_empty())),
    )?;
    refused(place, "no spending limit")?;
    let from = cancelled["cancelled_from"].as_u64().context("no time")?;
    wait_for("the limit to end", || Ok(Some(()).filter(|()| unix_seconds() > from)))
}

/// A question of who did not pay.
fn refused(place: &Place, words: &str) -> anyhow::Result<()> {
    let key = place.data_dir().join("rogue.apikey");
    let key = key.to_str().context("the path is not text")?;
    place.run(&["ask", "--datanet", "cold", "--app-key", key, QUESTION])?.failed_with(&[words])
}

fn close_epoch(place: &Place, service: &Service) -> anyhow::Result<()> {
    let key = fs::read_to_string(place.data_dir().join("operator.apikey"))?;
    let bearer = format!("Bearer {}", key.trim());
    let (status, reply) = post(service.address(), "/v1/settlements", &[("authorization", bearer.as_str())], &json!({}))?;
    ensure!(status == 200, "{reply}");
    Ok(())
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// The debit is short and on record; the other payer's receipt is paid, without anybody's help; the door is closed.
fn the_default_costs_its_payers_receipt_alone(place: &Place, service: &Service) -> anyhow::Result<()> {
    close_epoch(place, service)?;
    let view = stage(place, "proposed")?;
    let paid = &view["settlement"];
    let amounts = ["collected_wei", "unpaid_wei", "pool_wei"].map(|name| paid[name].as_str().unwrap_or_default());
    ensure!(amounts == ["10000000000000000", "10000000000000000", "8000000000000000"], "{view}");
    let short = wait_for("the short debit in the tables", || {
        Ok(Some(place.rows("SELECT DISTINCT seq, owed, taken, reason FROM debit_short")?).filter(|rows| !rows.is_empty()))
    })?;
    // 2: the limit was cancelled.
    let expected = short.len() == 1 && short[0]["owed"] == "10000000000000000" && short[0]["taken"] == "0" && short[0]["reason"] == 2;
    ensure!(expected, "{short:?}");
    place.json(&["apps", "limit", "--as", "rogue", "--limit", "1"])?;
    refused(place, "has not paid 0.01 OPEN (10000000000000000 wei)")
}

/// The debt is asked for with the next epoch, which has no receipts of its own, and pays who earned it then.
fn who_pays_its_debt_is_answered_again(place: &Place, service: &Service) -> anyhow::Result<()> {
    close_epoch(place, service)?;
    stage(place, "proposed")?;
    pass_the_window(service)?;
    let view = stage(place, "accepted")?;
    ensure!(view["settlement"]["epoch"] == 2 && view["settlement"]["unpaid_wei"] == "0", "{view}");
    let claimed = place.json(&["claim", "--as", "ada"])?;
    ensure!(claimed["paid_wei"] == "8000000000000000", "{claimed}");
    let key = place.data_dir().join("rogue.apikey");
    place.json(&["ask", "--datanet", "cold", "--app-key", key.to_str().context("the path is not text")?, QUESTION])?;
    Ok(())
}

fn pass_the_window(service: &Service) -> anyhow::Result<()> {
    let later = json!({ "jsonrpc": "2.0", "id": 1, "method": "evm_increaseTime", "params": [WINDOW_SECONDS] });
    post(service.rpc_url.trim_start_matches("http://"), "/", &[], &later).map(drop)
}

/// Waits until the newest epoch is at a stage; the whole view.
fn stage(place: &Place, name: &str) -> anyhow::Result<Value> {
    wait_for(name, || Ok(Some(place.json(&["chain", "show"])?).filter(|view| view["settlement"]["stage"] == name)))
}

fn a_dispute_halts_payouts(place: &Place) -> anyhow::Result<()> {
    let evidence = place.path("evidence.txt");
    fs::write(&evidence, "the root pays too little")?;
    place.json(&["dev", "fund", "ada", "--eth", "1", "--open", "0.1"])?;
    let disputed = place.json(&["chain", "dispute", "--as", "ada", "--evidence", evidence.to_str().context("the path is not text")?])?;
    let view = stage(place, "disputed")?;
    // Addresses in sentences carry a checksum in their case.
    let halted = text(&view["settlement"], "halted")?.to_lowercase();
    ensure!(halted.contains(text(&disputed, "by")?) && halted.contains(text(&disputed, "evidence_hash")?), "{view}");
    ensure!(view["settlement"]["dispute"]["by"] == disputed["by"], "{view}");
    place.run(&["settle"])?.failed_with(&["disputes the reward root of epoch 1"])?;
    let ready = place.run(&["doctor"])?;
    ensure!(ready.code == Some(0), "a dispute is no failure: {ready:?}");
    Ok(())
}

fn a_removed_root_is_proposed_again(place: &Place, service: &Service) -> anyhow::Result<()> {
    place.json(&["chain", "resolve", "--epoch", "1", "--valid"])?;
    let view = stage(place, "removed")?;
    ensure!(text(&view["settlement"], "halted")?.contains("propose-root"), "{view}");
    let back = wait_for("the bond's return in the tables", || {
        Ok(Some(place.rows("SELECT account, amount FROM bond_withdrawn")?).filter(|rows| !rows.is_empty()))
    })?;
    ensure!(back[0].to_string().contains("100000000000000000"), "{back:?}");
    place.json(&["chain", "propose-root"])?;
    stage(place, "proposed")?;
    pass_the_window(service)?;
    stage(place, "accepted")?;
    let claimed = place.json(&["claim", "--as", "ada"])?;
    ensure!(claimed["paid_wei"] == view["settlement"]["pool_wei"] && claimed["paid_wei"] != "0", "{claimed} {view}");
    Ok(())
}

fn fees_change_on_notice(place: &Place) -> anyhow::Result<()> {
    let announced = ["chain", "propose-fees", "--platform", "2000", "--model", "500", "--data", "7500"];
    place.json(&announced)?;
    let view = place.json(&["chain", "show"])?;
    ensure!(view["fees"]["data_bps"] == 8000 && view["proposed_fees"][0]["data_bps"] == 7500, "{view}");
    place.run(&["chain", "activate-fees"])?.failed_with(&["FeeNoticeNotOver"])?;
    place.run(&["chain", "propose-fees", "--platform", "1", "--model", "1", "--data", "1"])?.failed_with(&["FeesDoNotSum"])
}
