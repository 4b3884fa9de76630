//! Invariant 10 at the door: what is wrong is told, and nothing panics.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::harness::{PATIENCE, Place};

/// A node that is not there, and contracts that could be.
const NO_NODE: &str = r#"
[chain]
rpc_url = "http://127.0.0.1:1"
[chain.deployment]
chain_id = 31337
registry = "0x1111111111111111111111111111111111111111"
models = "0x5555555555555555555555555555555555555555"
vault = "0x2222222222222222222222222222222222222222"
distributor = "0x3333333333333333333333333333333333333333"
token = "0x4444444444444444444444444444444444444444"
start_block = 1
"#;

#[test]
fn bad_input_is_a_typed_error() -> anyhow::Result<()> {
    a_missing_model_says_how_to_get_it()?;
    a_wrong_setting_is_named()?;
    a_port_in_use_is_named()?;
    unknown_names_are_named()?;
    a_node_that_is_down_and_a_corrupt_table_are_named()
}

#[test]
fn every_command_line_can_be_parsed() -> anyhow::Result<()> {
    let place = Place::new()?;
    for command in [
        "up",
        "demo",
        "keys new",
        "keys list",
        "keys address",
        "dev fund",
        "datanets create",
        "datanets list",
        "datanets versions",
        "submit",
        "review list",
        "review show",
        "review accept",
        "review reject",
        "publish",
        "apps register",
        "analysts new",
        "apps limit",
        "apps list",
        "apps revoke",
        "datanets curator",
        "datanets accept-fork",
        "ask",
        "sql",
        "receipt",
        "verify",
        "settle",
        "claim",
        "models list",
        "models pull",
        "models inspect",
        "models bench",
        "doctor",
        "index status",
        "index add",
        "index contracts",
        "index remove",
        "config print",
        "config check",
    ] {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let ended = place.run(&words)?;
        ensure!(ended.code == Some(0), "{command}: {ended:?}");
    }
    Ok(())
}

fn a_missing_model_says_how_to_get_it() -> anyhow::Result<()> {
    let place = Place::new()?;
    let mut command = place.command(&["up"]);
    command.env("HEADWATER_MODELS", place.path("no-models"));
    place.run_command(command, PATIENCE)?.failed_with(&["headwater models pull"])
}

fn a_wrong_setting_is_named() -> anyhow::Result<()> {
    let place = Place::new()?;
    place.run(&["--set", "http.bnd=1", "up"])?.failed_with(&["http.bnd", "headwater config print"])?;
    place.run(&["--set", "sql.max_rows=many", "up"])?.failed_with(&["sql.max_rows", "whole number"])?;
    fs::create_dir_all(place.data_dir())?;
    place.run(&["--set", "generator.model=nobody/nothing", "up"])?.failed_with(&["nobody/nothing", "headwater models pull"])?;
    for (text, words) in
        [("[sql]\nmax_row = 1\n", "max_row"), ("[sql\n", "is not TOML"), ("[chain]\nrpc_url = \"http://127.0.0.1:1\"\n", "deployment")]
    {
        fs::write(place.data_dir().join("headwater.toml"), text)?;
        place.run(&["up"])?.failed_with(&[words])?;
    }
    Ok(())
}

fn a_port_in_use_is_named() -> anyhow::Result<()> {
    let place = Place::new()?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    place.run(&["--set", &format!("http.bind={address}"), "up"])?.failed_with(&[&address])
}

fn unknown_names_are_named() -> anyhow::Result<()> {
    let place = Place::new()?;
    place.run(&["claim", "--as", "nobody"])?.failed_with(&["nobody", "headwater keys new"])?;
    place.run(&["keys", "new", "../x"])?.failed_with(&["../x"])?;
    place.run(&["sql", "SELECT 1"])?.failed_with(&["headwater up"])?;
    place.run(&["--url", "http://127.0.0.1:1", "sql", "SELECT 1"])?.failed_with(&["http://127.0.0.1:1"])
}

fn a_node_that_is_down_and_a_corrupt_table_are_named() -> anyhow::Result<()> {
    let place = Place::new()?;
    fs::create_dir_all(place.data_dir())?;
    fs::write(place.data_dir().join("headwater.toml"), NO_NODE)?;
    // The store is opened before the node is asked, so there are tables to corrupt.
    place.run(&["up"])?.failed_with(&["http://127.0.0.1:1"])?;
    let zeroed = zero_files(&place.data_dir().join("store/tables/datanets.lance/_versions"))?;
    ensure!(zeroed > 0, "the table has no manifest");
    place.run(&["up"])?.failed_with(&["datanets"])
}

/// Overwrites every file with zeroes of its length.
fn zero_files(folder: &Path) -> anyhow::Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        let length = usize::try_from(fs::metadata(&path)?.len())?;
        fs::write(&path, vec![0; length])?;
        count += 1;
    }
    Ok(count)
}
