//! Datanets and their versions.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use indexer::events;
use ingest::{NewDatanet, Preview, QueueItem, SignedCuratorChange, SignedPublication};
use schemas::tables::{DatanetRow, ForeignVersionRow, VersionRow};
use serde_json::{Value, json};
use store::Finality;

use super::pages::{AskedPage, page};
use super::{App, Insider, Reply};
use crate::service::reconcile;

pub(super) async fn list(State(service): State<App>) -> Reply<Json<Vec<DatanetRow>>> {
    Ok(Json(service.ingest.datanets().await?))
}

pub(super) async fn create(State(service): State<App>, body: Result<Json<NewDatanet>, JsonRejection>) -> Reply<Json<DatanetRow>> {
    Ok(Json(service.ingest.create_datanet(body?.0).await?))
}

pub(super) async fn queue(State(service): State<App>, insider: Insider, Path(name): Path<String>) -> Reply<Json<Vec<QueueItem>>> {
    let datanet = service.ingest.datanet(&name).await?;
    insider.may_see(datanet.datanet_id)?;
    Ok(Json(service.ingest.queue(datanet.datanet_id).await?))
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
