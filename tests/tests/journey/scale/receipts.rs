//! Receipts as they grow: starting, asking, reading, closing an epoch of all of them.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use rag::{ClosingTerms, Collected, Collection, Policy};
use schemas::ids::AnswerId;
use schemas::receipt::ReceiptBody;
use schemas::tables::{AnswerRow, AttributionRow, ReceiptRow, Wei};
use schemas::{Address, B256, U256};
use store::{Effort, Retention};

use super::Measured;
use super::measure::{peak_mib, percentile, query_ms, resident_mib, stored};
use super::world::World;

pub(super) const STEPS: [&str; 4] = ["fill", "ask", "read", "epoch"];
/// Of the Datanet that is asked.
const CHUNKS: usize = 1000;
/// Answers whose receipts are those of all, but for number, payer and hash.
const PATTERNS: usize = 40;
const PAYERS: u64 = 50;
const QUESTIONS: usize = 100;
const BATCH: usize = 8192;

pub(super) async fn step(step: &str, size: usize, folder: &Path) -> anyhow::Result<Measured> {
    let world = World::open(folder).await?;
    let mut measured = Measured::new();
    let mut note = |name: &str, value: f64| {
        measured.insert(name.to_owned(), value);
    };
    match step {
        "fill" => fill(&world, size).await?,
        "ask" => {
            let began = Instant::now();
            let rag = world.rag().await?;
            note("start_s", began.elapsed().as_secs_f64());
            note("start_mib", resident_mib()?);
            let mut times = Vec::new();
            for question in 0..QUESTIONS {
                let began = Instant::now();
                world.ask(&rag, (question * 7919) % CHUNKS, &format!("late-{question}")).await?;
                times.push(began.elapsed().as_secs_f64() * 1000.0);
            }
            // the first one opens the version
            times.remove(0);
            note("ask_p50_ms", percentile(&times, 50));
            note("ask_p99_ms", percentile(&times, 99));
            let mut times = Vec::new();
            for receipt in 0..QUESTIONS {
                let began = Instant::now();
                rag.receipt(id((PATTERNS + receipt * 7919 % (size - PATTERNS)) as u64 + 1)).await?;
                times.push(began.elapsed().as_secs_f64() * 1000.0);
            }
            note("by_id_p50_ms", percentile(&times, 50));
            rag.drain().await?;
        }
        "read" => {
            note("count_ms", query_ms(&world.store, "SELECT count(*) FROM receipts").await?.0);
            let by_payer = "SELECT payer, count(*), sum(fee_wei) FROM receipts GROUP BY payer ORDER BY payer";
            note("by_payer_ms", query_ms(&world.store, by_payer).await?.0);
            let earned = "SELECT a.contributor, sum(a.share_ppm) FROM attributions a JOIN receipts r ON r.answer_id = a.answer_id \
                          WHERE r.fee_wei > 0 GROUP BY a.contributor ORDER BY 2 DESC LIMIT 10";
            note("earned_ms", query_ms(&world.store, earned).await?.0);
            measured.extend(stored(&world.store).await?);
        }
        "epoch" => {
            let rag = world.rag().await?;
            let began = Instant::now();
            let terms =
                ClosingTerms { block_number: 9, block_hash: B256::ZERO, data_bps: 7000, reserve_wei: Wei(0), policy: Policy::default() };
            let closing = rag.close_epoch(terms, &BTreeSet::new()).await?;
            let asked = rag.asked(closing.clone()).await?;
            let collected: Vec<Collected> = (asked.iter())
                .map(|asked| Collected { payer: asked.payer, amount_wei: asked.amount_wei, data_wei: asked.data_wei })
                .collect();
            let funded_wei = Wei(asked.iter().map(|asked| asked.data_wei.0).sum());
            let distributor = Address::repeat_byte(0xdd);
            let collection = Collection { chain_id: 31_337, distributor, to_block: 9, to_block_hash: B256::ZERO, collected, funded_wei };
            let epoch = rag.settle_epoch(closing, collection).await?;
            ensure!(epoch.receipt_count == (size.max(PATTERNS) + QUESTIONS) as u64, "{} receipts in the epoch", epoch.receipt_count);
            note("epoch_s", began.elapsed().as_secs_f64());
            note("epoch_mib", peak_mib()?);
        }
        other => anyhow::bail!("there is no step {other:?}"),
    }
    Ok(measured)
}

fn id(sequence: u64) -> AnswerId {
    B256::from(U256::from(sequence)).into()
}

async fn fill(world: &World, size: usize) -> anyhow::Result<()> {
    world.fill(0, CHUNKS).await?;
    world.publish().await?;
    let rag = world.rag().await?;
    for question in 0..PATTERNS {
        world.ask(&rag, question * 17 % CHUNKS, &format!("early-{question}")).await?;
    }
    rag.drain().await?;
    drop(rag);
    let mut patterns: Vec<ReceiptRow> = world.store.scan(None).await?;
    patterns.sort_by_key(|row| row.sequence);
    let texts: Vec<AnswerRow> = world.store.scan(None).await?;
    let attributions: Vec<AttributionRow> = world.store.scan(None).await?;
    let mut sequence = PATTERNS as u64;
    let mut previous = patterns.last().context("no receipts")?.body_hash;
    while sequence < size as u64 {
        let (mut receipts, mut answers, mut shares) = (Vec::new(), Vec::new(), Vec::new());
        while receipts.len() < BATCH && sequence < size as u64 {
            sequence += 1;
            let pattern = patterns.get(sequence as usize % PATTERNS).context("a pattern")?;
            let mut body: ReceiptBody = serde_json::from_str(&pattern.body)?;
            (body.answer_id, body.sequence, body.previous) = (id(sequence), sequence, previous);
            body.payer = Some(Address::left_padding_from(&(sequence % PAYERS + 1).to_be_bytes()));
            let (text, body_hash) = body.canonical()?;
            previous = body_hash;
            let (answer_id, payer) = (body.answer_id, body.payer);
            receipts.push(ReceiptRow { answer_id, sequence, payer, body: text, body_hash, ..pattern.clone() });
            let answered = texts.iter().find(|row| row.answer_id == pattern.answer_id).context("an answer's text")?;
            answers.push(AnswerRow { answer_id, sequence, payer, ..answered.clone() });
            let of_pattern = attributions.iter().filter(|row| row.answer_id == pattern.answer_id);
            shares.extend(of_pattern.map(|row| AttributionRow { answer_id, ..row.clone() }));
        }
        world.store.insert_new(&shares).await?;
        world.store.insert_new(&answers).await?;
        world.store.insert_new(&receipts).await?;
        // as it would have been meanwhile
        world.store.upkeep(&Retention::default(), Effort::Due).await?;
    }
    ensure!(world.store.count::<ReceiptRow>(None).await? as usize == size.max(PATTERNS), "not all receipts were written");
    Ok(())
}
