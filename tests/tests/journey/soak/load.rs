//! Who calls the service, and what was acknowledged to them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use api::cli::answers::{AskArgs, Format, SqlArgs};
use api::cli::datanets::PublishArgs;
use api::cli::review::{AcceptArgs, RejectArgs, ReviewCommand};
use api::cli::submit::SubmitArgs;
use api::cli::{Context, Patience, SignAs, answers, datanets, review, submit};
use api::client::ServiceError;
use api::config::Sources;
use api::output::Voice;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::harness::{Place, wait_for};

const DATANET: &str = "cold";
/// So many, because each may send 2,000 files a day.
const CONTRIBUTORS: usize = 4;
const QUERIES: [&str; 4] = [
    "SELECT count(*) FROM receipts",
    "SELECT max(number) FROM blocks",
    "SELECT review_status, count(*) FROM document_status GROUP BY 1",
    "SELECT contributor, sum(share_ppm) FROM attributions GROUP BY 1 ORDER BY 2 DESC LIMIT 10",
];

/// A published Datanet and an app that pays.
#[derive(Debug)]
pub(super) struct World {
    pub(super) context: Context,
    place_of_texts: std::path::PathBuf,
    texts: AtomicUsize,
}

/// What was asked for, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) calls: Vec<Call>,
    pub(super) uploads: Vec<Uploaded>,
    pub(super) receipts: Vec<String>,
    /// Replies that were neither a success nor a typed refusal.
    pub(super) failures: Vec<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) kind: Kind,
    pub(super) at: Duration,
    pub(super) took: Duration,
    /// The code of a refusal.
    pub(super) refused: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Upload,
    Review,
    Publish,
    Ask,
    Query,
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [Self::Upload, Self::Review, Self::Publish, Self::Ask, Self::Query];

    /// Between the begin of one call and the next of the same caller.
    fn every(self) -> Duration {
        Duration::from_secs(match self {
            Self::Upload => 6,
            Self::Review => 10,
            Self::Publish => 30,
            Self::Ask | Self::Query => 2,
        })
    }
}

/// An upload that was acknowledged.
#[derive(Debug, Clone)]
pub(super) struct Uploaded {
    pub(super) submission_id: String,
    /// Words that stand in no other text.
    pub(super) mark: String,
}

/// A text of its own, in plain English on the Datanet's topic; and what stands in no other.
fn text(number: usize) -> (String, String) {
    const GOODS: [&str; 8] = ["vaccines", "insulin", "salmon", "berries", "plasma", "enzymes", "oysters", "cheese"];
    const PLACES: [&str; 7] = ["harbour", "airport", "hospital", "station", "market", "valley", "border"];
    let goods = GOODS[number % GOODS.len()];
    let place = PLACES[(number / GOODS.len()) % PLACES.len()];
    let (low, high) = (2 + number % 5, 8 + number % 7);
    let mark = format!("depot {number} at the {place}");
    let text = format!(
        "# Storage of {goods} in {mark}\n\nThe refrigerator of {mark} keeps {goods} between {low} °C and {high} °C, and its \
         set point is {} °C. A logger writes the temperature every {} minutes, and the alarm of {mark} rings after {} minutes \
         outside of the range.\n\nWhen {goods} arrive in {mark}, a nurse reads the logger of box {} and signs the form. What was \
         warmer than {} °C for longer than {} hours is put aside until the maker has answered.\n",
        (low + high) / 2,
        5 + number % 11,
        10 + number % 13,
        1000 + number * 7,
        high + 17,
        1 + number % 9,
    );
    (text, mark)
}

fn signed_as(name: &str) -> SignAs {
    SignAs { name: Some(name.to_owned()), key_file: None }
}

impl World {
    pub(super) fn prepare(place: &Place, runtime: &Runtime) -> anyhow::Result<Self> {
        let data_dir = place.data_dir();
        let sources = Sources { data_dir: data_dir.clone(), file: None, set: Vec::new(), defaults: &[] };
        let context = Context { data_dir, sources, voice: Voice::Quiet, url: None, api_key: None, patience: Patience::Usual };
        let world = Self { context, place_of_texts: place.path("texts"), texts: AtomicUsize::new(0) };
        std::fs::create_dir_all(&world.place_of_texts)?;
        for name in (0..CONTRIBUTORS).map(contributor).chain(["iris".into(), "app".into()]) {
            place.json(&["keys", "new", &name])?;
        }
        let topic = "Refrigerators, vaccines, food and their temperature";
        place.json(&["datanets", "create", "--name", DATANET, "--title", "Cold chain", "--topic", topic, "--curator", "iris"])?;
        runtime.block_on(async {
            world.upload().await?;
            review::review(&world.context, &accept(Vec::new())).await?;
            world.publish().await
        })?;
        place.json(&["dev", "fund", "app", "--eth", "10", "--open", "20000"])?;
        place.json(&["apps", "register", "--name", "app", "--as", "app", "--deposit", "10000", "--limit", "10000"])?;
        wait_for("the deposit to be final", || {
            Ok(Some(place.rows("SELECT * FROM deposited WHERE finalized")?).filter(|rows| !rows.is_empty()))
        })?;
        Ok(world)
    }

    /// Everybody calls until the time is over. Each waits for a reply before the next call, so the load has a bound on a slow
    /// machine too.
    pub(super) fn run(&self, runtime: &Runtime, began: Instant, until: Instant) -> anyhow::Result<Done> {
        let done = Mutex::new(Done::default());
        let callers = [Kind::Upload, Kind::Review, Kind::Publish, Kind::Ask, Kind::Ask, Kind::Query];
        std::thread::scope(|scope| {
            for kind in callers {
                let done = &done;
                scope.spawn(move || {
                    let mut next = Instant::now();
                    while next < until {
                        std::thread::sleep(next.saturating_duration_since(Instant::now()));
                        self.call(runtime, kind, began, done);
                        next = (next + kind.every()).max(Instant::now());
                    }
                });
            }
        });
        done.into_inner().map_err(|_| anyhow::anyhow!("a caller panicked"))
    }

    fn call(&self, runtime: &Runtime, kind: Kind, began: Instant, done: &Mutex<Done>) {
        let (at, started) = (began.elapsed(), Instant::now());
        let result = runtime.block_on(async {
            match kind {
                Kind::Upload => self.upload().await.map(Acknowledged::Upload),
                Kind::Review => self.review().await.map(|()| Acknowledged::Nothing),
                Kind::Publish => self.publish().await.map(|()| Acknowledged::Nothing),
                Kind::Ask => self.ask(at).await.map(Acknowledged::Receipt),
                Kind::Query => self.query(at).await.map(|()| Acknowledged::Nothing),
            }
        });
        let took = started.elapsed();
        let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let refused = match result {
            Ok(Acknowledged::Upload(uploaded)) => {
                done.uploads.push(uploaded);
                None
            }
            Ok(Acknowledged::Receipt(id)) => {
                done.receipts.push(id);
                None
            }
            Ok(Acknowledged::Nothing) => None,
            Err(error) => match typed_refusal(&error) {
                Some(code) => Some(code),
                None => {
                    eprintln!("{kind:?} after {at:.0?}: {error:#}");
                    done.failures.push(format!("{kind:?} after {at:.0?}: {error:#}"));
                    return;
                }
            },
        };
        done.calls.push(Call { kind, at, took, refused });
    }

    async fn upload(&self) -> anyhow::Result<Uploaded> {
        let number = self.texts.fetch_add(1, Ordering::Relaxed);
        let (text, mark) = text(number);
        let file = self.place_of_texts.join(format!("depot-{number}.md"));
        std::fs::write(&file, text)?;
        let signer = signed_as(&contributor(number % CONTRIBUTORS));
        let args = SubmitArgs {
            datanet: DATANET.into(),
            signer,
            licence: "CC-BY-4.0".into(),
            note: String::new(),
            files: vec![file.clone()],
            no_wait: false,
        };
        let report = submit::submit(&self.context, &args).await?;
        std::fs::remove_file(&file)?;
        let submission_id = report.json["submission_id"].as_str().with_context(|| format!("no submission_id: {}", report.json))?.to_owned();
        Ok(Uploaded { submission_id, mark })
    }

    /// Every seventh document is rejected.
    async fn review(&self) -> anyhow::Result<()> {
        let list = ReviewCommand::List { datanet: DATANET.into(), pending: true, signer: signed_as("iris") };
        let waiting = review::review(&self.context, &list).await?.json;
        let ids = waiting.as_array().into_iter().flatten().filter_map(|item| item["document"]["document_id"].as_str().map(str::to_owned));
        let (rejected, accepted): (Vec<String>, Vec<String>) = ids.partition(|id| id.bytes().map(usize::from).sum::<usize>() % 7 == 0);
        if !rejected.is_empty() {
            let reason = "low_quality".to_owned();
            let args =
                RejectArgs { datanet: DATANET.into(), signer: signed_as("iris"), reason, comment: String::new(), documents: rejected };
            review::review(&self.context, &ReviewCommand::Reject(args)).await?;
        }
        if !accepted.is_empty() {
            review::review(&self.context, &accept(accepted)).await?;
        }
        Ok(())
    }

    async fn publish(&self) -> anyhow::Result<()> {
        datanets::publish(&self.context, &PublishArgs { datanet: DATANET.into(), signer: signed_as("iris") }).await.map(drop)
    }

    /// The receipt's id. The questions are about texts that are published by now, about some that are not, and about nothing.
    async fn ask(&self, at: Duration) -> anyhow::Result<String> {
        let known = self.texts.load(Ordering::Relaxed).max(1);
        let (_, mark) = text(usize::try_from(at.as_millis())? % (known + 2));
        let args = AskArgs {
            datanet: DATANET.into(),
            version: None,
            app_key: Some(self.context.data_dir.join("app.apikey")),
            request_id: None,
            quote: false,
            adapter: None,
            max_tokens: None,
            after: Vec::new(),
            contributors: Vec::new(),
            licences: Vec::new(),
            temperature: None,
            question: format!("At what temperature does the refrigerator of {mark} keep its goods?"),
        };
        let reply = answers::ask(&self.context, &args).await?.json;
        reply["attribution"]["receipt_id"].as_str().map(str::to_owned).with_context(|| format!("no receipt: {reply}"))
    }

    async fn query(&self, at: Duration) -> anyhow::Result<()> {
        let query = QUERIES[usize::try_from(at.as_secs() / 2)? % QUERIES.len()];
        self.rows(query).await.map(drop)
    }

    pub(super) async fn rows(&self, query: &str) -> anyhow::Result<Vec<Value>> {
        let args = SqlArgs { query: query.into(), format: Format::Json, snapshot: None };
        let reply = answers::sql(&self.context, &args).await?.json;
        Ok(reply["rows"].as_array().cloned().unwrap_or_default())
    }
}

enum Acknowledged {
    Upload(Uploaded),
    Receipt(String),
    Nothing,
}

fn contributor(number: usize) -> String {
    format!("contributor-{number}")
}

/// Of these, or of all that wait.
fn accept(documents: Vec<String>) -> ReviewCommand {
    ReviewCommand::Accept(AcceptArgs {
        datanet: DATANET.into(),
        signer: signed_as("iris"),
        comment: String::new(),
        all_pending: documents.is_empty(),
        documents,
    })
}

/// The code of an error that tells its caller what to do: theirs to mend, or a service that is busy. What else the service says
/// of itself, as that it failed or was too slow, is a failure.
fn typed_refusal(error: &anyhow::Error) -> Option<String> {
    let ServiceError { status, code, .. } = error.downcast_ref::<ServiceError>()?;
    let is_refusal = status.is_client_error() || status.as_u16() == 503;
    (is_refusal && code != "http_error").then(|| code.clone())
}

#[test]
fn texts_differ_and_hold_their_mark() {
    let texts: Vec<_> = (0..500).map(text).collect();
    assert!(texts.iter().all(|(text, mark)| text.contains(&format!("{mark} keeps"))));
    let marks: std::collections::BTreeSet<_> = texts.iter().map(|(_, mark)| mark).collect();
    assert_eq!(marks.len(), texts.len());
}
