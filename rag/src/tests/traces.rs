//! Texts that are traced in published versions.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use schemas::tables::VersionRow;

use super::world::{File, World, account, cold_chain, file, files_below};
use crate::trace::{Query, Traces, trace};
use crate::{RagConfig, RagError, Trace, TraceRequest};

const RANGE: &str = "at a temperature range of 2 °C to 8 °C from arrival until use.";
const ASKED: &str = "Somebody wrote: most vaccines must be stored in a refrigerator at a temperature range of 2 °C to 8 °C from \
     arrival until use. Dry ice sublimates at -78.5 °C and must be vented during air transport, always.";

/// With parts so small that there are several.
const PART_TOKENS: usize = 60;

fn traces(world: &World, part_tokens: usize) -> Arc<Traces> {
    Arc::new(Traces::new(world.store.clone(), world.dir.path().join("index"), 2, 8, 64).with_parts_of(part_tokens))
}

fn folder(world: &World, version: u64) -> PathBuf {
    world.index(version).with_file_name(format!("trace-v{version}"))
}

async fn traced(traces: &Arc<Traces>, row: &VersionRow, text: &str) -> Trace {
    let query = Arc::new(Query::read(text, Some(3), Some(1_000_000), 10_000).unwrap());
    trace(&traces.opened(row, ()).await.unwrap(), &query, 256).await.unwrap()
}

fn request(text: &str) -> TraceRequest {
    TraceRequest { text: text.into(), ..TraceRequest::default() }
}

/// The files of three contributors, and later ones that repeat them.
fn with_copies() -> Vec<File> {
    let mut files = cold_chain();
    files.push(file("copy.md", 5, &files[1].text));
    files.push(file("mixed.md", 6, &format!("We say it again: never freeze, and keep them {RANGE} It is so.")));
    files.extend((0..12).map(|n| file(&format!("{n}.md"), 7, &format!("Note {n}. Kept {RANGE} Note {n} ends."))));
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_names_whoever_was_registered_with_it_first() {
    let world = World::new(&with_copies()).await;
    let rag = world.rag().await;
    let found = rag.trace(request(ASKED), &[(world.datanet.datanet_id, None)], ()).await.unwrap().remove(0);
    assert_eq!((found.version, found.datanet_id), (1, world.datanet.datanet_id));
    assert!(found.coverage_ppm > 800_000 && found.coverage_ppm < 1_000_000, "{}", found.coverage_ppm);
    let vaccines = &found.spans[0];
    assert_eq!(vaccines.text, format!("vaccines must be stored in a refrigerator {RANGE}"));
    assert_eq!(&ASKED[vaccines.start..vaccines.end], vaccines.text);
    let of = |file: &crate::TracedDocument| (file.file_name.clone().unwrap(), file.contributor, file.registered);
    let documents: Vec<_> = vaccines.documents.iter().map(of).collect();
    assert_eq!(documents, [("monitoring.md".into(), account(2), 2), ("copy.md".into(), account(5), 5)], "the copy is shown too");
    assert_eq!(vaccines.occurrences, 2);
    let members = world.store.members(world.datanet.datanet_id, row_of(&world, 1).await.lance_version).await.unwrap();
    for document in found.spans.iter().flat_map(|span| &span.documents) {
        let text = &members.iter().find(|row| row.chunk_id == document.chunk_id).unwrap().text;
        assert!(document.snippet.contains(&text[document.start..document.end]), "{document:?}");
    }
    let dry_ice = found.spans.iter().find(|span| span.text.starts_with("Dry ice")).unwrap();
    assert_eq!(
        (dry_ice.text.as_str(), dry_ice.documents[0].contributor),
        ("Dry ice sublimates at -78.5 °C and must be vented during air transport", account(3))
    );

    // counted all, listed ten
    let often = rag.trace(request(RANGE), &[(world.datanet.datanet_id, Some(1))], ()).await.unwrap().remove(0);
    assert_eq!((often.spans[0].occurrences, often.spans[0].documents.len()), (15, 10));
    let registered: Vec<u64> = often.spans[0].documents.iter().map(|document| document.registered).collect();
    assert_eq!(registered, [2, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carried_version_is_traced_as_one_that_is_built_anew() {
    use std::os::unix::fs::MetadataExt;
    let all = with_copies();
    let world = World::new(&all[..4]).await;
    let carrying = traces(&world, PART_TOKENS);
    let mut rows = vec![row_of(&world, 1).await];
    traced(&carrying, &rows[0], ASKED).await;
    for (version, count) in [(2, 6), (3, 7), (4, all.len())] {
        rows.push(world.publish(version, &all[..count]).await);
        traced(&carrying, rows.last().unwrap(), ASKED).await;
    }
    let inodes =
        |version| -> Vec<u64> { files_below(&folder(&world, version)).iter().map(|path| path.metadata().unwrap().ino()).collect() };
    let first = inodes(3);
    assert!(inodes(4).iter().any(|file| first.contains(file)), "parts are the same files");
    // a version that lacks what the others begin with carries nothing
    rows.push(world.publish(5, &all[1..]).await);
    let elsewhere = tempfile::tempdir().unwrap();
    let anew = Arc::new(Traces::new(world.store.clone(), elsewhere.path().join("index"), 2, 8, 64));
    for row in &rows {
        for text in [ASKED, RANGE, "Note 3. Kept at a temperature range", "nothing of this stands there"] {
            assert_eq!(traced(&carrying, row, text).await, traced(&anew, row, text).await, "version {}: {text}", row.version);
        }
    }
}

async fn row_of(world: &World, version: u64) -> VersionRow {
    let filter = format!("version = {version}");
    world.store.scan::<VersionRow>(Some(&filter)).await.unwrap().remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_damaged_is_built_anew() {
    let world = World::new(&with_copies()).await;
    let row = row_of(&world, 1).await;
    let expected = traced(&traces(&world, PART_TOKENS), &row, ASKED).await;
    let names: Vec<PathBuf> = files_below(&folder(&world, 1));
    assert!(names.len() > 4, "{names:?}");
    for (n, path) in names.iter().enumerate() {
        let mut bytes = fs::read(path).unwrap();
        match n % 3 {
            0 => bytes.truncate(bytes.len() / 2),
            1 => *bytes.last_mut().unwrap() ^= 1,
            _ => fs::remove_file(path).unwrap(),
        }
        if n % 3 < 2 {
            fs::write(path, bytes).unwrap();
        }
        let again = traces(&world, PART_TOKENS);
        assert_eq!(traced(&again, &row, ASKED).await, expected, "{}", path.display());
        assert_eq!(again.built.load(Ordering::Relaxed), 1, "{}", path.display());
    }
    // whole, it is opened as it is; a damaged one is not carried
    let again = traces(&world, PART_TOKENS);
    assert_eq!((traced(&again, &row, ASKED).await, again.built.load(Ordering::Relaxed)), (expected.clone(), 0));
    let part = files_below(&folder(&world, 1)).into_iter().find(|path| path.to_string_lossy().contains("part-0-")).unwrap();
    let mut bytes = fs::read(&part).unwrap();
    bytes[100] ^= 1;
    fs::write(&part, bytes).unwrap();
    let mut files = with_copies();
    files.push(file("later.md", 9, "Later."));
    let next = world.publish(2, &files).await;
    let found = traced(&traces(&world, PART_TOKENS), &next, ASKED).await;
    assert_eq!(found.spans[0].documents, expected.spans[0].documents);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn those_who_first_trace_at_once_build_once() {
    let world = World::new(&with_copies()).await;
    let (row, traces) = (row_of(&world, 1).await, traces(&world, PART_TOKENS));
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let (row, traces) = (row.clone(), traces.clone());
            tokio::spawn(async move { traced(&traces, &row, ASKED).await })
        })
        .collect();
    let mut found = Vec::new();
    for task in tasks {
        found.push(task.await.unwrap());
    }
    assert!(found.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(traces.built.load(Ordering::Relaxed), 1);
    assert!(
        !folder(&world, 1)
            .parent()
            .unwrap()
            .read_dir()
            .unwrap()
            .any(|entry| { entry.unwrap().file_name().to_string_lossy().starts_with(".unfinished") })
    );
    // removed while open, it is what it was
    fs::remove_dir_all(folder(&world, 1)).unwrap();
    assert_eq!(traced(&traces, &row, ASKED).await, found[0]);
}

/// Who hangs up while a version is built has it built all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_waits_for_is_built_to_its_end() {
    let world = World::new(&with_copies()).await;
    let (row, traces) = (row_of(&world, 1).await, traces(&world, PART_TOKENS));
    let place = Arc::new(());
    let held = Arc::downgrade(&place);
    let mut opening = Box::pin(traces.opened(&row, place));
    assert!(std::future::poll_fn(|context| std::task::Poll::Ready(opening.as_mut().poll(context))).await.is_pending());
    drop(opening);
    assert!(held.upgrade().is_some(), "its place is taken as long as that lasts");
    traced(&traces, &row, ASKED).await;
    assert_eq!(traces.built.load(Ordering::Relaxed), 1);
    while held.upgrade().is_some() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_traced_is_a_typed_error() {
    let world = World::new(&[]).await;
    let config = RagConfig { concurrent_traces: 1, waiting_traces: 0, trace_max_bytes: 200, ..world.config() };
    let rag = world.open_with(config).await.unwrap();
    let id = world.datanet.datanet_id;
    assert!(matches!(rag.trace(request("a b c"), &[(id, None)], ()).await, Err(RagError::NothingPublished(of)) if of == id));
    assert_eq!(rag.newest_version(id).await.unwrap(), None);
    world.publish(1, &cold_chain()).await;
    assert_eq!(rag.newest_version(id).await.unwrap(), Some(1));
    assert!(matches!(rag.trace(request("a b c"), &[(id, Some(7))], ()).await, Err(RagError::NotFound { .. })));
    for text in ["", " \u{2028}\n", &"a".repeat(201)] {
        let error = rag.trace(request(text), &[(id, None)], ()).await.unwrap_err();
        assert!(matches!(error, RagError::Parameter { parameter: "text", .. }), "{error}");
    }
    let odd = rag.trace(request("\0 \u{200b}\u{301} Dry\0ice"), &[(id, None)], ()).await.unwrap().remove(0);
    assert_eq!((odd.coverage_ppm, odd.spans.len()), (0, 0));
    let _held = rag.traces.admit().unwrap();
    assert!(matches!(rag.trace(request("a b c"), &[(id, None)], ()).await, Err(RagError::Busy { limit: 1, .. })));
}

/// In whatever order versions are asked for, few folders stay, and those of old ones go with what they are searched by.
#[tokio::test(flavor = "multi_thread")]
async fn folders_of_old_versions_do_not_add_up() {
    let world = World::new(&[]).await;
    let mut files = Vec::new();
    for version in 1..=7 {
        files.push(file(
            &format!("{version}.md"),
            1,
            &format!("Note {version} says that dry ice sublimates at −78 °C, as note {version} does."),
        ));
        world.publish(version, &files).await;
    }
    let traces = traces(&world, PART_TOKENS);
    for version in (1..=7).rev() {
        let found = traced(&traces, &row_of(&world, version).await, "as note 1 does").await;
        assert_eq!(found.spans.len(), 1, "{version}");
    }
    let left = || (1..=7).filter(|version| folder(&world, *version).is_dir()).collect::<Vec<u64>>();
    assert_eq!(left(), [1, 4, 5, 6, 7]);
    world.rag().await.ensure_index(world.datanet.datanet_id, 7).await.unwrap();
    assert_eq!(left(), [4, 5, 6, 7]);
}
