//! A contract that others wrote: added, seen in SQL, removed, and added again, on the real binary.

use std::fs;

use anyhow::{Context, ensure};
use serde_json::json;

use crate::harness::{Place, wait_for};

#[test]
fn contracts_are_added_removed_and_added_again() -> anyhow::Result<()> {
    let place = Place::new()?;
    let service = place.up()?;
    // Unchanged output of a compiler, with an event twice and another in two forms.
    let transfer = |indexed: bool| {
        let input = |name: &str, indexed: bool| json!({"name": name, "type": if name == "value" { "uint256" } else { "address" }, "indexed": indexed});
        json!({"type": "event", "name": "Transfer", "inputs": [input("from", true), input("to", true), input("value", indexed)]})
    };
    let abi = json!([transfer(false), transfer(true), transfer(false)]);
    let path = place.path("token.json");
    fs::write(&path, abi.to_string())?;
    let path = path.display().to_string();
    let token = service.deployment["token"].as_str().context("a token")?;
    let nowhere = "0x4842ae6205fb6bda74a8b390a69c7a7b3e945307";
    place.run(&["index", "add", &path, "0x4842ae6205fB6BDA74a8B390a69c7a7b3E945307", "--name", "typo"])?.failed_with(&["checksum"])?;
    place.run(&["index", "add", &path, nowhere, "--name", "nowhere"])?.failed_with(&["no code stands at", "--force"])?;
    let forced = place.json(&["index", "add", &path, nowhere, "--name", "nowhere", "--force"])?;
    ensure!(forced["notes"][0].as_str().is_some_and(|note| note.contains("no code")), "{forced}");

    let added = place.json(&["index", "add", &path, token, "--name", "open"])?;
    ensure!(added["tables"] == json!(["open_transfer_indexed2", "open_transfer_indexed3"]) && added["notes"].is_null(), "{added}");
    let query = "SELECT value, value_decimal / 2 AS half, decoded FROM open_transfer_indexed2 WHERE decoded ORDER BY block_number LIMIT 1";
    let rows = wait_for("a transfer", || Ok(Some(place.rows(query)?).filter(|rows| !rows.is_empty())))?;
    ensure!(rows.len() == 1, "{rows:?}");

    let removed = place.json(&["index", "remove", "open"])?;
    ensure!(removed["name"] == "open", "{removed}");
    place.run(&["index", "remove", "open"])?.failed_with(&["open"])?;
    place.run(&["sql", query])?.failed_with(&["open_transfer_indexed2"])?;
    let listed = place.json(&["index", "contracts"])?;
    ensure!(listed.as_array().is_some_and(|listed| listed.len() == 1 && listed[0]["name"] == "nowhere"), "{listed}");

    // Under the same name, with another ABI.
    fs::write(&path, json!([transfer(false)]).to_string())?;
    let again = place.json(&["index", "add", &path, token, "--name", "open"])?;
    ensure!(again["tables"] == json!(["open_transfer"]), "{again}");
    ensure!(!place.rows("SELECT value FROM open_transfer LIMIT 1")?.is_empty(), "no transfer");
    Ok(())
}
