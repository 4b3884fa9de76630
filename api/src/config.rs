//! Configuration: flags over environment over file over defaults. An unknown key is an error.
//!
//! Every key has an environment variable `HEADWATER__SECTION__KEY`. The defaults are one commented
//! file, [`DEFAULTS`], which `headwater config print` shows.

use std::num::{NonZero, NonZeroU64};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use schemas::contracts::Deployment;
use serde::{Deserialize, Serialize};

mod generator;
mod http;
mod machine;
mod models;
mod nodes;
mod rag;
mod settlement;

pub use generator::{Answers, Generator};
pub use http::Http;
pub use machine::Machine;
pub use models::{EmbedderPrecision, EmbedderSource, Language, ModelFolder, Models, NoLanguage, local_model};
pub use nodes::{IndexerSection, Rpc, SenderSection};
pub use rag::{Attribution, AttributionMethod, Fusion, Rag};
pub use settlement::Settlement;

/// What the names of environment variables with settings begin with.
pub const VARIABLES: &str = "HEADWATER__";

/// Every key with its default and meaning.
pub const DEFAULTS: &str = include_str!("default.toml");

/// Requests, files or queries at once: more would only wait for the processors, and hold memory meanwhile.
const MOST_AT_ONCE: u64 = 10_000;
/// A text to trace comes as JSON, in a body of twice as much.
const MOST_TRACED_BYTES: u64 = 1 << 20;
/// Each is looked at in turn, within the time of a request.
const MOST_TRACED_DATANETS: u64 = 1_000;
/// Processes that wait for a query.
const MOST_WARM_WORKERS: u64 = 256;

/// All settings.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub http: Http,
    pub store: StoreSection,
    pub models: Models,
    pub chain: Chain,
    pub rpc: Rpc,
    pub indexer: IndexerSection,
    pub sender: SenderSection,
    pub ingest: Ingest,
    pub rag: Rag,
    pub attribution: Attribution,
    pub generator: Generator,
    pub sql: Sql,
    pub settlement: Settlement,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSection {
    /// Empty: `store/` in the data folder.
    pub url: String,
    pub fsync: bool,
    /// What is kept in memory of what was read of the tables' files, all tables together.
    pub cache_mib: NonZero<usize>,
    /// Versions of each table that stay, beside those of the last ten minutes …
    pub keep_versions: NonZeroU64,
    /// … unless they are older than this.
    pub keep_days: NonZeroU64,
    pub upkeep_interval_seconds: NonZeroU64,
}

impl StoreSection {
    /// Which versions of a table stay.
    pub fn retention(&self) -> store::Retention {
        let at_most = Duration::from_hours(24).saturating_mul(u32::try_from(self.keep_days.get()).unwrap_or(u32::MAX));
        store::Retention { versions: self.keep_versions.get(), at_most, ..store::Retention::default() }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// Empty: a development chain is started. Several addresses have commas between them.
    pub rpc_url: String,
    /// What strangers are told; empty: a development chain's node, or none.
    pub public_rpc_url: String,
    /// Announces new blocks; empty: the node is only polled.
    pub ws_url: String,
    pub verify: indexer::Verify,
    /// The contracts; needed with `rpc_url`.
    pub deployment: Option<Deployment>,
    pub poll_interval_ms: u64,
    pub commit_interval_ms: u64,
    pub dev_port: u16,
    pub dev_block_time_ms: u64,
    pub anvil: PathBuf,
    /// Empty: the key in the environment or in the data folder.
    pub keystore: PathBuf,
    /// Empty: the password is in the environment.
    pub keystore_password_file: PathBuf,
    /// Decimal strings, in wei.
    pub max_fee_per_gas_wei: String,
    pub max_fees_per_day_wei: String,
    pub max_transactions_per_day: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ingest {
    pub max_file_bytes: u64,
    pub max_files_per_submission: usize,
    pub max_submission_bytes: u64,
    pub max_files_per_contributor_per_day: u64,
    pub max_bytes_per_contributor_per_day: u64,
    pub max_submissions_under_way_per_contributor: usize,
    pub max_submissions_under_way: usize,
    pub near_duplicate_ppm: u64,
    /// 0: one for each processor.
    pub max_concurrent_files: usize,
    pub max_chunks_per_document: usize,
    pub max_chunks_per_submission: usize,
    pub embedding_batch_texts: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sql {
    pub max_rows: usize,
    pub max_result_bytes: usize,
    pub max_memory_bytes: usize,
    pub timeout_seconds: u64,
    pub operator_timeout_seconds: u64,
    pub max_statement_bytes: usize,
    /// 0: as many as processors, at least 4.
    pub max_concurrent: usize,
    pub warm_workers: usize,
}

/// Where a configuration comes from.
#[derive(Debug, Clone)]
pub struct Sources {
    pub data_dir: PathBuf,
    /// Named explicitly: must exist. Otherwise `headwater.toml` in the data folder, if there.
    pub file: Option<PathBuf>,
    /// `section.key=value`
    pub set: Vec<String>,
    /// The same, in place of the built-in defaults: everything else counts more.
    pub defaults: &'static [&'static str],
}

impl Sources {
    /// The configuration file, where there is one.
    pub fn read_file(&self) -> Option<PathBuf> {
        let in_data_dir = self.data_dir.join("headwater.toml");
        self.file.clone().or_else(|| in_data_dir.exists().then_some(in_data_dir))
    }
}

impl Config {
    /// Merges all sources.
    pub fn load(sources: &Sources) -> anyhow::Result<Self> {
        Self::merge(sources, std::env::vars())
    }

    fn merge(sources: &Sources, environment: impl Iterator<Item = (String, String)>) -> anyhow::Result<Self> {
        let mut merged: toml::Table = DEFAULTS.parse().context("the built-in defaults")?;
        for assignment in sources.defaults {
            let (path, value) = assignment.split_once('=').with_context(|| format!("{assignment:?}: expected section.key=value"))?;
            set(&mut merged, path, value).with_context(|| format!("the default {assignment}"))?;
        }
        let file = sources.read_file();
        if let Some(path) = &file {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read the configuration file {}", path.display()))?;
            let table: toml::Table = text.parse().with_context(|| format!("{} is not TOML", path.display()))?;
            overlay(&mut merged, table);
        }
        for (name, value) in environment {
            if let Some(path) = name.strip_prefix(VARIABLES) {
                let path = path.to_ascii_lowercase().replace("__", ".");
                set(&mut merged, &path, &value).with_context(|| format!("environment variable {name}"))?;
            }
        }
        for assignment in &sources.set {
            let (path, value) = assignment.split_once('=').with_context(|| format!("--set {assignment:?}: expected section.key=value"))?;
            set(&mut merged, path, value).with_context(|| format!("--set {assignment}"))?;
        }
        let config: Self = serde_path_to_error::deserialize(merged).map_err(|error| {
            let place = file.map_or(String::new(), |path| format!(" (configuration file: {})", path.display()));
            let (key, problem) = (error.path(), error.inner().message());
            anyhow::anyhow!("configuration: {key}: {problem}{place}; `headwater config print` shows every key")
        })?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> anyhow::Result<()> {
        self.price_wei()?;
        self.http.check()?;
        self.generator.check()?;
        if self.attribution.method == AttributionMethod::Likelihood && !self.generator.scores() {
            bail!(
                "configuration: attribution.method is \"likelihood\", and generator.model {:?} cannot say how likely an answer was: \
                 name a model on this machine, or a service with generator.remote_scores",
                self.generator.model
            );
        }
        self.rpc.check()?;
        self.indexer.check()?;
        self.sender.check()?;
        at_least(&[
            ("ingest.max_chunks_per_document", self.ingest.max_chunks_per_document as u64, 1),
            ("ingest.max_chunks_per_submission", self.ingest.max_chunks_per_submission as u64, 1),
            ("ingest.embedding_batch_texts", self.ingest.embedding_batch_texts as u64, 1),
            ("rag.max_pending_receipts", self.rag.max_pending_receipts as u64, 1),
            ("rag.max_question_bytes", self.rag.max_question_bytes as u64, 1),
            ("rag.max_trace_bytes", self.rag.max_trace_bytes as u64, 1),
            ("rag.max_trace_datanets", self.rag.max_trace_datanets as u64, 1),
            ("ingest.max_submissions_under_way", self.ingest.max_submissions_under_way as u64, 1),
            ("rag.top_k", self.rag.top_k as u64, 1),
            ("rag.candidates", self.rag.candidates as u64, 1),
            ("rag.contrast_ppm", self.rag.contrast_ppm, 1),
            ("settlement.apps_max", self.settlement.apps_max as u64, 1),
            ("settlement.limits_max", self.settlement.limits_max as u64, 1),
            ("settlement.batch_bytes_max", self.settlement.batch_bytes_max as u64, 1),
            ("sql.max_statement_bytes", self.sql.max_statement_bytes as u64, 1),
            ("sql.operator_timeout_seconds", self.sql.operator_timeout_seconds, 1),
            ("sql.timeout_seconds", self.sql.timeout_seconds, 1),
            ("attribution.timeout_seconds", self.attribution.timeout_seconds, 1),
        ])?;
        at_most(&[
            ("generator.queue_max", self.generator.queue_max as u64, MOST_AT_ONCE),
            ("ingest.max_concurrent_files", self.ingest.max_concurrent_files as u64, MOST_AT_ONCE),
            ("rag.max_concurrent_answers", self.rag.max_concurrent_answers as u64, MOST_AT_ONCE),
            ("rag.vector_weight_ppm", self.rag.vector_weight_ppm, schemas::allocation::PPM),
            ("rag.contrast_ppm", self.rag.contrast_ppm, schemas::allocation::PPM),
            ("rag.rrf_k", self.rag.rrf_k, schemas::allocation::PPM),
            ("rag.rerank_candidates", self.rag.rerank_candidates as u64, ::rag::MAX_RERANKED as u64),
            ("rag.max_waiting_answers", self.rag.max_waiting_answers as u64, MOST_AT_ONCE),
            ("rag.max_concurrent_traces", self.rag.max_concurrent_traces as u64, MOST_AT_ONCE),
            ("rag.max_waiting_traces", self.rag.max_waiting_traces as u64, MOST_AT_ONCE),
            ("rag.max_trace_bytes", self.rag.max_trace_bytes as u64, MOST_TRACED_BYTES),
            ("rag.max_trace_datanets", self.rag.max_trace_datanets as u64, MOST_TRACED_DATANETS),
            ("sql.max_concurrent", self.sql.max_concurrent as u64, MOST_AT_ONCE),
            ("sql.warm_workers", self.sql.warm_workers as u64, MOST_WARM_WORKERS),
        ])?;
        wei("chain.max_fee_per_gas_wei", &self.chain.max_fee_per_gas_wei)?;
        wei("chain.max_fees_per_day_wei", &self.chain.max_fees_per_day_wei)?;
        self.settlement.check()?;
        if !self.chain.rpc_url.is_empty() && self.chain.deployment.is_none() {
            bail!("configuration: chain.rpc_url is set but [chain.deployment] does not say where the contracts are");
        }
        Ok(())
    }

    pub fn price_wei(&self) -> anyhow::Result<u128> {
        wei("rag.price_wei", &self.rag.price_wei)
    }

    pub fn models_dir(&self) -> PathBuf {
        if !self.models.dir.as_os_str().is_empty() {
            return self.models.dir.clone();
        }
        if let Some(dir) = std::env::var_os("HEADWATER_MODELS").filter(|dir| !dir.is_empty()) {
            return dir.into();
        }
        cache_dir().join("headwater").join("models")
    }

    pub fn store_url(&self, data_dir: &Path) -> anyhow::Result<String> {
        if !self.store.url.is_empty() {
            return Ok(self.store.url.clone());
        }
        let folder = std::path::absolute(data_dir.join("store")).context("the data folder's path")?;
        let url = reqwest::Url::from_directory_path(&folder).map_err(|()| anyhow::anyhow!("{} cannot be a file URL", folder.display()))?;
        Ok(url.to_string())
    }
}

/// Limits that would stop everything below their least value: key, value, least.
fn at_least(limits: &[(&str, u64, u64)]) -> anyhow::Result<()> {
    for (key, value, least) in limits {
        if value < least {
            bail!("configuration: {key} is {value}; it must be at least {least}");
        }
    }
    Ok(())
}

fn at_most(limits: &[(&str, u64, u64)]) -> anyhow::Result<()> {
    for (key, value, most) in limits {
        if value > most {
            bail!("configuration: {key} is {value}; it must be at most {most}");
        }
    }
    Ok(())
}

/// An amount in the configuration.
pub(crate) fn wei(key: &str, text: &str) -> anyhow::Result<u128> {
    text.parse().with_context(|| format!("configuration: {key} {text:?} is not a number of wei"))
}

fn cache_dir() -> PathBuf {
    let named = std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    named.unwrap_or_else(|| home_dir().join(".cache"))
}

/// The folder of all state when none is named.
pub fn default_data_dir() -> PathBuf {
    let named = std::env::var_os("XDG_DATA_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    named.unwrap_or_else(|| home_dir().join(".local/share")).join("headwater")
}

fn home_dir() -> PathBuf {
    std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from)
}

fn overlay(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(base)), toml::Value::Table(over)) => overlay(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// Sets a dotted path. The text becomes what the key's default is: number, fraction, boolean, text, or texts with commas between
/// them; text under a table of names.
fn set(table: &mut toml::Table, path: &str, text: &str) -> anyhow::Result<()> {
    let (section, key) = path.split_once('.').with_context(|| format!("{path:?} is not section.key"))?;
    let entry = table.get_mut(section).and_then(toml::Value::as_table_mut).with_context(|| format!("there is no section [{section}]"))?;
    if let Some((names, name)) = key.split_once('.')
        && let Some(toml::Value::Table(names)) = entry.get_mut(names)
    {
        names.insert(name.to_owned(), toml::Value::String(text.to_owned()));
        return Ok(());
    }
    let value = match entry.get(key) {
        Some(toml::Value::Integer(_)) => toml::Value::Integer(text.parse().with_context(|| format!("{text:?} is not a whole number"))?),
        Some(toml::Value::Float(_)) => toml::Value::Float(text.parse().with_context(|| format!("{text:?} is not a number"))?),
        Some(toml::Value::Boolean(_)) => toml::Value::Boolean(text.parse().with_context(|| format!("{text:?} is neither true nor false"))?),
        Some(toml::Value::String(_)) => toml::Value::String(text.to_owned()),
        Some(toml::Value::Array(_)) => {
            let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
            toml::Value::Array(words.map(|word| toml::Value::String(word.to_owned())).collect())
        }
        _ => bail!("section [{section}] has no single value {key:?}; `headwater config print` shows every key"),
    };
    entry.insert(key.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: Option<&str>, environment: &[(&str, &str)], set: &[&str]) -> anyhow::Result<Config> {
        let folder = tempfile::tempdir()?;
        if let Some(text) = file {
            std::fs::write(folder.path().join("headwater.toml"), text)?;
        }
        let sources =
            Sources { data_dir: folder.path().into(), file: None, set: set.iter().map(|text| (*text).to_owned()).collect(), defaults: &[] };
        Config::merge(&sources, environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn flags_beat_environment_beats_file_beats_defaults() {
        assert_eq!(load(None, &[], &[]).unwrap().sql.max_rows, 10_000);
        let file = Some("[sql]\nmax_rows = 1\ntimeout_seconds = 2\n");
        let config = load(file, &[("HEADWATER__SQL__MAX_ROWS", "3"), ("PATH", "x")], &["sql.timeout_seconds=4"]).unwrap();
        assert_eq!((config.sql.max_rows, config.sql.timeout_seconds), (3, 4));
        let config = load(Some("[http]\nhosts = [\"a\"]\n"), &[("HEADWATER__HTTP__CORS_ORIGINS", "http://b:1, *")], &[]).unwrap();
        assert_eq!((config.http.hosts, config.http.cors_origins), (vec!["a".to_owned()], vec!["http://b:1".into(), "*".into()]));
    }

    #[test]
    fn likelihoods_need_a_model_that_scores() {
        let with =
            |set: &[&str]| load(None, &[], &[&["attribution.method=likelihood"], set].concat()).map(|config| config.attribution.method);
        let remote = ["generator.model=https://host/v1", "generator.remote_model=m"];
        for cannot in [&[][..], &remote] {
            assert!(with(cannot).unwrap_err().to_string().contains("generator.remote_scores"));
        }
        for can in [&["generator.model=folder"][..], &[remote[0], remote[1], "generator.remote_scores=true"]] {
            assert_eq!(with(can).unwrap(), AttributionMethod::Likelihood);
        }
        assert!(load(None, &[], &["attribution.method=attention"]).is_err());
    }

    #[test]
    fn the_file_that_is_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let sources =
            |file: Option<&str>| Sources { data_dir: folder.path().into(), file: file.map(PathBuf::from), set: Vec::new(), defaults: &[] };
        assert_eq!(sources(None).read_file(), None);
        std::fs::write(folder.path().join("headwater.toml"), "").unwrap();
        assert_eq!(sources(None).read_file(), Some(folder.path().join("headwater.toml")));
        assert_eq!(sources(Some("own.toml")).read_file(), Some("own.toml".into()));
    }

    #[test]
    fn mistakes_are_named() {
        for (file, environment, set, words) in [
            (Some("[sql]\nmax_row = 1\n"), None, None, "max_row"),
            (None, None, Some("http.cors_origins=https://a.example/"), "without a slash"),
            (None, None, Some("http.max_uploads=0"), "max_uploads"),
            (None, None, Some("http.bind=localhost"), "http.bind: "),
            (None, None, Some("sql.timeout_seconds=-1"), "sql.timeout_seconds: "),
            (Some("[sqll]\n"), None, None, "sqll"),
            (Some("not toml"), None, None, "TOML"),
            (None, Some(("HEADWATER__SQL__MAX_ROWS", "many")), None, "HEADWATER__SQL__MAX_ROWS"),
            (None, Some(("HEADWATER__SQL__NOPE", "1")), None, "nope"),
            (None, None, Some("sql"), "section.key"),
            (None, None, Some("settlement.data_bps=10001"), "data_bps"),
            (None, None, Some("rag.price_wei=1.5"), "price_wei"),
            (None, None, Some("settlement.reserve_wei=some"), "reserve_wei"),
            (None, None, Some("settlement.limit_least_wei=-1"), "limit_least_wei"),
            (None, None, Some("settlement.contributor_cap_wei=1.5"), "contributor_cap_wei"),
            (Some("[settlement]\nlinked = [[\"0x1\"]]\n"), None, None, "settlement.linked"),
            (None, None, Some("settlement.limits_per_payer_max=0"), "limits_per_payer_max"),
            (None, None, Some("store.cache_mib=0"), "store.cache_mib: "),
            (None, None, Some("chain.max_fees_per_day_wei=lots"), "max_fees_per_day_wei"),
            (None, None, Some("chain.rpc_url=http://localhost:1"), "deployment"),
            (None, None, Some("rpc.max_in_flight=0"), "rpc.max_in_flight is 0"),
            (None, None, Some("rpc.max_reply_bytes=100"), "rpc.max_reply_bytes"),
            (None, None, Some("indexer.max_hot_blocks=1000"), "indexer.commit_blocks"),
            (None, None, Some("sender.gas_margin_percent=1001"), "sender.gas_margin_percent"),
            (None, None, Some("ingest.max_chunks_per_submission=0"), "ingest.max_chunks_per_submission is 0"),
            (None, None, Some("ingest.embedding_batch_texts=0"), "ingest.embedding_batch_texts"),
            (None, None, Some("rag.max_question_bytes=0"), "rag.max_question_bytes"),
            (None, None, Some("rag.max_trace_bytes=1000000000"), "rag.max_trace_bytes"),
            (None, None, Some("rag.top_k=0"), "rag.top_k is 0"),
            (None, None, Some("rag.rerank_candidates=201"), "rag.rerank_candidates is 201"),
            (None, None, Some("sql.timeout_seconds=0"), "sql.timeout_seconds is 0"),
            (None, None, Some("sql.warm_workers=100000"), "sql.warm_workers is 100000"),
            (None, None, Some("ingest.max_concurrent_files=9223372036854775807"), "ingest.max_concurrent_files is"),
            (None, None, Some("generator.temperature=warm"), "not a number"),
            (None, None, Some("generator.temperature=2.5"), "generator.temperature"),
            (None, None, Some("generator.top_p=0"), "generator.top_p"),
            (None, None, Some("generator.queue_max=0"), "generator.queue_max"),
            (None, None, Some("generator.context_mode=half"), "half"),
            (None, None, Some("generator.precision=f16"), "f16"),
            (None, None, Some("models.embedder_precision=int4"), "int4"),
            (None, None, Some("models.embedder_languages=eng, german"), "models.embedder_languages[1]: \"german\" is no code of ISO 639-3"),
            (Some("[models]\nembedder_languages = [\"EN\"]\n"), None, None, "three lower-case letters"),
            (None, None, Some("generator.model=https://models.example/v1"), "generator.remote_model"),
            (None, None, Some("generator.adapters.legal=/adapters/legal"), "on this machine"),
            (Some("[generator]\nmodel = \"m\"\nadapters = { \"a::b\" = \"c\" }\n"), None, None, "a::b"),
            (Some("[generator]\ntemperatur = 1.0\n"), None, None, "temperatur"),
        ] {
            let environment: Vec<_> = environment.into_iter().collect();
            let set: Vec<_> = set.into_iter().collect();
            let error = format!("{:#}", load(file, &environment, &set).unwrap_err());
            assert!(error.contains(words), "{error}");
        }
    }
}
