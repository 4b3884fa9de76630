//! What an analyst and an app find in SQL, beside what the operator does.

use schemas::B256;
use schemas::arrow::util::pretty::pretty_format_batches;
use schemas::hashing::sha256;
use schemas::ids::ReviewId;
use schemas::tables::{Millis, SubmissionRow, Wei};

use super::*;
use crate::Store;
use crate::sql::{QueryLimits, Viewer};
use crate::tests::{chunk, datanet, submission, version};

const SECRET: &str = "AKIA-secret-words";
const SALT: u8 = 0x5a;

fn document(n: u8, datanet: &schemas::tables::DatanetRow, title: &str) -> DocumentRow {
    DocumentRow {
        document_id: B256::repeat_byte(n).into(),
        submission_id: B256::repeat_byte(n).into(),
        datanet_id: datanet.datanet_id,
        contributor: Address::repeat_byte(n),
        file_name: format!("{title}.txt"),
        media_type: "text/plain".into(),
        sha256: sha256(title.as_bytes()),
        size_bytes: 1,
        title: title.into(),
        status: "chunked".into(),
        reason_code: None,
        reason: Some(format!("it says {title}")),
        parser: "text/1".into(),
        chunk_count: 1,
        topic_similarity_ppm: 0,
    }
}

fn review(n: u8, document: &DocumentRow, comment: &str) -> ReviewRow {
    ReviewRow {
        review_id: ReviewId(B256::repeat_byte(n)),
        document_id: document.document_id,
        submission_id: document.submission_id,
        datanet_id: document.datanet_id,
        curator: Address::repeat_byte(2),
        decision: "reject".into(),
        reason_code: "personal_data".into(),
        comment: comment.into(),
        sequence: n.into(),
        signature: "0x".into(),
        decided_at: 0,
        received_at: Millis(0),
    }
}

fn answer(n: u8, datanet: &schemas::tables::DatanetRow, payer: Option<Address>, words: &str) -> AnswerRow {
    AnswerRow {
        answer_id: B256::repeat_byte(n).into(),
        sequence: n.into(),
        datanet_id: datanet.datanet_id,
        version: 1,
        question: format!("question {words}"),
        question_salt: B256::repeat_byte(SALT),
        answer: format!("answer {words}"),
        status: "answered".into(),
        generator: "quote/1".into(),
        embedder: "x".into(),
        fee_wei: Wei(1),
        payer,
        unattributed_ppm: 0,
        issued_at: Millis(0),
    }
}

/// One document is published, one is rejected; two payers and the operator asked.
async fn store() -> Store {
    let store = Store::in_memory().await.unwrap();
    let row = datanet("a");
    let (good, bad) = (document(1, &row, "good-title"), document(2, &row, SECRET));
    let (published, rejected) = (chunk(row.datanet_id, 1, "published words", 0.0), chunk(row.datanet_id, 2, SECRET, 0.5));
    let noted = SubmissionRow { note: SECRET.into(), ..submission(2, row.datanet_id) };
    store.insert_new(&[row.clone()]).await.unwrap();
    store.insert_new(&[submission(1, row.datanet_id), noted]).await.unwrap();
    store.insert_new(&[good.clone(), bad.clone()]).await.unwrap();
    store.insert_new(&[published.clone(), rejected]).await.unwrap();
    store.insert_new(&[review(1, &good, "good-comment"), review(2, &bad, SECRET)]).await.unwrap();
    let at = store.publish_members(row.datanet_id, 1, &[published]).await.unwrap();
    store.insert_new(&[version(row.datanet_id, 1, at)]).await.unwrap();
    let (mine, other) = (Address::repeat_byte(7), Address::repeat_byte(8));
    store
        .insert_new(&[
            answer(1, &row, Some(mine), "of-mine"),
            answer(2, &row, Some(other), "of-other"),
            answer(3, &row, None, "of-operator"),
        ])
        .await
        .unwrap();
    store
}

async fn seen(store: &Store, viewer: Viewer, sql: &str) -> String {
    let result = store.query_as(viewer, sql, &QueryLimits::default(), None).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    pretty_format_batches(&result.batches).unwrap().to_string()
}

#[tokio::test]
async fn an_analyst_sees_what_is_published_and_nothing_else() {
    let store = store().await;
    let analyst = Viewer::Published { payer: None };
    let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'";
    let names = store.query_as(analyst, tables, &QueryLimits::default(), None).await.unwrap();
    let names: Vec<String> = names
        .batches
        .iter()
        .flat_map(|batch| {
            use schemas::arrow::array::AsArray;
            batch.column(0).as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    assert!(names.len() > 15, "{names:?}");
    // No column of any table tells it.
    for name in &names {
        let text = seen(&store, analyst, &format!("SELECT * FROM {name}")).await;
        for hidden in [SECRET, "of-mine", "of-other", "of-operator", &format!("{SALT:x}").repeat(32)] {
            assert!(!text.contains(hidden), "{name} tells {hidden}: {text}");
        }
    }
    let told = seen(&store, analyst, "SELECT d.title, d.file_name, r.comment, c.text, s.text FROM documents d JOIN reviews r USING (document_id) JOIN chunks c USING (document_id) JOIN submitted_chunks s USING (chunk_id)").await;
    assert!(told.contains("good-title") && told.contains("good-comment") && told.contains("published words"), "{told}");
    assert!(
        seen(&store, analyst, "SELECT count(*) AS n FROM documents WHERE title IS NULL").await.contains("| 1 |"),
        "that there is one is told"
    );
    // Nor can it be asked for by its words.
    for sql in [
        format!("SELECT document_id FROM documents WHERE title LIKE '{}%'", &SECRET[..4]),
        format!("SELECT document_id FROM document_status WHERE review_comment = '{SECRET}'"),
        format!("SELECT chunk_id FROM submitted_chunks WHERE text = '{SECRET}'"),
        "SELECT answer_id FROM answers WHERE question LIKE '%of-%'".to_owned(),
    ] {
        assert!(!seen(&store, analyst, &sql).await.contains("0x"), "{sql}");
    }
    // Nor by what fails on them: only visible rows are looked at.
    for sql in [
        format!("SELECT count(*) AS n FROM submitted_chunks WHERE CASE WHEN text LIKE '%{SECRET}%' THEN CAST(text AS INT) ELSE 1 END > 0"),
        format!("SELECT count(*) AS n FROM submitted_chunks WHERE 1 / (CASE WHEN text LIKE '%{SECRET}%' THEN 0 ELSE 1 END) = 1"),
        format!("SELECT count(*) AS n FROM documents WHERE coalesce(CASE WHEN title LIKE '%{SECRET}%' THEN CAST(title AS INT) END, 1) > 0"),
        "SELECT count(*) AS n FROM answers WHERE coalesce(CASE WHEN question LIKE '%of-%' THEN CAST(question AS INT) END, 1) > 0"
            .to_owned(),
        format!(
            "SELECT count(*) AS n FROM submitted_chunks a JOIN submitted_chunks b ON CAST(CASE WHEN a.text LIKE '%{SECRET}%' THEN a.text ELSE '1' END AS INT) = 1"
        ),
    ] {
        assert!(seen(&store, analyst, &sql).await.contains('|'), "{sql}");
    }
    let error = store.query_as(analyst, "EXPLAIN SELECT * FROM chunks", &QueryLimits::default(), None).await.unwrap_err();
    assert!(error.to_string().contains("operator"), "{error}");
}

/// A filter that fails is the query's fault, wherever it is computed.
#[tokio::test]
async fn what_fails_on_a_value_is_the_querys_fault() {
    let store = store().await;
    for sql in [
        "SELECT count(*) FROM submitted_chunks WHERE CAST(text AS INT) > 0",
        "SELECT count(*) FROM answers WHERE CAST(question AS INT) > 0",
    ] {
        for viewer in [Viewer::Everything, Viewer::Published { payer: Some(Address::repeat_byte(7)) }] {
            let error = store.query_as(viewer, sql, &QueryLimits::default(), None).await.unwrap_err();
            assert!(matches!(error, StoreError::Query(_)), "{sql}: {error:?}");
        }
    }
}

#[tokio::test]
async fn who_paid_sees_their_own_answers_and_the_operator_all() {
    let store = store().await;
    let sql = "SELECT question, answer FROM answers";
    let own = seen(&store, Viewer::Published { payer: Some(Address::repeat_byte(7)) }, sql).await;
    assert!(own.contains("question of-mine") && own.contains("answer of-mine"), "{own}");
    assert!(!own.contains("of-other") && !own.contains("of-operator"), "{own}");
    let all = seen(&store, Viewer::Everything, sql).await;
    assert!(all.contains("of-mine") && all.contains("of-other") && all.contains("of-operator"), "{all}");
    assert!(seen(&store, Viewer::Everything, "SELECT title FROM documents").await.contains(SECRET));
}
