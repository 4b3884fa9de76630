//! HTTP requests, byte for byte.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, ensure};
use serde::Deserialize;

use super::Bench;
use super::expected::Expected;
use super::query::operator_key;
use crate::harness::LONG_PATIENCE;

#[derive(Debug, Deserialize)]
pub(super) struct RequestCheck {
    method: String,
    path: String,
    /// As they are sent; `OPERATOR_KEY` stands for the operator's API key.
    #[serde(default)]
    headers: Vec<String>,
    #[serde(default)]
    body: String,
    /// One of these; none: any.
    #[serde(default)]
    status: Vec<u16>,
    #[serde(default)]
    not_status: Vec<u16>,
    /// Of status line, headers (in lower case) and body.
    #[serde(flatten)]
    reply: Expected,
}

impl RequestCheck {
    pub(super) fn run(&self, bench: &Bench) -> anyhow::Result<()> {
        let Self { method, path, headers, body, status, not_status, reply } = self;
        let (place, service) = bench.service()?;
        let address = service.address();
        let key = operator_key(place)?;
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        headers.iter().for_each(|header| text.push_str(&format!("{}\r\n", header.replace("OPERATOR_KEY", &key))));
        let mut stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
        stream.set_read_timeout(Some(LONG_PATIENCE))?;
        stream.write_all(format!("{text}\r\n{body}").as_bytes())?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).context("reading the reply")?;
        let said = String::from_utf8_lossy(&bytes);
        let (head, content) = said.split_once("\r\n\r\n").with_context(|| format!("the reply was cut: {said:?}"))?;
        let found: u16 = head.split(' ').nth(1).and_then(|code| code.parse().ok()).with_context(|| format!("no status: {head:?}"))?;
        let what = format!("{method} {path} {headers:?}");
        ensure!(status.is_empty() || status.contains(&found), "{what}: status {found} instead of {status:?}: {content}");
        ensure!(!not_status.contains(&found), "{what}: status {found}: {content}");
        reply.check(&what, &format!("{}\n\n{content}", head.to_lowercase()))
    }
}
