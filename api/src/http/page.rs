//! The page at `/`: what runs here, for a person with a browser. The console comes later.

use axum::extract::State;
use axum::response::Html;
use schemas::tables::{DatanetRow, VersionRow};

use super::{App, Reply};

pub(super) async fn show(State(service): State<App>) -> Reply<Html<String>> {
    let mark = [service.store.version::<DatanetRow>()?, service.store.version::<VersionRow>()?];
    let rows = service.listed.get(mark, (), async || rows(&service).await.map(Into::into)).await?;
    let indexer = service.indexer.borrow().clone();
    let block = |id: Option<indexer::BlockId>| id.map_or("–".to_owned(), |id| id.number.to_string());
    let page = include_str!("page.html")
        .replace("{{datanets}}", &rows)
        .replace("{{head}}", &block(indexer.head))
        .replace("{{finalized}}", &block(indexer.indexed_finalized))
        .replace("{{chain}}", &service.deployment.chain_id.to_string())
        .replace("{{registry}}", &service.deployment.registry.to_string());
    Ok(Html(page))
}

/// Every Datanet with its newest version.
async fn rows(service: &App) -> Reply<String> {
    let mut rows = String::new();
    for row in &service.ingest.datanets().await? {
        let versions = service.ingest.versions(row.datanet_id).await?;
        let newest = versions.iter().max_by_key(|version| version.version);
        let (version, chunks, people) = newest.map_or((0, 0, 0), |row| (row.version, row.chunk_count, row.contributor_count));
        rows.push_str(&format!(
            "<tr><td><b>{}</b><br><small>{}</small></td><td>{version}</td><td>{chunks}</td><td>{people}</td></tr>",
            escape(&row.title),
            escape(&row.name)
        ));
    }
    Ok(rows)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
