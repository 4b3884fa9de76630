//! `[http]`: where the service listens, for whom, and how long it waits.

use anyhow::bail;
use serde::{Deserialize, Serialize};

use super::at_least;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    pub bind: std::net::SocketAddr,
    /// Names by which the service is called, beside loopback's and the bound address.
    pub hosts: Vec<String>,
    /// Origins whose pages may call; `*` for all.
    pub cors_origins: Vec<String>,
    pub request_timeout_seconds: u64,
    pub header_timeout_seconds: u64,
    pub body_idle_timeout_seconds: u64,
    pub body_timeout_seconds: u64,
    /// 0: any.
    pub body_least_bytes_per_second: u64,
    pub write_timeout_seconds: u64,
    pub max_header_bytes: usize,
    pub max_connections: usize,
    pub max_connections_per_address: usize,
    pub max_uploads: usize,
    pub max_listings: usize,
}

impl Http {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        at_least(&[
            ("http.header_timeout_seconds", self.header_timeout_seconds, 1),
            ("http.body_idle_timeout_seconds", self.body_idle_timeout_seconds, 1),
            ("http.body_timeout_seconds", self.body_timeout_seconds, 1),
            ("http.write_timeout_seconds", self.write_timeout_seconds, 1),
            // A key, a curator's signature and what clients send by themselves must fit.
            ("http.max_header_bytes", self.max_header_bytes as u64, 4096),
            ("http.max_connections", self.max_connections as u64, 1),
            ("http.max_connections_per_address", self.max_connections_per_address as u64, 1),
            ("http.max_uploads", self.max_uploads as u64, 1),
            ("http.max_listings", self.max_listings as u64, 1),
        ])?;
        for origin in &self.cors_origins {
            // What a browser sends: scheme, host, port, and nothing after them.
            let is_origin = origin.split_once("://").is_some_and(|(_, host)| !host.is_empty() && !host.contains('/'));
            if origin != "*" && !is_origin {
                bail!("configuration: http.cors_origins: {origin:?} is no origin; use scheme://host[:port], without a slash at the end");
            }
        }
        Ok(())
    }
}
