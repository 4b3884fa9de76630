//! What a node says of an epoch: the vault's debits, what the pool was given, and the root that the distributor was told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use indexer::events::debits::EpochDebits;
use indexer::events::payers::funders;
use indexer::events::{Placed, among};
use indexer::{At, ChainSource, ContractReader, HeadTag, IndexerError, LogFilter, RpcConfig};
use rag::{MOST_FUNDERS, Policy};
use schemas::alloy_sol_types::SolEvent as _;
use schemas::contracts::Deployment;
use schemas::contracts::PaymentVault::{BatchDebited, DebitShort, Debited, Deposited, FeesActivated};
use schemas::contracts::RewardDistributor::{Funded, RootAccepted, RootProposed};
use schemas::ids::DatanetId;
use schemas::tables::{ClosingRow, EpochRow, LogRow};
use schemas::{Address, B256, U256};

use crate::cli::rewards::SettleArgs;
use crate::cli::verify::checks::Checks;
use crate::http::Info;

/// Blocks whose logs are asked for at once, unless the node wants less.
const BLOCKS_AT_ONCE: u64 = 5_000;

/// A node, and the contracts to read there.
pub(super) struct Chain {
    source: Arc<dyn ChainSource>,
    reader: ContractReader,
    deployment: Deployment,
    /// What of all this is the service's word.
    believed: Vec<String>,
    finalized: u64,
    /// As many blocks as the node gives the logs of.
    step: u64,
    /// Deposits and fee schedules of the vault up to a block, in order.
    read_to: Option<u64>,
    deposits: Vec<Placed<Deposited>>,
    schedules: Vec<Placed<FeesActivated>>,
}

/// An epoch as it stands on chain, final.
#[derive(Debug, Clone)]
pub(super) struct OnChain {
    pub(super) chain_id: u64,
    pub(super) distributor: Address,
    pub(super) debits: EpochDebits,
    /// Numbers of the parts that were posted, in order.
    pub(super) parts: Vec<u64>,
    /// All that the pool was given up to the epoch's last debit.
    pub(super) funded_wei: U256,
    /// By payer, who else paid in for it, up to the block of the epoch's policy.
    pub(super) funders: BTreeMap<Address, BTreeSet<Address>>,
    /// Of the block at which the epoch was closed.
    pub(super) closing_hash: Option<B256>,
    /// The contributors' part of fees there, in basis points.
    pub(super) data_bps: Option<u16>,
    /// What the operator proposed for the epoch last: root, artifact hash, sum of all cumulative amounts.
    pub(super) proposed: Option<(B256, B256, U256)>,
    pub(super) accepted: Option<B256>,
}

impl Chain {
    pub(super) async fn connect(info: &Info, args: &SettleArgs) -> anyhow::Result<Self> {
        let mut believed = Vec::new();
        let mut own = |named: Option<Address>, word: Address, what: &str| match named {
            Some(named) => named,
            None => {
                believed.push(format!("{what} {word}"));
                word
            }
        };
        let registry = own(args.registry, info.deployment.registry, "registry");
        let vault = own(args.vault, info.deployment.vault, "vault");
        let distributor = own(args.distributor, info.deployment.distributor, "distributor");
        let start_block = args.start_block.unwrap_or(info.deployment.start_block);
        if args.start_block.is_none() {
            believed.push(format!("that nothing happened before block {start_block}"));
        }
        let url = match &args.rpc {
            Some(url) => url.as_str(),
            None => {
                believed.push("its node".to_owned());
                info.node()?
            }
        };
        let deployment = Deployment { registry, vault, distributor, start_block, ..info.deployment };
        let source = indexer::source::connect(url, &RpcConfig::default())?;
        let node = url.split(',').next().unwrap_or_default().trim();
        let reader = ContractReader::connect(node, RpcConfig::default(), deployment)?;
        let chain_id = source.chain_id().await.context("asking the node which chain it serves")?;
        if chain_id != deployment.chain_id {
            bail!("the node at {url} serves chain {chain_id}; the service works on chain {}", deployment.chain_id);
        }
        let finalized = source.head(HeadTag::Finalized).await?.map_or(0, |header| header.number);
        let (deposits, schedules) = (Vec::new(), Vec::new());
        Ok(Self { source, reader, deployment, believed, finalized, step: BLOCKS_AT_ONCE, read_to: None, deposits, schedules })
    }

    /// What the service was believed in, as nobody named anything else.
    pub(super) fn note_believed(&self, checks: &mut Checks) {
        if !self.believed.is_empty() {
            let detail = format!(
                "the service's word was taken for {}: name others (--rpc, --registry, --vault, --distributor, --start-block)",
                self.believed.join(", ")
            );
            checks.skip("deployment", detail);
        }
    }

    /// The chain and the registry that receipts must name.
    pub(super) fn place(&self) -> (u64, Address) {
        (self.deployment.chain_id, self.deployment.registry)
    }

    /// What is final of an epoch. Its debits come after it was closed, and its root after them.
    pub(super) async fn epoch(&mut self, closing: &ClosingRow, policy: Option<&Policy>, settled: &EpochRow) -> anyhow::Result<OnChain> {
        let Deployment { vault, distributor, chain_id, .. } = self.deployment;
        let last = self.finalized;
        ensure!(
            settled.to_block <= last && closing.block_number <= last,
            "epoch {} was debited up to block {}, and this node's last final block is {last}: try again later",
            closing.epoch,
            settled.to_block
        );
        let start = self.deployment.start_block;
        ensure!(
            start <= closing.block_number,
            "epoch {} was closed at block {}, before the first block that is looked at ({start}): name an earlier one with --start-block",
            closing.epoch,
            closing.block_number
        );
        let events = [
            BatchDebited::SIGNATURE_HASH,
            Debited::SIGNATURE_HASH,
            DebitShort::SIGNATURE_HASH,
            Funded::SIGNATURE_HASH,
            RootProposed::SIGNATURE_HASH,
            RootAccepted::SIGNATURE_HASH,
        ];
        let filter = LogFilter::of_addresses(&[vault, distributor]).only_events(events);
        let (mut logs, mut from) = (Vec::new(), closing.block_number);
        let mut accepted = None;
        while from <= last && accepted.is_none() {
            let to = last.min(from + BLOCKS_AT_ONCE - 1);
            let some = self.logs(from, to, &filter).await?;
            accepted = among::<RootAccepted>(&some, distributor)?
                .into_iter()
                .map(|placed| placed.event)
                .find(|event| event.epoch == closing.epoch);
            logs.extend(some);
            from = to + 1;
        }
        let batches: Vec<Placed<BatchDebited>> = among(&logs, vault)?;
        let debits = EpochDebits::of(closing.epoch, &batches, &among(&logs, vault)?, &among(&logs, vault)?);
        let proposed: Vec<Placed<RootProposed>> = among(&logs, distributor)?;
        let proposed = proposed.into_iter().map(|placed| placed.event).rfind(|event| event.epoch == closing.epoch);
        let funded_wei = match debits.completed {
            Some(place) => self.funded(place.block_number, closing.block_number, &logs).await?,
            None => U256::ZERO,
        };
        self.read_vault(closing.block_number).await?;
        let header = self.source.header_by_number(closing.block_number).await?;
        let in_force = self.schedules.iter().rfind(|schedule| schedule.place.block_number <= closing.block_number);
        Ok(OnChain {
            chain_id,
            distributor,
            debits,
            parts: batches.iter().map(|batch| &batch.event).filter(|batch| batch.epoch == closing.epoch).map(|batch| batch.part).collect(),
            funded_wei,
            funders: policy.map_or_else(BTreeMap::new, |policy| funders(&self.deposits, policy.block_number, MOST_FUNDERS)),
            closing_hash: header.map(|header| header.hash),
            data_bps: in_force.map(|schedule| schedule.event.dataBps),
            proposed: proposed.map(|event| (event.root, event.artifactHash, event.totalCumulative)),
            accepted: accepted.map(|event| event.root),
        })
    }

    /// What the pool was given up to the end of a block: by the last event, which may be older than the `logs` from a block on.
    async fn funded(&mut self, block: u64, from: u64, logs: &[LogRow]) -> anyhow::Result<U256> {
        let Deployment { distributor, start_block, .. } = self.deployment;
        let upto = |logs: &[LogRow]| -> anyhow::Result<Option<U256>> {
            let last = among::<Funded>(logs, distributor)?.into_iter().rfind(|placed| placed.place.block_number <= block);
            Ok(last.map(|placed| placed.event.totalFunded))
        };
        if let Some(total) = upto(logs)? {
            return Ok(total);
        }
        let filter = LogFilter::of_addresses(&[distributor]).only_events([Funded::SIGNATURE_HASH]);
        let mut end = from;
        while end > start_block {
            let start = end.saturating_sub(BLOCKS_AT_ONCE).max(start_block);
            if let Some(total) = upto(&self.logs(start, end - 1, &filter).await?)? {
                return Ok(total);
            }
            end = start;
        }
        Ok(U256::ZERO)
    }

    /// Reads on to a block what the vault says of deposits and fees.
    async fn read_vault(&mut self, block: u64) -> anyhow::Result<()> {
        let vault = self.deployment.vault;
        let filter = LogFilter::of_addresses(&[vault]).only_events([Deposited::SIGNATURE_HASH, FeesActivated::SIGNATURE_HASH]);
        let mut from = self.read_to.map_or(self.deployment.start_block, |read_to| read_to + 1);
        while from <= block {
            let to = block.min(from + BLOCKS_AT_ONCE - 1);
            let logs = self.logs(from, to, &filter).await?;
            self.deposits.extend(among::<Deposited>(&logs, vault)?);
            self.schedules.extend(among::<FeesActivated>(&logs, vault)?);
            self.read_to = Some(to);
            from = to + 1;
        }
        Ok(())
    }

    /// In as many requests as the node wants.
    async fn logs(&mut self, from: u64, to: u64, filter: &LogFilter) -> anyhow::Result<Vec<LogRow>> {
        let (mut logs, mut start) = (Vec::new(), from);
        while start <= to {
            match self.source.logs_in_range(start, to.min(start + self.step - 1), filter).await {
                Ok((_, some)) => {
                    logs.extend(some.rows());
                    start += self.step;
                }
                Err(IndexerError::RangeTooLarge { max_blocks, .. }) if self.step > 1 => {
                    self.step = max_blocks.filter(|most| (1..self.step).contains(most)).unwrap_or(self.step / 2);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(logs)
    }

    /// Versions must stand on chain as the receipts say, and who signed must own their Datanets.
    pub(super) async fn versions(
        &self,
        roots: &BTreeMap<(DatanetId, u64), B256>,
        signers: &BTreeSet<(DatanetId, Address)>,
        checks: &mut Checks,
    ) -> anyhow::Result<()> {
        let mut is_right = true;
        for ((datanet, version), stated) in roots {
            let root = self.reader.version_root(*datanet, *version, At::Finalized).await?;
            if root != Some(*stated) {
                is_right = false;
                let found = root.map_or("none".to_owned(), |root| root.to_string());
                checks.fail(
                    "versions",
                    format!("receipts state root {stated} of version {version} of Datanet {datanet}; the registry has {found}"),
                );
            }
        }
        for (datanet, signer) in signers {
            match self.reader.owner_of(*datanet, At::Finalized).await? {
                Some(owner) if owner == *signer => {}
                Some(owner) => {
                    is_right = false;
                    let detail = format!(
                        "receipts of Datanet {datanet} are signed by {signer}; it belongs to {owner} now: was it handed over since?"
                    );
                    checks.skip("signer", detail);
                }
                None => {
                    is_right = false;
                    checks.fail("signer", format!("the registry does not know Datanet {datanet}"));
                }
            }
        }
        if is_right && !roots.is_empty() {
            checks.valid(
                "versions",
                "roots of the versions that the receipts rest on stand in the registry, and the signer owns their Datanets",
            );
        }
        Ok(())
    }
}

impl OnChain {
    /// The chain has the block and the fees by which the epoch was closed.
    pub(super) fn check_closing(&self, closing: &ClosingRow, checks: &mut Checks) {
        if self.closing_hash != Some(closing.block_hash) {
            checks.fail("closing", format!("block {} is not {} at this node", closing.block_number, closing.block_hash));
        }
        match self.data_bps {
            Some(bps) if u64::from(bps) == closing.data_bps => {
                checks.valid("fees", format!("{bps} basis points to contributors, as the vault's schedule was when the epoch was closed"));
            }
            Some(bps) => {
                checks
                    .fail("fees", format!("{} basis points to contributors are stated; the vault's schedule was {bps}", closing.data_bps));
            }
            None => checks.fail("fees", "the vault had no fee schedule when the epoch was closed"),
        }
    }

    /// What the distributor was told of the epoch is what was computed.
    pub(super) fn check_root(&self, row: &EpochRow, checks: &mut Checks) {
        let computed = (row.reward_root, row.artifact_hash, U256::from(row.total_cumulative_wei.0));
        match self.proposed {
            None => checks.skip("root", "the distributor has no final proposal for the epoch yet"),
            Some(proposed) if proposed != computed => {
                let detail = format!(
                    "the distributor was told root {} of artifact {}, not {} of {}",
                    proposed.0, proposed.1, computed.0, computed.1
                );
                checks.fail("root", detail);
            }
            Some(_) => match self.accepted {
                Some(root) if root == row.reward_root => checks.valid("root", "the distributor accepted this root, of this artifact"),
                Some(root) => checks.fail("root", format!("the distributor accepted {root}, not {}", row.reward_root)),
                None => checks.skip("root", "the distributor was told this root; that it accepted it is not final yet"),
            },
        }
    }
}
