//! Receipts of answers, what proves them, and answers again.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use rag::{Evidence, Inclusion};
use schemas::ids::AnswerId;
use schemas::receipt::Receipt;
use serde::{Deserialize, Serialize};

use super::{ApiError, App, Authenticated, Reply};
use crate::auth::Caller;

/// Public: a receipt names no question and no text, and is for everybody to check.
pub(super) async fn receipt(State(service): State<App>, Path(id): Path<String>) -> Reply<Json<Receipt>> {
    Ok(Json(service.rag.receipt(id.parse::<AnswerId>()?).await?))
}

/// Public: where the receipt stands in its epoch's root.
pub(super) async fn inclusion(State(service): State<App>, Path(id): Path<String>) -> Reply<Json<Inclusion>> {
    let inclusion = service.rag.inclusion(id.parse::<AnswerId>()?).await?;
    let open = || {
        let problem = "the receipt's epoch is not closed yet: ask again after the next settlement, which is of all receipts up to the \
                       last one that somebody pays for";
        ApiError::new(StatusCode::NOT_FOUND, "not_found", problem)
    };
    inclusion.map(Json).ok_or_else(open)
}

/// With the question, its salt, the answer and the source texts: for those who may see them.
pub(super) async fn evidence(
    State(service): State<App>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
) -> Reply<Json<Evidence>> {
    Ok(Json(own_evidence(&service, &caller, id.parse::<AnswerId>()?).await?))
}

/// What comes out when the answer's version is searched again.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reexecution {
    pub receipt_id: AnswerId,
    /// In words; none where the receipt tells the truth.
    pub differences: Vec<String>,
}

/// For those whom [`evidence`] is for.
pub(super) async fn reexecute(
    State(service): State<App>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
) -> Reply<Json<Reexecution>> {
    let receipt_id = id.parse::<AnswerId>()?;
    let evidence = own_evidence(&service, &caller, receipt_id).await?;
    Ok(Json(Reexecution { receipt_id, differences: service.rag.reexecute(&evidence).await? }))
}

async fn own_evidence(service: &App, caller: &Caller, id: AnswerId) -> Reply<Evidence> {
    let payer = service.rag.receipt(id).await?.body.payer;
    if !caller.may(&[]) && (payer.is_none() || payer != caller.payer) {
        return Err(ApiError::forbidden("the question and the answer are for who paid for them, and for the operator"));
    }
    Ok(service.rag.evidence(id).await?)
}
