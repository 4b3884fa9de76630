//! `headwater demo`: the whole journey on real parts. It only calls what a user calls, with the
//! texts in `api/demo/`.

mod patience;
mod script;
mod steps;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::{Context, Patience, up};
use crate::identity;
use crate::output::{self, Progress, Report, Voice};
use crate::service;
pub use script::{Journey, Question};

#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// End after the journey instead of leaving the service up.
    #[arg(long)]
    exit: bool,
}

/// The folder used when none is named, in the working folder.
const FOLDER: &str = ".headwater/demo";
/// On a busy machine everything takes longer, and nothing is wrong: what is slow is waited for. The demo queries by the
/// operator's key; what others ask in SQL ends as it does elsewhere.
const DEFAULTS: &[&str] = &["sql.operator_timeout_seconds=86400", "http.request_timeout_seconds=86400"];
/// Marks a folder that a demo may empty.
const MARKER: &str = "demo-folder";

/// What the journey says, and what it found out.
#[derive(Debug)]
struct Stage {
    voice: Voice,
    progress: Progress,
    timings: Vec<(String, Duration)>,
    answers: Vec<Value>,
    claims: Vec<Value>,
    queries: Vec<Value>,
    first_answer: Option<Duration>,
}

impl Stage {
    fn new(voice: Voice) -> Self {
        let progress = Progress::start(voice, "starting");
        Self { voice, progress, timings: Vec::new(), answers: Vec::new(), claims: Vec::new(), queries: Vec::new(), first_answer: None }
    }

    fn say(&self, text: &str) {
        if self.voice == Voice::Person {
            self.progress.line(text);
        }
    }

    /// Shows what is being done, until something else is.
    fn doing(&self, what: &str) {
        self.progress.say(what);
    }

    /// Says a command and what it answered, indented.
    fn show(&self, command: &str, report: &Report) {
        self.say(&format!("  $ headwater {command}"));
        for line in report.text.lines() {
            self.say(&format!("    {line}"));
        }
    }
}

/// Runs the journey; with `--exit` or `--json` returns at its end.
pub async fn run(context: &Context, args: DemoArgs) -> anyhow::Result<Option<Report>> {
    let started = Instant::now();
    let context = demo_context(context)?;
    let journey = Journey::load()?;
    let corpus = context.data_dir.join("corpus");
    script::write_corpus(&corpus)?;

    let mut stage = Stage::new(context.voice);
    stage.say("Headwater: from an upload to a paid contributor, on real parts.\n");
    let config = context.config()?;
    let mut running = service::start(config, &context.data_dir, &|what| stage.doing(what)).await?;
    stage.say(&format!(
        "1. A development L2 runs at {} and holds our contracts; the service is at {}.",
        running.service.rpc_url, running.url
    ));
    stage.timings.push(("start".into(), started.elapsed()));

    let outcome = tokio::select! {
        outcome = steps::journey(&context, &journey, &corpus, &mut stage, started) => outcome,
        ended = running.until_stopped(up::asked_to_stop()) => ended.and_then(|()| bail!("stopped before the journey ended")),
    };
    if let Err(error) = outcome {
        running.stop().await?;
        return Err(error);
    }
    let total = started.elapsed();
    let report = report(&stage, total, &running.url);
    stage.progress.finish();
    if args.exit {
        running.stop().await?;
        return Ok(Some(report));
    }
    output::print(context.voice, &report);
    let folder = context.data_dir.display();
    stage.say(&format!(
        "\nThe service stays up at {} (Ctrl-C stops it). Try, from another terminal:\n  headwater --data-dir {folder} ask --datanet cold-chain \"Why must freeze-sensitive vaccines not freeze?\"\n  headwater --data-dir {folder} sql \"SELECT * FROM version_committed\"",
        running.url
    ));
    let ended = running.until_stopped(up::asked_to_stop()).await;
    running.stop().await?;
    ended.map(|()| None)
}

fn report(stage: &Stage, total: Duration, url: &str) -> Report {
    let seconds = |time: Duration| (time.as_secs_f64() * 10.0).round() / 10.0;
    let timings: Vec<Value> = stage.timings.iter().map(|(name, time)| json!({ "step": name, "seconds": seconds(*time) })).collect();
    let list: Vec<String> = stage.timings.iter().map(|(name, time)| format!("{name} {:.1} s", seconds(*time))).collect();
    let first = stage.first_answer.map(seconds);
    let text =
        format!("\nThe journey took {:.1} s: {}. First answer after {:.1} s.", seconds(total), list.join(", "), first.unwrap_or(0.0));
    let json = json!({
        "url": url, "seconds": seconds(total), "first_answer_seconds": first, "timings": timings,
        "answers": stage.answers, "claims": stage.claims, "queries": stage.queries,
    });
    Report::new(text, &json)
}

/// A context with a fresh folder of the demo's own, a free port unless one is set, and short waits.
fn demo_context(context: &Context) -> anyhow::Result<Context> {
    let mut demo = context.clone();
    if context.data_dir == crate::config::default_data_dir() {
        demo.data_dir = PathBuf::from(FOLDER);
        demo.sources.data_dir.clone_from(&demo.data_dir);
    }
    demo.url = None;
    demo.api_key = None;
    demo.sources.defaults = DEFAULTS;
    demo.patience = Patience::Endless;
    empty_folder(&demo.data_dir, &Journey::load()?)?;
    Ok(demo)
}

/// Empties a folder that an earlier demo made; anything else is left alone, and so is one with keys that a demo did not make.
fn empty_folder(folder: &Path, journey: &Journey) -> anyhow::Result<()> {
    let marker = folder.join(MARKER);
    let holds_something = folder.read_dir().is_ok_and(|mut entries| entries.next().is_some());
    if holds_something {
        if !marker.exists() {
            bail!("{} is not empty and no demo made it; name another --data-dir", folder.display());
        }
        let lock = std::fs::File::options().write(true).open(folder.join("store/headwater.lock"));
        if lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(std::fs::TryLockError::WouldBlock))) {
            bail!("a demo is running in {}; stop it first, or name another --data-dir", folder.display());
        }
        let own = steps::key_names(journey);
        let foreign: Vec<String> = identity::list(folder)?.into_iter().filter(|name| !own.contains(name)).collect();
        if !foreign.is_empty() {
            let (shown, foreign) = (folder.display(), foreign.join(", "));
            bail!(
                "a demo begins by emptying {shown}, and keys that no demo made are in it ({foreign}): move them out of {shown}/keys or name \
                 another --data-dir; `headwater --data-dir {shown} up` goes on with what is there"
            );
        }
        std::fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    identity::write_secret(&marker, "made by `headwater demo`, which empties this folder when it starts\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};

    #[test]
    fn the_demo_waits_for_its_own_queries_alone() {
        let folder = tempfile::tempdir().unwrap();
        let load = |defaults| Config::load(&Sources { data_dir: folder.path().into(), file: None, set: Vec::new(), defaults }).unwrap();
        let (usual, demo) = (load(&[]), load(DEFAULTS));
        assert_eq!(demo.sql.timeout_seconds, usual.sql.timeout_seconds);
        assert!(demo.sql.operator_timeout_seconds > 3600);
    }

    #[test]
    fn a_demo_empties_what_a_demo_made_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (folder, journey) = (folder.path().join("demo"), Journey::load().unwrap());
        empty_folder(&folder, &journey).unwrap();
        for name in steps::key_names(&journey) {
            identity::create(&folder, &name).unwrap();
        }
        std::fs::write(folder.join("receipt.json"), "{}").unwrap();
        empty_folder(&folder, &journey).unwrap();
        assert!(!folder.join("receipt.json").exists() && identity::list(&folder).unwrap().is_empty());
        identity::create(&folder, "me").unwrap();
        let error = empty_folder(&folder, &journey).unwrap_err().to_string();
        assert!(error.contains("(me)") && error.contains("up`"), "{error}");
        assert_eq!(identity::list(&folder).unwrap(), ["me"]);
        std::fs::remove_file(folder.join(MARKER)).unwrap();
        assert!(empty_folder(&folder, &journey).unwrap_err().to_string().contains("no demo made it"));
    }
}
