//! Queries over the tables of a service, as its door answers them.

use anyhow::ensure;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Bench;
use super::expected::Expected;
use crate::harness::{Place, Service, post};

#[derive(Debug, Deserialize)]
pub(super) struct QueryCheck {
    query: String,
    /// Whether an error is as right as the rows.
    #[serde(default)]
    may_fail: bool,
    /// Of the reply's rows, written as JSON; of the error where it is one.
    #[serde(flatten)]
    rows: Expected,
}

impl QueryCheck {
    pub(super) fn run(&self, bench: &Bench) -> anyhow::Result<()> {
        let (status, reply) = ask(bench.service()?, &self.query)?;
        if status != 200 {
            ensure!(self.may_fail && (400..500).contains(&status), "{:?}: status {status}: {reply}", self.query);
            return Ok(());
        }
        self.rows.check(&self.query, &reply["rows"].to_string())
    }
}

fn ask((place, service): &(Place, Service), query: &str) -> anyhow::Result<(u16, Value)> {
    let key = format!("Bearer {}", operator_key(place)?);
    post(service.address(), "/v1/sql", &[("authorization", &key)], &json!({ "query": query }))
}

pub(super) fn operator_key(place: &Place) -> anyhow::Result<String> {
    Ok(std::fs::read_to_string(place.data_dir().join("operator.apikey"))?.trim().to_owned())
}
