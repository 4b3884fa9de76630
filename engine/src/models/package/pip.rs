//! Running the user's pip, and reading what it reports.

use std::process::Stdio;

use serde::Deserialize;
use tokio::process::Command;

use super::{Job, failed};
use crate::EngineError;

/// More than any report about one package.
const MOST_REPORT_BYTES: usize = 4 << 20;
/// Of pip's complaint, what an error quotes.
const MOST_COMPLAINT_CHARS: usize = 400;

/// Runs pip and returns what it printed. Never asks anything, never touches the environment it runs in.
pub(super) async fn run(job: &Job<'_>, arguments: &[&str]) -> Result<Vec<u8>, EngineError> {
    let [program, leading @ ..] = job.options.python.as_slice() else {
        return Err(failed(job, "no Python command is configured".to_owned()));
    };
    let mut command = Command::new(program);
    command.args(leading).args(["-m", "pip"]).args(arguments);
    command.args(["--no-deps", "--only-binary", ":all:", "--no-input", "--quiet", "--disable-pip-version-check"]);
    command.env("PIP_REQUIRE_VIRTUALENV", "0").stdin(Stdio::null()).kill_on_drop(true);
    let run = tokio::time::timeout(job.options.pip_timeout, command.output()).await;
    let output = run
        .map_err(|_| failed(job, format!("pip did not finish within {} s", job.options.pip_timeout.as_secs())))?
        .map_err(|error| failed(job, format!("cannot run {program}: {error}")))?;
    if !output.status.success() {
        let complaint: String = String::from_utf8_lossy(&output.stderr).chars().take(MOST_COMPLAINT_CHARS).collect();
        return Err(failed(job, format!("pip failed ({}): {}", output.status, complaint.trim())));
    }
    if output.stdout.len() > MOST_REPORT_BYTES {
        return Err(failed(job, "pip printed more than any report holds".to_owned()));
    }
    Ok(output.stdout)
}

/// What `pip install --report` prints, as far as we read it (pip's "Installation Report", version 1).
#[derive(Deserialize)]
struct Report {
    install: Vec<Installed>,
}

#[derive(Deserialize)]
struct Installed {
    download_info: DownloadInfo,
}

#[derive(Deserialize)]
struct DownloadInfo {
    url: String,
    #[serde(default)]
    archive_info: ArchiveInfo,
}

#[derive(Deserialize, Default)]
struct ArchiveInfo {
    #[serde(default)]
    hashes: std::collections::BTreeMap<String, String>,
}

/// The wheel's http(s) address, if the index offers the pinned wheel.
pub(super) fn address(report: &[u8], sha256: &str) -> Result<String, String> {
    let report: Report = serde_json::from_slice(report).map_err(|error| format!("pip's report: {error}"))?;
    let [Installed { download_info }] = report.install.as_slice() else {
        return Err(format!("pip's report names {} packages, not one", report.install.len()));
    };
    if let Some(offered) = download_info.archive_info.hashes.get("sha256")
        && offered != sha256
    {
        return Err(format!("the index offers a file of sha256 {offered}, not the pinned {sha256}"));
    }
    let is_http = ["https://", "http://"].iter().any(|scheme| download_info.url.starts_with(scheme));
    if is_http { Ok(download_info.url.clone()) } else { Err("pip found it at an address that is not http".to_owned()) }
}
