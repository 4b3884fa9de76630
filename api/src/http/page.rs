//! The page at `/`: what runs here, for a person with a browser. The console comes later.

use axum::extract::State;
use axum::response::Html;

use super::App;

pub(super) async fn show(State(service): State<App>) -> Html<String> {
    let datanets = service.ingest.datanets().await.unwrap_or_default();
    let mut rows = String::new();
    for row in &datanets {
        let versions = service.ingest.versions(row.datanet_id).await.unwrap_or_default();
        let newest = versions.iter().max_by_key(|version| version.version);
        let (version, chunks, people) = newest.map_or((0, 0, 0), |row| (row.version, row.chunk_count, row.contributor_count));
        rows.push_str(&format!(
            "<tr><td><b>{}</b><br><small>{}</small></td><td>{version}</td><td>{chunks}</td><td>{people}</td></tr>",
            escape(&row.title),
            escape(&row.name)
        ));
    }
    let indexer = service.indexer.borrow().clone();
    let block = |id: Option<indexer::BlockId>| id.map_or("–".to_owned(), |id| id.number.to_string());
    let page = include_str!("page.html")
        .replace("{{datanets}}", &rows)
        .replace("{{head}}", &block(indexer.head))
        .replace("{{finalized}}", &block(indexer.indexed_finalized))
        .replace("{{chain}}", &service.deployment.chain_id.to_string())
        .replace("{{registry}}", &service.deployment.registry.to_string());
    Html(page)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
