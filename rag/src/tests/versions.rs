//! What is derived of a version is carried to the next, and is what it would be without.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use schemas::ids::ChunkId;
use schemas::tables::VersionRow;

use super::world::{File, World, cold_chain, file, files_below};
use crate::Rag;
use crate::open_version::{Among, OpenVersion, OpenVersions, REPLACED_FOR};
use crate::question::Question;
use crate::retrieve::{self, Hit};

const QUESTIONS: [&str; 4] = [
    "At what temperature range should most vaccines be stored?",
    "How cold is dry ice?",
    "Why is the genset of a reefer container checked before loading?",
    "Which label does a vented box carry?",
];

fn later() -> Vec<File> {
    vec![
        file("label.md", 4, "A vented box with dry ice carries the label of class nine on two sides.\n\nDry ice sublimates at -70 °C."),
        file(
            "again.md",
            5,
            "Most vaccines must be stored in a refrigerator at a temperature range of 2 °C to 8 °C from arrival until use.",
        ),
    ]
}

async fn open(world: &World, rag: &Rag, version: u64) -> Arc<OpenVersion> {
    rag.opened(world.datanet.datanet_id, Some(version)).await.unwrap()
}

/// Everything that retrieval and quoting see of a version.
async fn seen(world: &World, rag: &Rag, opened: &Arc<OpenVersion>) -> String {
    let mut seen = format!("{:?}\n", opened.statements.to_bytes());
    for question in QUESTIONS {
        let question = Question::alone(question, world.embedder.as_ref()).unwrap();
        let method = retrieve::method(&world.config(), &question, None, None);
        seen.push_str(&format!("{:?}\n", retrieve::retrieve(opened, &question, &method, None).await.unwrap()));
        for term in &question.terms {
            seen.push_str(&format!(
                "{term} {:?} {:?}\n",
                opened.text.rarity(term).unwrap(),
                opened.by_words(&[term.clone()], 3, &Among::default()).unwrap()
            ));
        }
    }
    for (n, question) in QUESTIONS.iter().enumerate() {
        let mut request = world.request(&format!("{n} of {}", opened.row.version), question);
        request.version = Some(opened.row.version);
        let answer = rag.ask(request).await.unwrap();
        seen.push_str(&format!("{} {:?}\n", answer.text, answer.receipt.body.shares));
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carried_version_is_the_one_that_is_derived_anew() {
    let world = World::new(&cold_chain()).await;
    let all: Vec<File> = cold_chain().into_iter().chain(later()).collect();
    let carried = {
        let rag = world.rag().await;
        open(&world, &rag, 1).await;
        world.publish(2, &all).await;
        let opened = open(&world, &rag, 2).await;
        seen(&world, &rag, &opened).await
    };
    let shared = |version: u64| -> Vec<u64> {
        use std::os::unix::fs::MetadataExt;
        files_below(&world.index(version)).iter().map(|path| path.metadata().unwrap().ino()).collect()
    };
    let first = shared(1);
    assert!(shared(2).iter().any(|file| first.contains(file)), "segments are the same files");

    // opened again, and derived again, it is the same
    for remove in [false, true] {
        if remove {
            std::fs::remove_dir_all(world.index(1)).unwrap();
            std::fs::remove_dir_all(world.index(2)).unwrap();
        }
        std::fs::remove_file(world.wal()).unwrap();
        let rag = world.rag().await;
        let opened = open(&world, &rag, 2).await;
        assert_eq!(seen(&world, &rag, &opened).await, carried, "removed: {remove}");
    }
}

/// A version that lacks members of the one before it, or has one between them, carries nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_begin_alike_is_derived_anew() {
    let world = World::new(&cold_chain()).await;
    let rag = world.rag().await;
    open(&world, &rag, 1).await;
    let mut files = cold_chain();
    files.remove(1);
    files.extend(later());
    world.publish(2, &files).await;
    let opened = open(&world, &rag, 2).await;
    let before = seen(&world, &rag, &opened).await;
    drop(rag);
    std::fs::remove_dir_all(world.index(1)).unwrap();
    std::fs::remove_dir_all(world.index(2)).unwrap();
    std::fs::remove_file(world.wal()).unwrap();
    let rag = world.rag().await;
    let opened = open(&world, &rag, 2).await;
    assert_eq!(seen(&world, &rag, &opened).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nearest_are_those_of_an_exact_search() {
    // each states something of its own
    let word =
        |n: u32| [1, 26, 676].map(|place| char::from(b'a' + u8::try_from(n * 7919 / place % 26).unwrap())).iter().collect::<String>();
    let text =
        |n: u32| format!("Crate {} {} of {} lies in hall {} beside {}.", word(n), word(n + 100), word(n + 200), word(n / 7), word(n + 300));
    let texts: Vec<File> = (0..60u8).map(|n| file(&n.to_string(), 1 + n % 7, &text(n.into()))).collect();
    let world = World::new(&texts).await;
    let rag = world.rag().await;
    let opened = open(&world, &rag, 1).await;
    let rows = world.store.members(world.datanet.datanet_id, opened.row.lance_version).await.unwrap();
    assert!(opened.speaking() > 30, "{}", opened.speaking());
    for question in ["Where does the third crate lie?", "Which hall holds most crates?", "What lies beside hall seven?"] {
        let vector = Question::alone(question, world.embedder.as_ref()).unwrap().vector;
        let mut exact: Vec<(f64, ChunkId)> = rows
            .iter()
            .filter(|row| opened.statements.chunk(opened.position(row.chunk_id).unwrap()) == crate::statements::ChunkStanding::Speaks)
            .map(|row| (row.embedding.0.iter().zip(&vector).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum(), row.chunk_id))
            .collect();
        exact.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let expected: Vec<Hit> = exact.iter().take(9).map(|(cosine, id)| Hit::new(*id, *cosine)).collect();
        assert_eq!(opened.nearest(&vector, 9, &Among::default()).await.unwrap(), expected, "{question}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_newest_versions_are_kept_derived() {
    let world = World::new(&cold_chain()).await;
    let rag = world.rag().await;
    for version in 2..=6 {
        world.publish(version, &cold_chain()[..1 + usize::try_from(version).unwrap() % 3]).await;
        open(&world, &rag, version).await;
    }
    assert!(!world.index(2).exists() && world.index(3).exists() && world.index(6).exists());
    // an old one is derived when somebody asks for it
    drop(rag);
    assert_eq!(open(&world, &world.rag().await, 2).await.row.version, 2);
}

/// A version that a newer one replaced is closed once nobody asks for it: it would hold memory, and files that are removed.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_replaced_does_not_stay_open() {
    let world = World::new(&cold_chain()).await;
    let rows = [world.publish(2, &cold_chain()[1..]).await, world.publish(3, &cold_chain()[2..]).await];
    for (replaced_for, is_closed) in [(Duration::ZERO, true), (REPLACED_FOR, false)] {
        let versions = OpenVersions::new(usize::MAX, replaced_for);
        let get = async |row: &VersionRow| {
            let (store, row) = (world.store.clone(), row.clone());
            let dir = world.config().index_dir;
            versions.get((row.datanet_id, row.version), async || OpenVersion::load(&store, dir, row, None).await).await.unwrap()
        };
        let newest = Arc::downgrade(&get(&rows[1]).await);
        let older = Arc::downgrade(&get(&rows[0]).await);
        assert_eq!(older.upgrade().is_none(), is_closed, "a newer one is open already");
        assert!(newest.upgrade().is_some(), "none replaced it");
    }
    let versions = OpenVersions::new(usize::MAX, Duration::ZERO);
    let load = async |row: VersionRow| OpenVersion::load(&world.store, world.config().index_dir, row, None).await;
    let older = Arc::downgrade(&versions.get((rows[0].datanet_id, 2), async || load(rows[0].clone()).await).await.unwrap());
    assert!(older.upgrade().is_some());
    drop(versions.get((rows[1].datanet_id, 3), async || load(rows[1].clone()).await).await.unwrap());
    assert!(older.upgrade().is_none(), "it was replaced");
}

/// The folder is whole, and holds what this program cannot read.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_another_format_is_derived_anew_once() {
    let world = World::new(&cold_chain()).await;
    open(&world, &world.rag().await, 1).await;
    let (statements, seal) = (world.index(1).join("statements.bin"), world.index(1).join("seal.json"));
    let derived = std::fs::read(&statements).unwrap();
    let other = &derived[8..];
    std::fs::write(&statements, other).unwrap();
    let mut sealed: serde_json::Value = serde_json::from_slice(&std::fs::read(&seal).unwrap()).unwrap();
    sealed["files"]["statements.bin"] = serde_json::json!([other.len(), crc32fast::hash(other)]);
    std::fs::write(&seal, sealed.to_string()).unwrap();
    open(&world, &world.rag().await, 1).await;
    assert_eq!(std::fs::read(&statements).unwrap(), derived);
}

/// What is kept of an open version is damaged on the disk, or is no folder at all: the next one is derived, and so is it.
#[tokio::test(flavor = "multi_thread")]
async fn damage_to_what_is_kept_holds_nothing_up() {
    let damages: [fn(&Path); 5] = [
        |folder| std::fs::remove_file(folder.join("seal.json")).unwrap(),
        |folder| {
            let vectors = files_below(folder).into_iter().find(|path| path.to_string_lossy().contains("vectors-")).unwrap();
            std::fs::write(vectors, "short").unwrap();
        },
        |folder| std::fs::remove_dir_all(folder).unwrap(),
        |folder| {
            std::fs::remove_dir_all(folder).unwrap();
            std::fs::write(folder, "a file").unwrap();
        },
        |folder| {
            std::fs::remove_dir_all(folder).unwrap();
            std::os::unix::fs::symlink("nowhere", folder).unwrap();
        },
    ];
    let all: Vec<File> = cold_chain().into_iter().chain(later()).collect();
    let mut expected = None;
    for damage in damages {
        let world = World::new(&cold_chain()).await;
        let rag = world.rag().await;
        open(&world, &rag, 1).await;
        damage(&world.index(1));
        world.publish(2, &all).await;
        assert_eq!(rag.reconcile().await.unwrap(), 1);
        let opened = open(&world, &rag, 2).await;
        let seen = seen(&world, &rag, &opened).await;
        assert_eq!(*expected.get_or_insert_with(|| seen.clone()), seen);
        // a start finds it damaged, and mends it
        drop((opened, rag));
        std::fs::remove_file(world.wal()).unwrap();
        let rag = world.rag().await;
        open(&world, &rag, 1).await;
        assert!(world.index(1).join("seal.json").exists());
    }
}

/// An auditor reads receipts of many old versions, of which nothing is kept.
#[tokio::test(flavor = "multi_thread")]
async fn evidence_needs_nothing_that_is_derived() {
    let world = World::new(&cold_chain()).await;
    let (id, from_open) = {
        let rag = world.rag().await;
        let id = rag.ask(world.request("1", QUESTIONS[0])).await.unwrap().receipt.body.answer_id;
        (id, rag.evidence(id).await.unwrap())
    };
    crate::verify_evidence(&from_open).unwrap();
    std::fs::remove_dir_all(world.index(1)).unwrap();
    let rag = world.rag().await;
    let from_tables = rag.evidence(id).await.unwrap();
    assert_eq!(from_tables.source_texts, from_open.source_texts);
    assert!(from_tables.source_texts.len() > 1 && !world.index(1).exists(), "nothing was derived for it");
}
