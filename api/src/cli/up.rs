//! `headwater up`.

use super::Context;
use crate::output::{self, Progress, Report, Voice};
use crate::service;

/// Starts the service and keeps it up until it is asked to stop.
pub async fn up(context: &Context) -> anyhow::Result<()> {
    let config = context.config()?;
    let progress = Progress::start(context.voice, "starting");
    let mut running = service::start(config, &context.data_dir, &|what| progress.say(what)).await?;
    drop(progress);
    // Where a node's address is configured a key stands in it, and this output ends up in logs.
    let node = Some(running.service.public_rpc_url.as_str()).filter(|url| !url.is_empty()).unwrap_or("the configured node");
    let text = format!(
        "headwater is up at {}\n  data folder {}\n  chain       {} (id {})\n  Ctrl-C stops it",
        running.url,
        context.data_dir.display(),
        node,
        running.service.deployment.chain_id
    );
    let json =
        serde_json::json!({ "url": running.url, "rpc_url": running.service.public_rpc_url, "deployment": running.service.deployment });
    output::print(context.voice, &Report::new(text, &json));
    let result = running.until_stopped(asked_to_stop()).await;
    if context.voice == Voice::Person {
        output::notice("stopping");
    }
    running.stop().await?;
    result
}

/// Ctrl-C or SIGTERM.
pub async fn asked_to_stop() {
    let interrupt = tokio::signal::ctrl_c();
    let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else {
        drop(interrupt.await);
        return;
    };
    tokio::select! {
        _ = interrupt => {}
        _ = terminate.recv() => {}
    }
}
