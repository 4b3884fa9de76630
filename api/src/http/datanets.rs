//! Datanets and their versions.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use indexer::events;
use ingest::{NewDatanet, Preview, QueueItem, QueueStatus, SignedCuratorChange, SignedPublication};
use schemas::tables::{DatanetRow, ForeignVersionRow, VersionRow};
use serde_json::{Value, json};
use store::Finality;

use super::pages::{AskedPage, page, page_following};
use super::{App, Insider, Reply};
use crate::service::reconcile;

pub(super) async fn list(State(service): State<App>, asked: AskedPage) -> Reply<Json<Vec<DatanetRow>>> {
    page(asked, service.ingest.datanets().await?, |row| row.datanet_id.to_string()).map(Json)
}

pub(super) async fn create(State(service): State<App>, body: Result<Json<NewDatanet>, JsonRejection>) -> Reply<Json<DatanetRow>> {
    Ok(Json(service.ingest.create_datanet(body?.0).await?))
}

/// Documents that wait for a decision, then the others, a page at a time: after `pending:DOCUMENT` or `decided:DOCUMENT`, so that
/// one that is decided meanwhile takes nothing with it to the end.
pub(super) async fn queue(
    State(service): State<App>,
    insider: Insider,
    Path(name): Path<String>,
    asked: AskedPage,
) -> Reply<Json<Vec<QueueItem>>> {
    let datanet = service.ingest.datanet(&name).await?;
    insider.may_see(datanet.datanet_id)?;
    page_following(asked, service.ingest.queue(datanet.datanet_id).await?, queued_after).map(Json)
}

/// Where what follows a document begins, which stood in the part of the queue that the key names.
fn queued_after(items: &[QueueItem], after: &str) -> Option<usize> {
    let (part, id) = after.split_once(':')?;
    let place = |item: &QueueItem| (item.submission.registered, item.document.file_name.clone());
    let last = items.iter().find(|item| item.document.document_id.to_string() == id).map(place)?;
    let pending = items.iter().take_while(|item| item.status == QueueStatus::Pending).count();
    let upto = |items: &[QueueItem]| items.partition_point(|item| place(item) <= last);
    match part {
        "pending" => Some(upto(items.get(..pending)?)),
        "decided" => Some(pending + upto(items.get(pending..)?)),
        _ => None,
    }
}

pub(super) async fn preview(State(service): State<App>, insider: Insider, Path(name): Path<String>) -> Reply<Json<Preview>> {
    let datanet = service.ingest.datanet(&name).await?;
    insider.may_see(datanet.datanet_id)?;
    Ok(Json(service.ingest.preview(datanet.datanet_id).await?))
}

/// Signed by a curator: the signature is the authorisation.
pub(super) async fn publish(
    State(service): State<App>,
    Path(name): Path<String>,
    body: Result<Json<SignedPublication>, JsonRejection>,
) -> Reply<Json<VersionRow>> {
    let publication = body?.0;
    let datanet = service.ingest.datanet(&name).await?;
    if datanet.datanet_id != publication.datanet {
        return Err(super::ApiError::bad_request(format!("the publication is for Datanet {}, not for {name:?}", publication.datanet)));
    }
    Ok(Json(service.ingest.publish(publication).await?))
}

/// Signed by the Datanet's owner: the signature is the authorisation.
pub(super) async fn change_curator(
    State(service): State<App>,
    Path(name): Path<String>,
    body: Result<Json<SignedCuratorChange>, JsonRejection>,
) -> Reply<Json<DatanetRow>> {
    let change = body?.0;
    let datanet = service.ingest.datanet(&name).await?;
    if datanet.datanet_id != change.datanet {
        return Err(super::ApiError::bad_request(format!("the change is for Datanet {}, not for {name:?}", change.datanet)));
    }
    Ok(Json(service.ingest.change_curator(change).await?))
}

/// Who may decide, and every change of it.
pub(super) async fn curators(State(service): State<App>, Path(name): Path<String>) -> Reply<Json<Value>> {
    let datanet = service.ingest.datanet(&name).await?;
    let changes = service.ingest.curator_changes(datanet.datanet_id).await?;
    Ok(Json(json!({ "datanet_id": datanet.datanet_id, "owner": datanet.owner, "curators": datanet.curators, "changes": changes })))
}

/// Builds on what stands on chain and is final, though it was not published here.
pub(super) async fn accept_fork(State(service): State<App>, Path(name): Path<String>) -> Reply<Json<Vec<ForeignVersionRow>>> {
    let datanet = service.ingest.datanet(&name).await?;
    let anchored = reconcile::anchored(&service, Finality::Finalized).await?;
    Ok(Json(service.ingest.accept_fork(datanet.datanet_id, &anchored).await?))
}

/// Published versions, and how far each is anchored: `pending`, `included` or `final`.
pub(super) async fn versions(State(service): State<App>, Path(name): Path<String>, asked: AskedPage) -> Reply<Json<Vec<Value>>> {
    let datanet = service.ingest.datanet(&name).await?;
    let included = events::versions_committed(&service.store, &service.deployment, Finality::Any).await?;
    let finalized = events::versions_committed(&service.store, &service.deployment, Finality::Finalized).await?;
    let rows = page(asked, service.ingest.versions(datanet.datanet_id).await?, |row| row.version.to_string())?;
    let listed = rows.into_iter().map(|row| {
        let has = |events: &[events::CommittedVersion]| {
            events.iter().any(|event| event.datanet_id == row.datanet_id && event.version == row.version && event.root == row.root)
        };
        let anchor = match (has(&finalized), has(&included)) {
            (true, _) => "final",
            (false, true) => "included",
            (false, false) => "pending",
        };
        json!({ "version": row, "anchor": anchor })
    });
    Ok(Json(listed.collect()))
}

#[cfg(test)]
mod tests {
    use ingest::SubmissionFacts;
    use schemas::ids::DocumentId;
    use schemas::tables::{DocumentRow, Millis};
    use schemas::{Address, B256};

    use super::*;

    fn item(n: u8, status: QueueStatus) -> QueueItem {
        let document_id = DocumentId(B256::repeat_byte(n));
        QueueItem {
            document: DocumentRow {
                document_id,
                submission_id: B256::ZERO.into(),
                datanet_id: B256::ZERO.into(),
                contributor: Address::ZERO,
                file_name: "a.txt".into(),
                media_type: String::new(),
                sha256: schemas::ids::Sha256::default(),
                size_bytes: 0,
                title: String::new(),
                status: "chunked".into(),
                reason_code: None,
                reason: None,
                parser: String::new(),
                chunk_count: 1,
                topic_similarity_ppm: 0,
            },
            submission: SubmissionFacts {
                submission_id: B256::ZERO.into(),
                contributor: Address::ZERO,
                licence: String::new(),
                note: String::new(),
                registered: n.into(),
                received_at: Millis(0),
            },
            status,
            last_review: None,
            flags: Vec::new(),
            topic_similarity_ppm: 0,
            duplicate_chunks: 0,
            duplicates: Vec::new(),
            duplicate_of: None,
            similarity_ppm: None,
        }
    }

    #[test]
    fn what_is_decided_while_a_queue_is_read_leaves_nothing_out() {
        use QueueStatus::{Accepted, Pending, Rejected};
        let key = |part: &str, n: u8| format!("{part}:{}", DocumentId(B256::repeat_byte(n)));
        let before = [item(2, Pending), item(4, Pending), item(5, Pending), item(1, Accepted), item(3, Rejected)];
        assert_eq!(queued_after(&before, &key("pending", 4)), Some(2));
        // 4 was decided when it had been read.
        let now = [item(2, Pending), item(5, Pending), item(1, Accepted), item(3, Rejected), item(4, Accepted)];
        assert_eq!(queued_after(&now, &key("pending", 4)), Some(1), "5 is still to be read");
        assert_eq!(queued_after(&now, &key("decided", 1)), Some(3));
        assert_eq!(queued_after(&now, &key("decided", 4)), Some(5));
        for wrong in [key("pending", 9), key("all", 4), "4".to_owned()] {
            assert_eq!(queued_after(&now, &wrong), None, "{wrong}");
        }
    }
}
