//! Building the parts in order, and taking them down again.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use anyhow::{Context, bail};
use indexer::{
    At, ContractReader, DeployParams, DevChain, DevChainConfig, Followed, HeadWaker, Indexer, Sender, SpendingPolicy, WakeConfig,
    deploy_contracts,
};
use ingest::{Ingest, IngestConfig};
use rag::{Rag, RagConfig};
use schemas::contracts::{Deployment, PaymentVault};
use schemas::signer::{KeySigner, Signer};
use schemas::tables::Millis;
use schemas::{Address, U256};
use store::sql::QueryLimits;
use store::workers::QueryWorkers;
use store::{Durability, Memo, Store, StoreConfig};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::account::{fill_faucet, operator_policy, operator_signer, sender_config};
use super::contracts::Contracts;
use super::{MAX_DATANET_NAMES, Service, debited_within_seconds, embedder, generator, reconcile, reranker};
use crate::auth::{KeyLimits, Keys, Role};
use crate::config::{Config, Machine};
use crate::credit::Credit;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::places::Places;
use crate::{http, identity};

/// A started service.
#[derive(Debug)]
pub struct Running {
    pub service: Arc<Service>,
    /// `http://host:port`
    pub url: String,
    stop: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
    dev_chain: Option<DevChain>,
    service_file: PathBuf,
}

/// Builds and starts everything. `progress` is told what is being done.
pub async fn start(config: Config, data_dir: &Path, progress: &(dyn Fn(&str) + Sync)) -> anyhow::Result<Running> {
    let config = config.sized_to(Machine::here());
    let rpc = config.rpc.config();
    let private = || std::fs::create_dir_all(data_dir).and_then(|()| store::private::keep(data_dir));
    private().with_context(|| format!("cannot create the data folder {}, or keep others out of it", data_dir.display()))?;
    let listener = TcpListener::bind(config.http.bind).await.with_context(|| {
        format!("cannot listen on {}: is another service running? `--set http.bind=127.0.0.1:0` takes a free port", config.http.bind)
    })?;
    progress("opening the store");
    let durability = if config.store.fsync { Durability::Fsync } else { Durability::Fast };
    let cache_bytes = config.store.cache_mib.get().saturating_mul(1 << 20);
    let store = Store::open(&StoreConfig { url: config.store_url(data_dir)?, durability, cache_bytes }).await?;
    progress("loading the embedding model");
    let embedder = embedder::open(&config, &store, data_dir).await?;
    let reranker = reranker::open(&config).await?;
    let writer = generator::load(&config, progress).await?;
    progress("connecting to the chain");
    let operator = operator_signer(&config.chain, data_dir).await?;
    let (dev_chain, rpc_url) = chain(&config, data_dir).await?;
    // A configured node's address is the operator's: keys stand in it.
    let public_rpc_url = match &dev_chain {
        Some(_) if config.chain.public_rpc_url.is_empty() => rpc_url.clone(),
        _ => config.chain.public_rpc_url.clone(),
    };
    let deployment = deployment(&config, data_dir, &operator, dev_chain.as_ref(), progress).await?;
    let reader = ContractReader::connect(&rpc_url, rpc.clone(), deployment)?;
    check_deployment(&reader, dev_chain.is_some(), data_dir).await?;
    if let Some(dev_chain) = &dev_chain {
        fill_faucet(dev_chain, &reader, &operator, data_dir, sender_config(&config, data_dir, SpendingPolicy::default())).await?;
    }
    let policy = operator_policy(&config.chain, &deployment, dev_chain.as_ref())?;
    let sender = Sender::connect(&rpc_url, operator.clone(), sender_config(&config, data_dir, policy)).await?;
    let contracts = Contracts::open(store.clone(), deployment).await?;

    progress("opening the parts");
    let domain = schemas::signed::SigningDomain { chain_id: deployment.chain_id, registry: deployment.registry };
    let metrics = Arc::new(Metrics::default());
    let told = metrics.clone();
    let ingest = Ingest::new(store.clone(), embedder.clone(), ingest_config(&config, data_dir, domain, operator.address()))
        .with_stage_listener(move |stage, took| told.upload_stage(stage, took));
    let signer: Arc<dyn Signer> = Arc::new(operator.clone());
    let rag = Rag::open(store.clone(), embedder, signer, rag_config(&config, data_dir, domain)).await?;
    let told = metrics.clone();
    let rag = rag.with_stage_listener(move |stage, took| told.stage(stage, took));
    let rag = match &writer {
        Some(writer) => rag.with_generator(writer.generator()),
        None => rag,
    };
    let rag = match reranker {
        Some(reranker) => rag.with_reranker(reranker),
        None => rag,
    };
    let settlement = &config.settlement;
    let key_limits = KeyLimits { of_payer: settlement.apps_per_payer_max, in_all: settlement.apps_max };
    let keys = Keys::open(store.clone(), key_limits).await?;
    let uploads = http::Uploads::open(data_dir, config.http.max_uploads)?;
    let limits = Limits::open(store.clone(), settlement.limits_max).await?;
    let source = indexer::source::connect(&rpc_url, &rpc)?;
    let waker = match config.chain.ws_url.as_str() {
        "" => None,
        url => Some(HeadWaker::connect(url, WakeConfig::default())?),
    };
    let indexer = Indexer::new(source.clone(), store.clone(), Followed::deployment(&deployment)?, config.indexer.config(&config.chain));

    let within = debited_within_seconds(&config);
    let credit = Credit::new(store.clone(), deployment, operator.address(), limits.clone(), within);
    let service = Arc::new(Service {
        price_wei: config.price_wei()?,
        query_limits: query_limits(&config, config.sql.timeout_seconds),
        operator_query_limits: query_limits(&config, config.sql.operator_timeout_seconds),
        workers: query_workers(&config)?,
        queries: Places::new(config.sql.max_concurrent),
        traces: Places::new(config.rag.max_concurrent_traces + config.rag.max_waiting_traces),
        listings: Places::new(config.http.max_listings),
        indexer: indexer.status(),
        first_head: OnceLock::new(),
        is_chain_known: AtomicBool::new(false),
        settlement: watch::Sender::default(),
        settling: tokio::sync::Mutex::default(),
        troubles: Mutex::default(),
        datanets: Memo::new(MAX_DATANET_NAMES),
        listed: Memo::new(1),
        credit,
        answers: TaskTracker::new(),
        operator: operator.address(),
        started: Millis::now(),
        data_dir: data_dir.to_owned(),
        config,
        metrics,
        store,
        ingest,
        rag,
        writer,
        keys,
        uploads,
        limits,
        contracts,
        reader,
        sender,
        deployment,
        public_rpc_url,
        rpc_url,
        source,
    });
    operator_key(&service).await?;
    service.ingest.resume().await?;
    service.workers.fill();
    warn_of_short_delay(&service).await?;

    let url = format!("http://{}", listener.local_addr().context("the listener's address")?);
    let service_file = data_dir.join("service.json");
    identity::write_secret(&service_file, &format!("{}\n", serde_json::json!({ "url": url, "pid": std::process::id() })))?;
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let stopped = stop.clone();
    tasks.spawn(async move {
        // A halted indexer is for a person to look at; what is in the tables is served meanwhile, and `/readyz` says why.
        if indexer.run(waker, stopped.clone()).await.is_err() {
            stopped.cancelled().await;
        }
        Ok(())
    });
    tasks.spawn(reconcile::run(service.clone(), stop.clone()));
    tasks.spawn(reconcile::drain(service.clone(), stop.clone()));
    tasks.spawn(reconcile::upkeep(service.clone(), stop.clone()));
    tasks.spawn(finish_uploads(service.clone(), stop.clone()));
    tasks.spawn(http::serve(listener, http::router(service.clone()), service.config.http.clone(), stop.clone()));
    Ok(Running { service, url, stop, tasks, dev_chain, service_file })
}

/// Finishes what was accepted. What is under way when the service stops goes on with its next start.
async fn finish_uploads(service: Arc<Service>, stop: CancellationToken) -> anyhow::Result<()> {
    Ok(service.ingest.work(stop.cancelled()).await?)
}

impl Running {
    /// Runs until asked to stop, or until a part fails.
    pub async fn until_stopped(&mut self, asked: impl Future<Output = ()>) -> anyhow::Result<()> {
        let chain_ended = async {
            match &mut self.dev_chain {
                Some(chain) => chain.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = asked => Ok(()),
            ended = self.tasks.join_next() => match ended {
                Some(Ok(result)) => result,
                Some(Err(error)) => Err(anyhow::anyhow!("a part of the service failed: {error}")),
                None => Ok(()),
            },
            error = chain_ended => Err(error.into()),
        }
    }

    /// Finishes what is under way and ends every part.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        let drain = async {
            while self.tasks.join_next().await.is_some() {}
            // Whoever asked is gone by now. What is owed for has its receipt before the log is closed.
            self.service.answers.close();
            self.service.answers.wait().await;
        };
        if tokio::time::timeout(Duration::from_secs(20), drain).await.is_err() {
            tracing::warn!("some requests did not end in time");
            self.tasks.abort_all();
        }
        self.service.rag.drain().await?;
        drop(std::fs::remove_file(&self.service_file));
        if let Some(chain) = self.dev_chain.take() {
            chain.stop().await?;
        }
        Ok(())
    }
}

async fn chain(config: &Config, data_dir: &Path) -> anyhow::Result<(Option<DevChain>, String)> {
    if !config.chain.rpc_url.is_empty() {
        return Ok((None, config.chain.rpc_url.clone()));
    }
    let folder = data_dir.join("chain");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let anvil = Some(config.chain.anvil.clone()).filter(|path| !path.as_os_str().is_empty());
    let dev_chain = DevChain::start(&DevChainConfig {
        anvil,
        port: config.chain.dev_port,
        block_time_ms: config.chain.dev_block_time_ms.max(100),
        state_path: Some(folder.join("state.json")),
        ..DevChainConfig::default()
    })
    .await?;
    let url = dev_chain.rpc_url().to_owned();
    Ok((Some(dev_chain), url))
}

/// The configured contracts; or on a development chain those deployed before, or now.
async fn deployment(
    config: &Config,
    data_dir: &Path,
    operator: &KeySigner,
    dev_chain: Option<&DevChain>,
    progress: &(dyn Fn(&str) + Sync),
) -> anyhow::Result<Deployment> {
    let Some(dev_chain) = dev_chain else {
        return config.chain.deployment.context("chain.rpc_url is set but [chain.deployment] is missing");
    };
    let path = data_dir.join("deployment.json");
    if path.exists() {
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        return serde_json::from_str(&text)
            .with_context(|| format!("{} is not a deployment of this version's contracts; start with another --data-dir", path.display()));
    }
    progress("deploying the contracts");
    dev_chain.fund(operator.address(), U256::from(1_000u64) * U256::from(10).pow(U256::from(18))).await?;
    // The only one that may create contracts.
    let sender = Sender::connect(dev_chain.rpc_url(), operator.clone(), sender_config(config, data_dir, SpendingPolicy::default())).await?;
    let deployment = deploy_contracts(&sender, &deploy_params(&config.settlement, sender.address())).await?;
    sender.call(deployment.vault, &PaymentVault::setOperatorCall { operator: sender.address() }).await?;
    identity::write_secret(&path, &format!("{}\n", serde_json::to_string_pretty(&deployment)?))?;
    Ok(deployment)
}

/// On a development chain one account is owner, operator, proposer and treasury.
fn deploy_params(settlement: &crate::config::Settlement, account: Address) -> DeployParams {
    let (data_bps, model_bps) = (settlement.data_bps, settlement.model_bps);
    DeployParams {
        fees: PaymentVault::FeeSchedule {
            platformBps: 10_000u16.saturating_sub(data_bps).saturating_sub(model_bps),
            modelBps: model_bps,
            stakersBps: 0,
            dataBps: data_bps,
            stakersPool: Address::ZERO,
        },
        withdrawal_delay_seconds: settlement.withdrawal_delay_seconds,
        fee_notice_seconds: settlement.withdrawal_delay_seconds.saturating_add(settlement.fee_notice_margin_seconds),
        dispute_window_seconds: settlement.dispute_window_seconds,
        dispute_bond_wei: U256::from(settlement.dispute_bond_wei),
        treasury: account,
        operator: account,
        proposer: account,
    }
}

/// A development chain that lost its state would make every table look wrong later.
async fn check_deployment(reader: &ContractReader, development: bool, data_dir: &Path) -> anyhow::Result<()> {
    let checked = reader.last_batch(At::Latest).await;
    if development && matches!(checked, Err(indexer::IndexerError::NoContract { .. })) {
        bail!(
            "the development chain in {} no longer holds the contracts that this data folder works with; start with another --data-dir",
            data_dir.join("chain").display()
        );
    }
    checked.map(|_| ()).context("reading the contracts")
}

fn ingest_config(config: &Config, data_dir: &Path, domain: schemas::signed::SigningDomain, owner: schemas::Address) -> IngestConfig {
    IngestConfig {
        max_file_bytes: config.ingest.max_file_bytes,
        max_files_per_submission: config.ingest.max_files_per_submission,
        max_submission_bytes: config.ingest.max_submission_bytes,
        max_files_per_contributor_per_day: config.ingest.max_files_per_contributor_per_day,
        max_bytes_per_contributor_per_day: config.ingest.max_bytes_per_contributor_per_day,
        max_submissions_under_way_per_contributor: config.ingest.max_submissions_under_way_per_contributor,
        max_submissions_under_way: config.ingest.max_submissions_under_way,
        duplicates_dir: Some(data_dir.join("duplicates")),
        near_duplicate_ppm: config.ingest.near_duplicate_ppm,
        max_concurrent_files: config.ingest.max_concurrent_files,
        max_chunks_per_document: config.ingest.max_chunks_per_document,
        max_chunks_per_submission: config.ingest.max_chunks_per_submission,
        embedding_batch_texts: config.ingest.embedding_batch_texts,
        ..IngestConfig::new(domain, owner)
    }
}

pub(crate) fn rag_config(config: &Config, data_dir: &Path, domain: schemas::signed::SigningDomain) -> RagConfig {
    let mut rag = RagConfig::new(domain, data_dir.join("index"), data_dir.join("wal"));
    rag.top_k = config.rag.top_k;
    rag.candidates = config.rag.candidates;
    rag.rerank_candidates = config.rag.rerank_candidates;
    rag.fusion = match config.rag.fusion {
        crate::config::Fusion::Convex => {
            rag::Fusion::Convex { vector_weight_ppm: config.rag.vector_weight_ppm, contrast_ppm: config.rag.contrast_ppm }
        }
        crate::config::Fusion::Rrf => rag::Fusion::ReciprocalRank { k: config.rag.rrf_k },
    };
    rag.attribution.timeout = Duration::from_secs(config.attribution.timeout_seconds);
    rag.attribution.method = match config.attribution.method {
        crate::config::AttributionMethod::Support => rag::AttributionMethod::Support,
        crate::config::AttributionMethod::Likelihood => rag::AttributionMethod::Likelihood,
    };
    rag.quote.min_cosine_ppm = config.rag.min_cosine_ppm;
    rag.quote.min_coverage_ppm = config.rag.min_coverage_ppm;
    rag.quote.min_score_ppm = config.rag.min_score_ppm;
    rag.generation = config.generator.config();
    rag.concurrent_answers = config.rag.max_concurrent_answers;
    rag.waiting_answers = config.rag.max_waiting_answers;
    rag.pending_receipts = config.rag.max_pending_receipts;
    rag.question_max_bytes = config.rag.max_question_bytes;
    rag.concurrent_traces = config.rag.max_concurrent_traces;
    rag.waiting_traces = config.rag.max_waiting_traces;
    rag.trace_max_bytes = config.rag.max_trace_bytes;
    // all at their newest, and some at others
    rag.open_traces = config.rag.max_trace_datanets + 16;
    rag.open_versions_bytes = config.rag.open_versions_mib.get().saturating_mul(1 << 20);
    rag
}

fn query_limits(config: &Config, timeout_seconds: u64) -> QueryLimits {
    QueryLimits {
        max_rows: config.sql.max_rows,
        max_result_bytes: config.sql.max_result_bytes,
        max_memory_bytes: config.sql.max_memory_bytes,
        timeout: Duration::from_secs(timeout_seconds),
        max_statement_bytes: config.sql.max_statement_bytes,
    }
}

/// This program again, as a process for one query.
fn query_workers(config: &Config) -> anyhow::Result<QueryWorkers> {
    // Also when the file was replaced meanwhile, as an upgrade does.
    let running = PathBuf::from("/proc/self/exe");
    let program = if running.exists() { running } else { std::env::current_exe().context("this program's own file")? };
    Ok(QueryWorkers::new(program, vec![crate::cli::SQL_WORKER.into()], config.sql.warm_workers))
}

/// Payers who leave sooner than they are debited cost the contributors of what they asked.
async fn warn_of_short_delay(service: &Service) -> anyhow::Result<()> {
    let call = PaymentVault::withdrawalDelayCall {};
    let delay_seconds = service.reader.call(service.deployment.vault, &call, At::Latest).await.context("reading the vault")?;
    let needed_seconds = service.debited_within_seconds();
    if delay_seconds < needed_seconds {
        tracing::warn!(
            delay_seconds,
            needed_seconds,
            "the vault's withdrawal delay is shorter than settlement.interval_seconds and an hour: payers can withdraw before they are debited"
        );
    }
    Ok(())
}

/// The operator's API key stands in the data folder, for commands on this machine.
async fn operator_key(service: &Service) -> anyhow::Result<()> {
    let path = service.data_dir.join("operator.apikey");
    let valid = std::fs::read_to_string(&path).is_ok_and(|key| service.keys.caller(key.trim()).is_some());
    if !valid {
        let key = service.keys.issue("operator", &[Role::Operator]).await?;
        identity::write_secret(&path, &format!("{key}\n"))?;
    }
    Ok(())
}
