//! What a payer has, owes and allows, as the service counts it; and waiting until it counts what was just done on chain.

use std::time::{Duration, Instant};

use clap::Args;
use schemas::U256;
use schemas::signed::apps::AppListing;
use schemas::signer::KeySigner;
use schemas::tables::Millis;

use super::{DEADLINE_SECONDS, domain, payer};
use crate::cli::{Context, SignAs};
use crate::client::Client;
use crate::credit::{LimitStatement, Statement};
use crate::http::Info;
use crate::limits::LimitState;
use crate::output::{Report, table, tokens, utc};

/// How long a command waits for the service to count what it sent. Chains whose blocks are final later are waited for by their users.
const COUNTED_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(300);

#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    pub signer: SignAs,
}

/// The account of a payer who signs, or that of the API key.
pub(super) async fn show(context: &Context, args: &ShowArgs) -> anyhow::Result<Report> {
    let client = context.client()?;
    let statement: Statement = match payer(context, &args.signer)? {
        None => client.get("/v1/account").await?,
        Some(signer) => client.post("/v1/account", &listing(&signer, &context.info().await?)?).await?,
    };
    Ok(Report::new(text(&statement), &statement))
}

fn listing(signer: &KeySigner, info: &Info) -> anyhow::Result<AppListing> {
    Ok(AppListing::sign(signer, &domain(info), Millis::now().unix_seconds() + DEADLINE_SECONDS)?)
}

/// Waits a while until the service counts something. That it does not is no failure of what was done.
pub(super) async fn counted(client: &Client, info: &Info, signer: &KeySigner, mut counts: impl AsyncFnMut(&Statement) -> bool) -> bool {
    let Ok(listing) = listing(signer, info) else { return false };
    let deadline = Instant::now() + COUNTED_WITHIN;
    while Instant::now() < deadline {
        match client.post::<Statement>("/v1/account", &listing).await {
            Ok(statement) if counts(&statement).await => return true,
            Ok(_) => tokio::time::sleep(LOOK_EVERY).await,
            Err(_) => return false,
        }
    }
    false
}

fn text(statement: &Statement) -> String {
    let unless_zero = |wei: U256, words: &str| if wei.is_zero() { String::new() } else { format!("; {} OPEN {words}", tokens(wei)) };
    let mut lines = vec![
        format!("payer      {}", statement.payer),
        format!(
            "deposited  {} OPEN{}{}",
            tokens(statement.deposited_wei),
            unless_zero(statement.withdrawing_wei, "of it are asked back"),
            unless_zero(statement.arriving_wei, "more count once their block is final"),
        ),
        format!(
            "owed       {} OPEN for answers that are not debited yet{}",
            tokens(statement.owed_wei),
            unless_zero(statement.overdue_wei, "were asked for and not paid: no answer before they are"),
        ),
        format!("left       {} OPEN for further answers, of {} OPEN each", tokens(statement.left_wei), tokens(statement.price_wei)),
    ];
    let row = |limit: &LimitStatement| {
        let state = match limit.state {
            LimitState::Good => "good",
            LimitState::UsedUp => "used up",
            LimitState::Ending => "ends too soon to back answers",
            LimitState::Expired => "expired",
            LimitState::Cancelled => "cancelled",
        };
        vec![limit.nonce.to_string(), tokens(limit.amount_wei), tokens(limit.room_wei), utc(limit.ends_at), state.to_owned()]
    };
    let rows: Vec<Vec<String>> = statement.limits.iter().map(row).collect();
    lines.push(String::new());
    lines.push(if rows.is_empty() {
        "no spending limit; `headwater apps limit` signs one".to_owned()
    } else {
        table(&["limit's nonce", "OPEN", "not debited", "until", "state"], &rows)
    });
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use schemas::{Address, B256};

    use super::*;

    #[test]
    fn an_account_is_told_with_its_units() {
        let open = |tenths: u64| U256::from(tenths) * U256::from(10u64).pow(U256::from(17u64));
        let limit = LimitStatement {
            limit_hash: B256::ZERO,
            nonce: U256::from(7u64),
            amount_wei: open(50),
            room_wei: open(45),
            ends_at: 951_782_400,
            state: LimitState::Cancelled,
        };
        let mut statement = Statement {
            payer: Address::ZERO,
            deposited_wei: open(100),
            arriving_wei: open(20),
            withdrawing_wei: open(15),
            owed_wei: open(3),
            overdue_wei: open(1),
            left_wei: U256::ZERO,
            price_wei: open(2),
            limits: vec![limit],
        };
        let told = text(&statement);
        for words in [
            "deposited  10 OPEN; 1.5 OPEN of it are asked back; 2 OPEN more count once their block is final",
            "owed       0.3 OPEN for answers that are not debited yet; 0.1 OPEN were asked for and not paid",
            "left       0 OPEN for further answers, of 0.2 OPEN each",
            "7              5     4.5          2000-02-29T00:00:00Z  cancelled",
        ] {
            assert!(told.contains(words), "{told}");
        }
        statement.limits.clear();
        assert!(text(&statement).ends_with("no spending limit; `headwater apps limit` signs one"));
    }
}
