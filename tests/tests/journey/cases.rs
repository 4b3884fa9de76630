//! Cases: folders of inputs, each with a `case.toml` that says what must come out. Ours lie in `tests/cases`;
//! `HEADWATER_CASES=FOLDER` names another folder. CONTRIBUTING.md says what a case.toml holds.
//!
//! Most are read by the libraries alone. One service is started where queries, questions or requests are among them.

mod contract;
mod document;
mod expected;
mod model;
mod query;
mod question;
mod request;

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use crate::harness::{Place, Service};
use contract::ContractCase;
use document::DocumentCheck;
use model::ModelCheck;
use query::QueryCheck;
use question::QuestionCase;
use request::RequestCheck;

/// A `case.toml`.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Case {
    /// Files, and the text that is read from them.
    Document { about: String, check: Vec<DocumentCheck> },
    /// Queries at a service's door.
    Query { about: String, check: Vec<QueryCheck> },
    /// An upload that is accepted and published, and a question.
    Question(QuestionCase),
    /// An ABI, logs and queries; and addresses that are typed.
    Contract(ContractCase),
    /// Configurations of models.
    Model { about: String, check: Vec<ModelCheck> },
    /// HTTP requests.
    Request { about: String, check: Vec<RequestCheck> },
}

/// What cases share: a service, started when the first of them needs it.
struct Bench {
    service: OnceCell<(Place, Service)>,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn service(&self) -> anyhow::Result<&(Place, Service)> {
        if self.service.get().is_none() {
            let place = Place::new()?;
            let service = place.up()?;
            drop(self.service.set((place, service)));
        }
        self.service.get().context("a service")
    }
}

#[test]
fn cases_hold() -> anyhow::Result<()> {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let folder = std::env::var_os("HEADWATER_CASES").map_or(ours, PathBuf::from);
    let mut cases: Vec<PathBuf> = fs::read_dir(&folder)
        .with_context(|| format!("cases in {}", folder.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<_>>()?;
    cases.retain(|path| path.join("case.toml").is_file());
    cases.sort();
    ensure!(!cases.is_empty(), "{} holds no case: a folder with a case.toml", folder.display());
    let bench = Bench { service: OnceCell::new(), runtime: tokio::runtime::Runtime::new()? };
    let mut failures = Vec::new();
    for case in &cases {
        if let Err(error) = run(case, &bench) {
            failures.push(format!("{}: {error:#}", case.file_name().unwrap_or_default().to_string_lossy()));
        }
    }
    ensure!(failures.is_empty(), "{} of {} cases fail:\n{}", failures.len(), cases.len(), failures.join("\n"));
    Ok(())
}

fn run(folder: &Path, bench: &Bench) -> anyhow::Result<()> {
    let case: Case = toml::from_str(&fs::read_to_string(folder.join("case.toml"))?).context("case.toml")?;
    let (about, outcomes): (String, Vec<anyhow::Result<()>>) = match case {
        Case::Document { about, check } => (about, check.iter().map(|check| check.run(folder)).collect()),
        Case::Query { about, check } => (about, check.iter().map(|check| check.run(bench)).collect()),
        Case::Question(case) => (case.about.clone(), vec![case.run(folder, bench)]),
        Case::Contract(case) => (case.about.clone(), case.run(folder, bench)),
        Case::Model { about, check } => (about, check.iter().map(|check| check.run(folder)).collect()),
        Case::Request { about, check } => (about, check.iter().map(|check| check.run(bench)).collect()),
    };
    ensure!(!outcomes.is_empty(), "it checks nothing");
    let failed: Vec<String> = outcomes.into_iter().filter_map(Result::err).map(|error| format!("\n    {error:#}")).collect();
    if failed.is_empty() { Ok(()) } else { bail!("{about}{}", failed.concat()) }
}
