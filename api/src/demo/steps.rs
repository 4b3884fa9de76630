//! The steps of the journey, each by the commands that a user types.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, bail};
use futures::future::try_join_all;
use serde_json::json;

use super::script::Datanet;
use super::{Journey, Stage, patience};
use crate::cli::answers::{AskArgs, Format, ReceiptArgs, SqlArgs};
use crate::cli::apps::{AppsCommand, RegisterArgs};
use crate::cli::datanets::{CreateArgs, DatanetsCommand, PublishArgs};
use crate::cli::keys::{DevCommand, KeysCommand};
use crate::cli::review::{AcceptArgs, RejectArgs, ReviewCommand};
use crate::cli::rewards::ClaimArgs;
use crate::cli::submit::SubmitArgs;
use crate::cli::verify::VerifyArgs;
use crate::cli::{Context, SignAs, answers, apps, datanets, keys, review, rewards, submit, verify};
use crate::identity;
use crate::output::{Report, Voice};

/// Analysts' questions that the demo asks in SQL.
const QUERIES: &[(&str, &str)] = &[
    (
        "What was uploaded, and what did curators decide?",
        "SELECT n.name AS datanet, d.review_status AS status, coalesce(d.reason_code, d.review_reason, '') AS reason, count(*) AS documents
         FROM document_status d JOIN datanets n ON n.datanet_id = d.datanet_id
         GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
    ),
    (
        "Which versions are anchored, in which block, and is it final?",
        "SELECT n.name AS datanet, v.version, v.chunk_count AS chunks, e.block_number, e.finalized, v.root = e.root AS same_root
         FROM versions v JOIN datanets n ON n.datanet_id = v.datanet_id
         LEFT JOIN version_committed e ON e.datanet_id = v.datanet_id AND e.version = v.version
         ORDER BY 1, 2",
    ),
    (
        "Who gave what, and what did it earn?",
        "SELECT a.contributor, count(DISTINCT d.document_id) AS accepted_documents, count(DISTINCT t.answer_id) AS answers,
                max(r.cumulative_wei) / 1000000000000000000.0 AS earned_open, max(c.amount) / 1000000000000000000.0 AS claimed_open
         FROM submissions a
         LEFT JOIN document_status d ON d.submission_id = a.submission_id AND d.review_status = 'accepted'
         LEFT JOIN attributions t ON t.contributor = a.contributor AND t.share_ppm > 0
         LEFT JOIN rewards r ON r.account = a.contributor
         LEFT JOIN claimed c ON c.account = a.contributor
         GROUP BY 1 ORDER BY 4 DESC NULLS LAST, 1",
    ),
    (
        "What did version 2 of cold-chain add to version 1?",
        "SELECT d.file_name, count(*) AS chunks, min(r.comment) AS comment
         FROM chunks c JOIN documents d ON d.document_id = c.document_id JOIN reviews r ON r.document_id = d.document_id
         LEFT ANTI JOIN chunks_at('cold-chain', 1) before ON before.chunk_id = c.chunk_id
         WHERE c.datanet = 'cold-chain' GROUP BY 1 ORDER BY 1",
    ),
];

pub(super) async fn journey(
    context: &Context,
    journey: &Journey,
    corpus: &Path,
    stage: &mut Stage,
    started: Instant,
) -> anyhow::Result<()> {
    let mut step = Instant::now();
    let mut timed = |stage: &mut Stage, name: &str| {
        stage.timings.push((name.to_owned(), step.elapsed()));
        step = Instant::now();
    };
    people(context, journey, stage)?;
    create_datanets(context, journey, stage).await?;
    upload(context, journey, corpus, stage, 1).await?;
    timed(stage, "upload");
    curate(context, journey, stage, 1).await?;
    stage.say("\n   Version 1 is published; the service anchors the roots and follows the chain until they are final.");
    wait_until_final(context, journey, stage).await?;
    upload(context, journey, corpus, stage, 2).await?;
    curate(context, journey, stage, 2).await?;
    wait_until_final(context, journey, stage).await?;
    timed(stage, "publish");
    ask(context, journey, stage, started).await?;
    timed(stage, "ask");
    settle(context, stage).await?;
    timed(stage, "settle");
    query(context, stage).await?;
    timed(stage, "query");
    check(context, stage).await?;
    timed(stage, "verify");
    Ok(())
}

fn signed_as(name: &str) -> SignAs {
    SignAs { name: Some(name.to_owned()), key_file: None }
}

/// The payer.
const APP: &str = "app";

/// Names of all keys that a demo makes: its people's, and the service's own.
pub(super) fn key_names(journey: &Journey) -> BTreeSet<String> {
    let own = [identity::OPERATOR, identity::FAUCET].map(str::to_owned);
    people_names(journey).into_iter().chain(own).collect()
}

fn people_names(journey: &Journey) -> BTreeSet<String> {
    let curators = journey.datanets.iter().flat_map(|datanet| datanet.curators.iter());
    journey.contributors.iter().chain(curators).cloned().chain([APP.to_owned()]).collect()
}

fn people(context: &Context, journey: &Journey, stage: &Stage) -> anyhow::Result<()> {
    for name in people_names(journey) {
        keys::keys(context, &KeysCommand::New { name })?;
    }
    stage.say("\n2. Contributors, curators and an app, each with a key of their own:");
    stage.show("keys list", &keys::keys(context, &KeysCommand::List)?);
    Ok(())
}

async fn create_datanets(context: &Context, journey: &Journey, stage: &Stage) -> anyhow::Result<()> {
    for datanet in &journey.datanets {
        let args = CreateArgs {
            name: datanet.name.clone(),
            title: datanet.title.clone(),
            description: datanet.description.clone(),
            topic: datanet.topic.clone(),
            curators: datanet.curators.clone(),
        };
        let report = datanets::datanets(context, DatanetsCommand::Create(args)).await?;
        stage.show(&format!("datanets create --name {} --curator {} …", datanet.name, datanet.curators.join(" --curator ")), &report);
    }
    Ok(())
}

/// Contributors of different Datanets send at the same time; those of one take turns, so that who said something first is the same in
/// every run.
async fn upload(context: &Context, journey: &Journey, corpus: &Path, stage: &Stage, round: u64) -> anyhow::Result<()> {
    stage.doing("contributors upload: their files are read, cut, screened and embedded");
    let of_datanets = journey.datanets.iter().map(|datanet| async move {
        for submission in journey.submissions.iter().filter(|one| one.round == round && one.datanet == datanet.name) {
            let args = SubmitArgs {
                datanet: submission.datanet.clone(),
                signer: signed_as(&submission.contributor),
                licence: submission.licence.clone(),
                note: submission.note.clone(),
                no_wait: false,
                files: submission.files.iter().map(|file| corpus.join(file)).collect(),
            };
            let report = submit::submit(context, &args).await?;
            let command =
                format!("submit --datanet {} --as {} --licence {} …", submission.datanet, submission.contributor, submission.licence);
            stage.show(&command, &report);
        }
        Ok(())
    });
    try_join_all(of_datanets).await.map(drop)
}

/// Rejects what the script rejects, accepts the rest, publishes; the curators of all Datanets at the same time.
async fn curate(context: &Context, journey: &Journey, stage: &Stage, round: u64) -> anyhow::Result<()> {
    if round == 1 {
        stage.say("\n3. Curators see what screening found, decide with reasons, and publish.");
    }
    stage.doing("curators review and publish");
    let has_news = |datanet: &&Datanet| journey.submissions.iter().any(|one| one.round == round && one.datanet == datanet.name);
    let of_datanets = journey.datanets.iter().filter(has_news).map(|datanet| async move {
        for (command, report) in curate_one(context, journey, datanet, round).await? {
            stage.show(&command, &report);
        }
        Ok(())
    });
    try_join_all(of_datanets).await.map(drop)
}

/// The curator's commands, each with what it answered.
async fn curate_one(context: &Context, journey: &Journey, datanet: &Datanet, round: u64) -> anyhow::Result<Vec<(String, Report)>> {
    let (name, mut done) = (&datanet.name, Vec::new());
    let curator = datanet.curators.first().context("a Datanet without curator")?;
    let list = ReviewCommand::List { datanet: name.clone(), pending: true, signer: signed_as(curator) };
    done.push((format!("review list --datanet {name} --pending --as {curator}"), review::review(context, &list).await?));
    for rejection in journey.rejections.iter().filter(|rejection| round == 1 && rejection.file.starts_with(&format!("{name}/"))) {
        let file = rejection.file.rsplit('/').next().unwrap_or_default().to_owned();
        let args = RejectArgs {
            datanet: name.clone(),
            signer: signed_as(curator),
            reason: rejection.reason_code.clone(),
            comment: rejection.comment.clone(),
            documents: vec![file.clone()],
        };
        let command = format!("review reject --datanet {name} --as {curator} --reason {} {file}", rejection.reason_code);
        done.push((command, review::review(context, &ReviewCommand::Reject(args)).await?));
    }
    let comment = if round == 1 { "checked against the sources" } else { "fills a gap of version 1" };
    let args =
        AcceptArgs { datanet: name.clone(), signer: signed_as(curator), comment: comment.into(), documents: Vec::new(), all_pending: true };
    let accepted = review::review(context, &ReviewCommand::Accept(args)).await?;
    done.push((format!("review accept --datanet {name} --as {curator} --all-pending"), accepted));
    let published = datanets::publish(context, &PublishArgs { datanet: name.clone(), signer: signed_as(curator) }).await?;
    done.push((format!("publish --datanet {name} --as {curator}"), published));
    Ok(done)
}

/// Waits until every published version's root is seen in a finalized block.
async fn wait_until_final(context: &Context, journey: &Journey, stage: &Stage) -> anyhow::Result<()> {
    for datanet in &journey.datanets {
        let what = format!("waiting for the chain to finalize the roots of {}", datanet.name);
        let versions = async || datanets::datanets(context, DatanetsCommand::Versions { datanet: datanet.name.clone() }).await;
        patience::until(context, stage, &what, async || {
            let report = versions().await?;
            let anchors = report.json.as_array().map(Vec::as_slice).unwrap_or_default();
            Ok(!anchors.is_empty() && anchors.iter().all(|row| row["anchor"] == "final"))
        })
        .await?;
        stage.show(&format!("datanets versions {}", datanet.name), &versions().await?);
    }
    Ok(())
}

async fn ask(context: &Context, journey: &Journey, stage: &mut Stage, started: Instant) -> anyhow::Result<()> {
    stage.say("\n4. An app deposits, signs a spending limit, and asks.");
    let fund = DevCommand::Fund { account: APP.into(), eth: "1".into(), open: "100".into() };
    stage.show("dev fund app --eth 1 --open 100", &keys::dev(context, &fund).await?);
    let register = RegisterArgs {
        name: "demo-app".into(),
        signer: signed_as(APP),
        deposit: "10".into(),
        limit: Some("5".into()),
        days: 30,
        out: None,
    };
    stage.doing("depositing, and waiting for the deposit to be final");
    let report = apps::apps(context, &AppsCommand::Register(register)).await?;
    stage.show("apps register --name demo-app --as app --deposit 10 --limit 5", &report);
    let app_key = apps::key_path(context, "demo-app");
    // The command waits for a while; a slow machine may take longer.
    wait_for_rows(context, stage, "waiting for the deposit to be final", "SELECT payer FROM deposited WHERE finalized", 1).await?;
    for question in &journey.questions {
        let args = AskArgs {
            datanet: question.datanet.clone(),
            version: None,
            app_key: Some(app_key.clone()),
            request_id: None,
            question: question.question.clone(),
            quote: false,
            adapter: None,
            max_tokens: None,
            after: Vec::new(),
            contributors: Vec::new(),
            licences: Vec::new(),
            temperature: None,
        };
        stage.doing("retrieving, answering, attributing");
        let report = answers::ask(context, &args).await?;
        stage.first_answer.get_or_insert_with(|| started.elapsed());
        let key = app_key.display();
        stage.show(&format!("ask --datanet {} --app-key {key} \"{}\"", question.datanet, question.question), &report);
        stage.answers.push(json!({ "question": question.question, "reply": report.json }));
    }
    Ok(())
}

/// Waits until a query has so many rows.
async fn wait_for_rows(context: &Context, stage: &Stage, what: &str, query: &str, count: usize) -> anyhow::Result<()> {
    let args = SqlArgs { query: query.into(), format: Format::Json, snapshot: None };
    patience::until(context, stage, what, async || {
        Ok(answers::sql(context, &args).await?.json["rows"].as_array().is_some_and(|rows| rows.len() >= count))
    })
    .await
}

async fn settle(context: &Context, stage: &mut Stage) -> anyhow::Result<()> {
    stage.say("\n5. The epoch is closed, its payers are debited, rewards are proposed and accepted, and two contributors claim.");
    stage.doing("waiting for the dispute window to pass");
    let quietly = Context { voice: Voice::Quiet, ..context.clone() };
    stage.show("settle", &rewards::settle(&quietly).await?);
    for name in ["ada", "bruno"] {
        keys::dev(context, &DevCommand::Fund { account: name.into(), eth: "1".into(), open: "0".into() }).await?;
        let report = rewards::claim(context, &ClaimArgs { signer: signed_as(name), account: None }).await?;
        stage.show(&format!("claim --as {name}"), &report);
        stage.claims.push(report.json);
    }
    wait_for_rows(context, stage, "waiting for the claims to be indexed", "SELECT account FROM claimed", 2).await
}

async fn query(context: &Context, stage: &mut Stage) -> anyhow::Result<()> {
    stage.say("\n6. Analysts join uploads, reviews, answers and chain events in SQL.");
    for (question, sql) in QUERIES {
        stage.say(&format!("  {question}"));
        stage.doing(&format!("asking in SQL: {question}"));
        let args = SqlArgs { query: (*sql).to_owned(), format: Format::Table, snapshot: None };
        let report = answers::sql(context, &args).await?;
        let shown: String = sql.split_whitespace().collect::<Vec<_>>().join(" ");
        stage.show(&format!("sql \"{shown}\""), &report);
        stage.queries.push(report.json);
    }
    Ok(())
}

/// Verifies one receipt from a file, and shows that the file with one byte changed fails.
async fn check(context: &Context, stage: &Stage) -> anyhow::Result<()> {
    stage.say("\n7. An auditor checks a receipt against the chain.");
    let id = stage.answers.first().and_then(|answer| answer["reply"]["attribution"]["receipt_id"].as_str());
    let id = id.context("the first answer has no receipt")?.to_owned();
    let verify_args = |receipt: &str| VerifyArgs { receipts: vec![receipt.to_owned()], ..VerifyArgs::default() };
    stage.show(&format!("verify {id}"), &verify::verify(context, &verify_args(&id)).await?);

    let path = context.data_dir.join("receipt.json");
    answers::receipt(context, &ReceiptArgs { out: Some(path.clone()), ..ReceiptArgs::of(id) }).await?;
    let mut bytes = std::fs::read(&path)?;
    let text = String::from_utf8_lossy(&bytes);
    let place = text.find("\"answer_hash\": \"0x").context("the receipt names no answer hash")? + "\"answer_hash\": \"0x".len();
    let byte = bytes.get_mut(place).context("the receipt ends early")?;
    *byte = if *byte == b'0' { b'1' } else { b'0' };
    let changed = context.data_dir.join("receipt-changed.json");
    std::fs::write(&changed, bytes)?;
    match verify::verify(context, &verify_args(&changed.display().to_string())).await {
        Ok(_) => bail!("a receipt with one byte changed was accepted"),
        Err(error) => {
            stage.say(&format!("  $ headwater verify {}   # one byte changed", changed.display()));
            stage.say(&format!("    error: {error:#}"));
        }
    }
    Ok(())
}
