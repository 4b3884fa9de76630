//! Money on the running service: what somebody who wants it can try, and that an honest payer's contributors are paid by
//! themselves. Answers cost 0.05 OPEN, every batch holds one payer, and epochs close after seconds.

use std::fs;

use anyhow::{Context, ensure};
use schemas::U256;
use schemas::alloy_sol_types::SolCall;
use schemas::contracts::Deployment;
use schemas::contracts::PaymentVault::debitBatchCall;
use schemas::hashing::sha256;
use schemas::signed::apps::AppAuthorisation;
use schemas::signed::{SignedSpendingLimit, SigningDomain, SpendingLimit, spending_limit_digest};
use schemas::signer::Signer;
use serde_json::{Value, json};

use crate::harness::{Place, Service, post, wait_for};
use crate::recomputed::payouts_are_computed_again;

const TEXT: &str = "# Vaccines\n\nMost vaccines are stored in a refrigerator at a temperature between 2 °C and 8 °C. The usual set point is 5 °C, which leaves the same margin on both sides.\n";
const QUESTION: &str = "At what temperature should most vaccines be stored in a refrigerator?";
const SETTINGS: &str = r#"
[rag]
price_wei = "50000000000000000"
[settlement]
interval_seconds = 2
reserve_wei = "300000000000000000"
dispute_window_seconds = 1
batch_bytes_max = 1000
"#;

#[test]
fn nobody_spends_what_is_not_theirs_and_epochs_settle_by_themselves() -> anyhow::Result<()> {
    let place = Place::new()?;
    fs::create_dir_all(place.data_dir())?;
    fs::write(place.data_dir().join("headwater.toml"), SETTINGS)?;
    let service = place.up()?;
    publish(&place)?;
    place.json(&["dev", "fund", "operator", "--open", "1"])?;
    let victim = payer(&place, "victim", "0.1")?;
    let crowd = payer(&place, "crowd", "0.15")?;
    of_fourteen_at_once_exactly_three_are_answered(&service, &crowd)?;
    ensure!(ask(&service, &victim)?.0 == 200, "the victim's own question");
    epochs_settle_by_themselves_in_parts(&place)?;
    payouts_are_computed_again(&place, &service)?;
    let limit = a_limit_out_of_calldata_gives_nothing(&place, &service)?;
    a_limit_counts_once_however_often_it_is_registered(&service, &victim, &limit)?;
    a_revoked_key_is_no_good(&place, &service, &crowd)?;
    what_the_vault_would_refuse_is_refused(&place, &service)?;
    no_payer_has_more_limits_than_are_allowed(&place, &service)?;
    the_reserve_is_filled_once(&place, &service)?;
    ensure!(service.lives()?, "the service ended by itself");
    a_restart_forgets_neither_deposits_nor_debits(&place, &service)
}

/// The last minute of blocks is in no table when a service ends.
fn a_restart_forgets_neither_deposits_nor_debits(place: &Place, service: &Service) -> anyhow::Result<()> {
    let late = payer(place, "late", "0.1")?;
    ensure!(ask(service, &late)?.0 == 200, "there is room for two answers");
    wait_for("the first to be debited", || {
        let account = place.json(&["apps", "show", "--as", "late"])?;
        Ok(Some(()).filter(|()| texts(&account, ["deposited_wei", "owed_wei"]) == ["950000000000000000", "0"]))
    })?;
    service.stop()?;
    let service = place.up()?;
    let statuses: Vec<u16> = (0..3).map(|_| ask(&service, &late).map(|(status, _)| status)).collect::<anyhow::Result<_>>()?;
    ensure!(statuses == [200, 402, 402], "{statuses:?}");
    Ok(())
}

fn unix_seconds() -> anyhow::Result<u64> {
    Ok(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs())
}

fn publish(place: &Place) -> anyhow::Result<()> {
    for name in ["ada", "iris", "victim", "crowd", "thief", "late"] {
        place.json(&["keys", "new", name])?;
    }
    let file = place.path("ada.md");
    fs::write(&file, TEXT)?;
    place.json(&["datanets", "create", "--name", "cold", "--title", "Cold chain", "--topic", "Vaccines", "--curator", "iris"])?;
    let file = file.to_str().context("the path is not text")?;
    place.json(&["submit", "--datanet", "cold", "--as", "ada", "--licence", "CC-BY-4.0", file])?;
    place.json(&["review", "accept", "--datanet", "cold", "--as", "iris", "ada.md"])?;
    place.json(&["publish", "--datanet", "cold", "--as", "iris"])?;
    Ok(())
}

/// A payer whose deposit counts; its app's key.
fn payer(place: &Place, name: &str, limit: &str) -> anyhow::Result<String> {
    place.json(&["dev", "fund", name, "--eth", "1", "--open", "1"])?;
    let register = ["apps", "register", "--name", name, "--as", name, "--deposit", "1", "--limit", limit];
    let registered = place.json(&register)?;
    ensure!(registered["deposit_counts"] == true, "{registered}");
    place.run(&register)?.failed_with(&["never overwritten", "--out FILE"])?;
    let account = place.json(&["apps", "show", "--as", name])?;
    let amounts = texts(&account, ["deposited_wei", "owed_wei", "overdue_wei"]);
    ensure!(amounts == ["1000000000000000000", "0", "0"] && account["limits"][0]["nonce"] == registered["nonce"], "{account}");
    Ok(fs::read_to_string(place.data_dir().join(format!("{name}.apikey")))?.trim().to_owned())
}

fn texts<'a, const N: usize>(object: &'a Value, names: [&str; N]) -> [&'a str; N] {
    names.map(|name| object[name].as_str().unwrap_or_default())
}

fn ask(service: &Service, key: &str) -> anyhow::Result<(u16, Value)> {
    let bearer = format!("Bearer {key}");
    let body = json!({ "model": "datanet:cold", "messages": [{ "role": "user", "content": QUESTION }] });
    post(service.address(), "/v1/chat/completions", &[("authorization", bearer.as_str())], &body)
}

/// The limit has room for three answers; whoever is refused holds nothing of it.
fn of_fourteen_at_once_exactly_three_are_answered(service: &Service, key: &str) -> anyhow::Result<()> {
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..14).map(|_| scope.spawn(|| ask(service, key).map(|(status, _)| status))).collect();
        asking.into_iter().map(|asked| asked.join().map_err(|_| anyhow::anyhow!("a question panicked"))?).collect::<anyhow::Result<_>>()
    })?;
    let count = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
    ensure!((count(200), count(402)) == (3, 11), "{statuses:?}");
    ensure!(ask(service, key)?.0 == 402, "a fourth afterwards");
    Ok(())
}

/// Nobody runs `settle`: both payers are debited, each in a part of its own where one epoch has both, and ada can claim all.
fn epochs_settle_by_themselves_in_parts(place: &Place) -> anyhow::Result<()> {
    let paid = "SELECT coalesce(CAST(sum(amount) AS VARCHAR), '0') AS paid FROM debited WHERE finalized";
    wait_for("all four answers to be debited", || {
        Ok(Some(()).filter(|()| place.rows(paid).is_ok_and(|rows| rows[0]["paid"] == "200000000000000000")))
    })?;
    let largest = place.rows("SELECT max(n) AS n FROM (SELECT count(DISTINCT payer) AS n FROM debited GROUP BY epoch, part)")?;
    ensure!(largest[0]["n"] == 1, "a batch of more than one payer: {largest:?}");
    let open =
        "SELECT count(*) AS n FROM batch_debited b WHERE is_last AND NOT EXISTS (SELECT 1 FROM root_accepted r WHERE r.epoch = b.epoch)";
    wait_for("every root to be accepted", || Ok(Some(()).filter(|()| place.rows(open).is_ok_and(|rows| rows[0]["n"] == 0))))?;
    wait_for("a claim that only lacks gas", || {
        let told = place.run(&["claim", "--as", "ada"])?.stderr;
        Ok(Some(()).filter(|()| ["too little gas", "dev fund", "claim --account ada --as OTHER"].iter().all(|word| told.contains(word))))
    })?;
    place.run(&["claim", "--as", "thief"])?.failed_with(&["earned nothing in a settled epoch yet"])?;
    place.json(&["dev", "fund", "ada", "--eth", "1"])?;
    let claimed = wait_for("the claim", || {
        let ended = place.run(&["--json", "claim", "--as", "ada"])?;
        if ended.code == Some(0) { ended.json().map(Some) } else { Ok(None) }
    })?;
    ensure!(claimed["paid_wei"] == "160000000000000000", "80 % of four answers: {claimed}");
    Ok(())
}

/// Everything that the chain shows of a payer, shown to the service by somebody else.
fn a_limit_out_of_calldata_gives_nothing(place: &Place, service: &Service) -> anyhow::Result<Value> {
    let hash = place.rows("SELECT DISTINCT transaction_hash FROM batch_debited LIMIT 1")?[0]["transaction_hash"].clone();
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_getTransactionByHash", "params": [hash] });
    let (_, transaction) = post(service.rpc_url.trim_start_matches("http://"), "/", &[], &request)?;
    let input: schemas::alloy_primitives::Bytes = serde_json::from_value(transaction["result"]["input"].clone())?;
    let debit = debitBatchCall::abi_decode(&input)?.debits.into_iter().next().context("a batch without debits")?;
    let limit = json!({
        "payer": debit.limit.payer, "spender": debit.limit.spender, "max_amount": debit.limit.maxAmount, "expiry": debit.limit.expiry,
        "nonce": debit.limit.nonce, "signature": debit.signature.to_string(),
    });
    let tried = |path: &str, body: &Value| post(service.address(), path, &[], body);
    // As it was once: a limit, in return for a key.
    let (status, reply) = tried("/v1/apps", &json!({ "name": "thief", "limit": limit }))?;
    ensure!(status == 422 || status == 400, "{status} {reply}");
    // With a key of the thief's, in the victim's name, or signed by the thief.
    for (payer, expected) in [(json!(debit.limit.payer), 401), (place.json(&["keys", "address", "thief"])?["address"].clone(), 401)] {
        let authorisation = json!({
            "payer": payer, "key_hash": format!("0x{}", "11".repeat(32)), "name": "thief", "deadline": unix_seconds()? + 60,
            "signature": debit.signature.to_string(),
        });
        let (status, reply) = tried("/v1/apps", &json!({ "authorisation": authorisation, "limit": limit }))?;
        ensure!(status == expected, "{status} {reply}");
    }
    // An app of the thief's own, with the victim's limit.
    let thief = api::identity::load(&place.data_dir(), "thief")?;
    let deployment: Deployment = serde_json::from_value(service.deployment.clone())?;
    let domain = SigningDomain { chain_id: deployment.chain_id, registry: deployment.registry };
    let authorisation = AppAuthorisation::sign(&thief, &domain, sha256(b"hw_thief"), "thief", unix_seconds()? + 60)?;
    let (status, reply) = tried("/v1/apps", &json!({ "authorisation": authorisation, "limit": limit }))?;
    ensure!(status == 400, "{status} {reply}");
    let (status, _) = tried("/v1/apps", &json!({ "authorisation": authorisation }))?;
    ensure!(status == 200, "an app of its own it may have");
    let (status, reply) = ask(service, "hw_thief")?;
    ensure!(status == 402 && reply.to_string().contains("does not cover"), "{status} {reply}");
    let (status, reply) = tried("/v1/limits", &limit)?;
    ensure!(status == 200 && reply.get("api_key").is_none(), "{status} {reply}");
    Ok(limit)
}

/// Two answers are what a limit of 0.1 OPEN has room for, and one was given.
fn a_limit_counts_once_however_often_it_is_registered(service: &Service, key: &str, limit: &Value) -> anyhow::Result<()> {
    for _ in 0..12 {
        ensure!(post(service.address(), "/v1/limits", &[], limit)?.0 == 200, "{limit}");
    }
    let statuses: Vec<u16> = (0..3).map(|_| ask(service, key).map(|(status, _)| status)).collect::<anyhow::Result<_>>()?;
    ensure!(statuses == [200, 402, 402], "{statuses:?}");
    Ok(())
}

/// A limit of the thief's own.
fn limit(place: &Place, service: &Service, nonce: u64) -> anyhow::Result<SignedSpendingLimit> {
    let thief = api::identity::load(&place.data_dir(), "thief")?;
    let deployment: Deployment = serde_json::from_value(service.deployment.clone())?;
    let spender = place.json(&["keys", "address", "operator"])?["address"].clone();
    let limit = SpendingLimit {
        payer: thief.address(),
        spender: serde_json::from_value(spender)?,
        maxAmount: U256::from(10u64).pow(U256::from(18u64)),
        expiry: unix_seconds()? + 1_000_000,
        nonce: U256::from(nonce),
    };
    let signature = thief.sign_digest(spending_limit_digest(deployment.chain_id, deployment.vault, &limit))?;
    let SpendingLimit { payer, spender, maxAmount: max_amount, expiry, nonce } = limit;
    Ok(SignedSpendingLimit { payer, spender, max_amount, expiry, nonce, signature })
}

/// A signature in a form that only this service would read gives room that no debit ever finds.
fn what_the_vault_would_refuse_is_refused(place: &Place, service: &Service) -> anyhow::Result<()> {
    let good = limit(place, service, 1)?;
    let (body, v) = good.signature.split_at(good.signature.len() - 2);
    let low = u8::from_str_radix(v, 16)? - 27;
    for signature in [format!("{body}{low:02x}"), good.signature.replacen("0x", "0X", 1), good.signature.replacen("0x", "", 1)] {
        let (status, reply) = post(service.address(), "/v1/limits", &[], &json!(SignedSpendingLimit { signature, ..good.clone() }))?;
        ensure!(status == 401, "{status} {reply}");
    }
    ensure!(post(service.address(), "/v1/limits", &[], &json!(good))?.0 == 200, "the same in the form that both read");
    Ok(())
}

/// One is there already.
fn no_payer_has_more_limits_than_are_allowed(place: &Place, service: &Service) -> anyhow::Result<()> {
    let limits: Vec<_> = (2..22).map(|nonce| limit(place, service, nonce)).collect::<anyhow::Result<_>>()?;
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let posting: Vec<_> = limits
            .iter()
            .map(|limit| scope.spawn(move || post(service.address(), "/v1/limits", &[], &json!(limit)).map(|(status, _)| status)))
            .collect();
        posting.into_iter().map(|posted| posted.join().map_err(|_| anyhow::anyhow!("a request panicked"))?).collect::<anyhow::Result<_>>()
    })?;
    let taken = statuses.iter().filter(|status| **status == 200).count();
    ensure!(taken == 7 && statuses.iter().all(|status| [200, 400].contains(status)), "{statuses:?}");
    who_cancels_all_limits_can_have_another(place, service)
}

/// They end on chain only after the vault's delay, and back nothing from when they are cancelled.
fn who_cancels_all_limits_can_have_another(place: &Place, service: &Service) -> anyhow::Result<()> {
    place.json(&["dev", "fund", "thief", "--eth", "1"])?;
    let states = || -> anyhow::Result<Vec<(String, String)>> {
        let account = place.json(&["apps", "show", "--as", "thief"])?;
        let limits = account["limits"].as_array().with_context(|| account.to_string())?.iter();
        Ok(limits.map(|limit| texts(limit, ["nonce", "state"]).map(str::to_owned).into()).collect())
    };
    let good = states()?;
    ensure!(good.len() == 8 && good.iter().all(|(_, state)| state == "good"), "{good:?}");
    for (nonce, _) in &good {
        place.json(&["apps", "cancel-limit", "--as", "thief", "--nonce", nonce])?;
    }
    ensure!(states()?.iter().all(|(_, state)| state == "cancelled"), "{:?}", states()?);
    let tried = |limit: &SignedSpendingLimit| post(service.address(), "/v1/limits", &[], &json!(limit));
    let (status, reply) = tried(&limit(place, service, 30)?)?;
    ensure!(status == 200, "{status} {reply}");
    // Another limit, as it ends later.
    let (status, reply) = tried(&limit(place, service, good[0].0.parse()?)?)?;
    ensure!(status == 400 && reply.to_string().contains("use another nonce"), "{status} {reply}");
    Ok(())
}

/// However many ask at once for a settlement, and however often.
fn the_reserve_is_filled_once(place: &Place, service: &Service) -> anyhow::Result<()> {
    let key = fs::read_to_string(place.data_dir().join("operator.apikey"))?;
    let bearer = format!("Bearer {}", key.trim());
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| post(service.address(), "/v1/settlements", &[("authorization", bearer.as_str())], &json!({})));
        }
    });
    let funded = "SELECT coalesce(CAST(max(total_funded) AS VARCHAR), '0') AS wei FROM funded";
    let most = 5 * 40_000_000_000_000_000 + 300_000_000_000_000_000u128;
    let wei: u128 = place.rows(funded)?[0]["wei"].as_str().context("an amount")?.parse()?;
    ensure!((300_000_000_000_000_000..=most).contains(&wei), "{wei} wei in the pool, of which 80 % of five answers and one reserve");
    Ok(())
}

fn a_revoked_key_is_no_good(place: &Place, service: &Service, key: &str) -> anyhow::Result<()> {
    let keys = place.json(&["apps", "list", "--as", "crowd"])?;
    let id = keys[0]["key_id"].as_str().context("no key")?.to_owned();
    ensure!(keys.as_array().is_some_and(|keys| keys.len() == 1), "{keys}");
    place.run(&["apps", "revoke", &id, "--as", "thief"])?.failed_with(&["no key"])?;
    place.json(&["apps", "revoke", &id, "--as", "crowd"])?;
    ensure!(ask(service, key)?.0 == 401, "it is good no more");
    let all = place.json(&["apps", "list"])?;
    let state = |name: &str| all.as_array().and_then(|keys| keys.iter().find(|key| key["name"] == name)).map(|key| key["revoked"].clone());
    ensure!(state("crowd") == Some(json!(true)) && state("victim") == Some(json!(false)), "{all}");
    Ok(())
}
