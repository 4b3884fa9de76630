//! `headwater upkeep` and `headwater status`: how much is stored, and putting it in order by hand.

use anyhow::{Context as _, bail};
use clap::Args;
use ingest::Unserved;
use serde_json::{Value, json};
use store::{Durability, Effort, Store, StoreConfig, StoreError, TableSize, Upkept};

use super::Context;
use super::doctor::running_service;
use crate::client::Client;
use crate::config::Config;
use crate::http::TableUpkeep;
use crate::output::{Report, count, table};

#[derive(Debug, Clone, Args)]
pub struct UpkeepArgs {
    /// Say what would be done, and change nothing; a service may be running.
    #[arg(long)]
    pub explain: bool,
}

/// Does at once what a running service does little by little, or has it do so.
pub async fn upkeep(context: &Context, args: &UpkeepArgs) -> anyhow::Result<Report> {
    let config = context.config()?;
    let url = existing_store(context, &config)?;
    let retention = config.store.retention();
    let done = if args.explain {
        named(Store::open_to_read(&url).await?.explain_upkeep(&retention).await?)
    } else {
        let durability = if config.store.fsync { Durability::Fsync } else { Durability::Fast };
        match Store::open(&StoreConfig::new(&url, durability)).await {
            Err(StoreError::Locked { .. }) if running_service(context).await.is_some() => {
                context.client()?.post("/v1/upkeep", &json!({})).await?
            }
            Err(StoreError::Locked { .. }) => bail!(
                "a service has this store open and keeps it in order by itself, every {} s, and does not answer here: `headwater upkeep \
                 --explain` says what is left. To do it by hand, stop the service first",
                config.store.upkeep_interval_seconds
            ),
            opened => named(opened?.upkeep(&retention, Effort::Everything).await?),
        }
    };
    if done.is_empty() {
        return Ok(Report::new("everything is in order", &json!([])));
    }
    let row = |TableUpkeep { table, upkept }: &TableUpkeep| {
        let Upkept { fragments_before, fragments_after, columns_indexed, versions_removed, orphans_removed, bytes_removed } = upkept;
        let fragments = format!("{fragments_before} → {fragments_after}");
        let numbers = [*columns_indexed as u64, *versions_removed, *orphans_removed, *bytes_removed];
        [table.clone(), fragments].into_iter().chain(numbers.map(|number| number.to_string())).collect()
    };
    let rows: Vec<Vec<String>> = done.iter().map(row).collect();
    let heads = ["table", "fragments", "indexed", "versions removed", "leftovers", "bytes freed"];
    Ok(Report::new(table(&heads, &rows), &done))
}

fn named(done: Vec<(String, Upkept)>) -> Vec<TableUpkeep> {
    done.into_iter().map(|(table, upkept)| TableUpkeep { table, upkept }).collect()
}

/// What runs, how far it is, and what is stored. Beside a stopped service: what is stored.
pub async fn status(context: &Context) -> anyhow::Result<Report> {
    let mut lines = Vec::new();
    let mut shown = json!({ "version": env!("CARGO_PKG_VERSION") });
    let service = match &context.url {
        Some(url) => Some(url.clone()),
        None => running_service(context).await,
    };
    if let Some(url) = &service {
        let status: Value = context.client()?.get("/v1/status").await?;
        let info: Value = Client::new(url, None)?.get("/v1/info").await?;
        lines.push(format!("headwater {} at {url}", info["version"].as_str().unwrap_or_default()));
        lines.extend(service_lines(&status));
        shown = json!({ "version": info["version"], "url": url, "service": status });
    } else {
        lines.push(format!("headwater {}; no service of this data folder runs", env!("CARGO_PKG_VERSION")));
    }
    if context.url.is_some() {
        // its store is its own to tell of
        return Ok(Report::new(lines.join("\n"), &shown));
    }
    let url = match existing_store(context, &context.config()?) {
        Ok(url) => url,
        // A store elsewhere is its service's to tell of.
        Err(_) if service.is_some() => return Ok(Report::new(lines.join("\n"), &shown)),
        Err(error) => return Err(error),
    };
    let store = Store::open_to_read(&url).await?;
    let (mut sizes, bytes) = (store.table_sizes(), store.bytes_stored().await?);
    sizes.extend(store.datanet_sizes().await?);
    let current: u64 = sizes.iter().map(|size| size.bytes).sum();
    lines.push(format!("{bytes} bytes in {url}; the newest versions of all tables are {current} of them"));
    let row = |size: &TableSize| vec![size.name.clone(), size.fragments.to_string(), size.version.to_string(), size.bytes.to_string()];
    lines.push(table(&["table", "fragments", "commits", "bytes"], &sizes.iter().map(row).collect::<Vec<_>>()));
    let as_json =
        |size: &TableSize| json!({ "table": size.name, "fragments": size.fragments, "version": size.version, "bytes": size.bytes });
    shown["store"] = json!({ "url": url, "bytes": bytes, "tables": sizes.iter().map(as_json).collect::<Vec<_>>() });
    match ingest::unserved(&store).await {
        Ok(unserved) => {
            lines.extend(unserved.iter().map(unserved_line));
            shown["unserved_languages"] = json!(unserved);
        }
        Err(error) => lines.push(format!("languages of chunks cannot be read: {error:#}")),
    }
    Ok(Report::new(lines.join("\n"), &shown))
}

/// How the service is, a line each.
fn service_lines(status: &Value) -> Vec<String> {
    let checks = &status["checks"];
    let mut lines = vec![match checks["indexer"]["lag_blocks"].as_u64() {
        Some(lag) => format!("chain       {lag} blocks behind"),
        None => "chain       not followed yet".to_owned(),
    }];
    lines.push(match status["upkeep"]["seconds_ago"].as_u64() {
        Some(ago) => format!("upkeep      {ago} s ago, in {} ms", status["upkeep"]["took_ms"]),
        None => "upkeep      not yet".to_owned(),
    });
    if let Some(errors) = checks["reconcilers"]["errors"].as_object().filter(|errors| !errors.is_empty()) {
        lines.extend(errors.iter().map(|(name, error)| format!("waits       {name}: {}", error.as_str().unwrap_or_default())));
    }
    lines
}

fn unserved_line(of: &Unserved) -> String {
    let Unserved { datanet, version, chunks, unserved_chunks } = of;
    format!(
        "Datanet {datanet}: {unserved_chunks} of {} in version {version} in a language that the embedder was not made for; mostly found by words",
        count(*chunks, "chunk")
    )
}

/// Where the store is; a folder that is not there yet is not made.
fn existing_store(context: &Context, config: &Config) -> anyhow::Result<String> {
    let url = config.store_url(&context.data_dir)?;
    let folder = reqwest::Url::parse(&url).ok().and_then(|url| url.to_file_path().ok());
    let folder = folder.with_context(|| format!("{url} is no folder on this machine"))?;
    if !folder.join("tables").exists() {
        bail!("{} holds no store yet; `headwater up` makes it", folder.display());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use schemas::B256;
    use schemas::tables::BlockRow;

    use super::*;
    use crate::cli::Cli;

    fn context(folder: &std::path::Path) -> Context {
        let line = ["headwater", "--data-dir", folder.to_str().unwrap(), "status"];
        Context::new(&Cli::try_parse_from(line).unwrap().global)
    }

    #[tokio::test]
    async fn a_store_is_put_in_order_by_hand() {
        let folder = tempfile::tempdir().unwrap();
        let context = context(folder.path());
        let (explain, act) = (UpkeepArgs { explain: true }, UpkeepArgs { explain: false });
        let none = upkeep(&context, &act).await.unwrap_err().to_string();
        assert!(none.contains("holds no store yet"), "{none}");
        assert!(!folder.path().join("store").exists(), "asking makes none");

        let url = context.config().unwrap().store_url(folder.path()).unwrap();
        let store = Store::open(&StoreConfig::new(&url, Durability::Fast)).await.unwrap();
        let block = |number| BlockRow {
            number,
            hash: B256::ZERO,
            parent_hash: None,
            timestamp: number,
            log_count: 0,
            verified: 3,
            digest: B256::ZERO,
        };
        for number in 0..70 {
            store.append(&[block(number)]).await.unwrap();
        }
        let busy = upkeep(&context, &act).await.unwrap_err().to_string();
        assert!(busy.contains("a service has this store open"), "{busy}");
        let plan = upkeep(&context, &explain).await.unwrap();
        assert_eq!((&plan.json[0]["table"], &plan.json[0]["fragments_after"]), (&json!("blocks"), &json!(2)), "{}", plan.text);
        drop(store);
        assert_eq!(upkeep(&context, &act).await.unwrap().json, plan.json);
        assert_eq!(upkeep(&context, &explain).await.unwrap().json, json!([]));
        let status = status(&context).await.unwrap();
        assert!(status.text.contains("no service of this data folder runs"), "{}", status.text);
        let tables = status.json["store"]["tables"].as_array().unwrap();
        let blocks = tables.iter().find(|table| table["table"] == "blocks").unwrap();
        assert_eq!((&blocks["fragments"], blocks["version"].as_u64() > Some(70)), (&json!(2), true));
    }
}
