//! Epochs and receipts for whoever computes payouts again. Public, as receipts are: they name no question and no text; but whoever has
//! the texts, as curators and contributors do, reads from their places and hashes what each payer was told.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use rag::Policy;
use schemas::Address;
use schemas::ids::parse_address;
use schemas::receipt::Receipt;
use schemas::tables::{ClosingRow, DebtRow, EpochRow, RewardRow};
use serde::{Deserialize, Serialize};

use super::front::PeerAddress;
use super::pages::MAX_ITEMS;
use super::{ApiError, App, Reply};
use crate::places::Place;

/// Receipts of a page: each has some ten thousand bytes.
pub(crate) const MAX_RECEIPTS: u64 = 100;

/// What was fixed when an epoch was closed, and what came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Epoch {
    pub closing: ClosingRow,
    /// Whom it does not pay; none where it was closed before there were policies.
    pub policy: Option<Policy>,
    /// None while its payers are being debited.
    pub settled: Option<EpochRow>,
}

pub(super) async fn show(State(service): State<App>, epoch: Result<Path<u64>, PathRejection>) -> Reply<Json<Epoch>> {
    let (closing, policy, settled) = service.rag.epoch(epoch?.0).await?;
    Ok(Json(Epoch { closing, policy, settled }))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AskedRows {
    /// Address of the last row of the page before.
    after: Option<String>,
    limit: Option<u64>,
}

type Asked<T> = Result<Query<T>, QueryRejection>;
type From = Option<Extension<PeerAddress>>;

/// A place among the lists that are being made: nobody has all of them.
fn place(service: &App, from: From) -> Reply<Place> {
    let holders = from.map(|Extension(peer)| peer.client().to_string()).into_iter().collect();
    service.listings.take(holders, 0).map_err(|_full| ApiError::busy("too many lists are being made: try again shortly"))
}

/// What a settled epoch left each payer with, by payer.
pub(super) async fn debts(
    State(service): State<App>,
    from: From,
    epoch: Result<Path<u64>, PathRejection>,
    asked: Asked<AskedRows>,
) -> Reply<Json<Vec<DebtRow>>> {
    let _place = place(&service, from)?;
    let (epoch, after, limit) = rows(&service, epoch?.0, asked).await?;
    Ok(Json(service.rag.debts(epoch, after, limit).await?))
}

/// What everybody earned up to a settled epoch, by account.
pub(super) async fn rewards(
    State(service): State<App>,
    from: From,
    epoch: Result<Path<u64>, PathRejection>,
    asked: Asked<AskedRows>,
) -> Reply<Json<Vec<RewardRow>>> {
    let _place = place(&service, from)?;
    let (epoch, after, limit) = rows(&service, epoch?.0, asked).await?;
    Ok(Json(service.rag.rewards(epoch, after, limit).await?))
}

/// What is asked for, of an epoch that is settled: of another there may be rows that are not the epoch's yet.
async fn rows(service: &App, epoch: u64, asked: Asked<AskedRows>) -> Reply<(u64, Option<Address>, usize)> {
    let Query(AskedRows { after, limit }) = asked.map_err(malformed)?;
    let limit = within(limit, MAX_ITEMS as u64)?;
    let after = after.map(|after| parse_address(&after)).transpose().map_err(|error| ApiError::parameter("after", error))?;
    let (.., settled) = service.rag.epoch(epoch).await?;
    let missing = || ApiError::not_there("epoch", "not_found", format!("epoch {epoch} is not settled yet"));
    settled.map(|_| (epoch, after, usize::try_from(limit).unwrap_or(MAX_ITEMS))).ok_or_else(missing)
}

fn malformed(error: QueryRejection) -> ApiError {
    ApiError::bad_request(format!("limit or after: {}", error.body_text()))
}

fn within(limit: Option<u64>, most: u64) -> Reply<u64> {
    let limit = limit.unwrap_or(most);
    let refused = || ApiError::parameter("limit", format!("{limit} is not in 1 to {most}"));
    (1..=most).contains(&limit).then_some(limit).ok_or_else(refused)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AskedReceipts {
    /// Number of the last receipt of the page before.
    #[serde(default)]
    after: u64,
    limit: Option<u64>,
}

/// Receipts by number. One that was issued a moment ago is here a moment later.
pub(super) async fn receipts(State(service): State<App>, from: From, asked: Asked<AskedReceipts>) -> Reply<Json<Vec<Receipt>>> {
    let Query(AskedReceipts { after, limit }) = asked.map_err(malformed)?;
    let limit = within(limit, MAX_RECEIPTS)?;
    let _place = place(&service, from)?;
    Ok(Json(service.rag.receipts_after(after, limit).await?))
}
