//! Who may go through which door: every route with no key, an app's key and the operator's.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::harness::Place;

/// (method, path, status without key, with an app's key, with the operator's). 400 and 415 are the
/// answers of a door that is open, to a request without content.
const DOORS: &[(&str, &str, u16, u16, u16)] = &[
    ("GET", "/", 200, 200, 200),
    ("GET", "/livez", 200, 200, 200),
    ("GET", "/metrics", 200, 200, 200),
    ("GET", "/v1/info", 200, 200, 200),
    ("GET", "/v1/status", 401, 200, 200),
    ("GET", "/v1/datanets", 401, 200, 200),
    ("POST", "/v1/datanets", 401, 403, 415),
    ("GET", "/v1/datanets/cold-chain/queue", 401, 403, 200),
    ("GET", "/v1/datanets/cold-chain/preview", 401, 403, 409),
    ("GET", "/v1/datanets/cold-chain/versions", 401, 200, 200),
    ("POST", "/v1/datanets/cold-chain/versions", 415, 415, 415),
    ("POST", "/v1/submissions", 400, 400, 400),
    ("GET", "/v1/submissions/0x1", 401, 403, 400),
    ("POST", "/v1/reviews", 415, 415, 415),
    ("POST", "/v1/chat/completions", 401, 415, 415),
    ("GET", "/v1/models", 401, 200, 200),
    ("GET", "/v1/models/datanet:cold-chain", 401, 200, 200),
    ("GET", "/v1/models/owner/nobody", 401, 404, 404),
    ("GET", "/v1/receipts/0x1", 400, 400, 400),
    ("GET", "/v1/receipts/0x1/evidence", 401, 403, 400),
    ("GET", "/v1/index/contracts", 401, 403, 200),
    ("POST", "/v1/index/contracts", 401, 403, 415),
    ("DELETE", "/v1/index/contracts/nobody", 401, 403, 404),
    ("POST", "/v1/sql", 401, 403, 415),
    ("POST", "/v1/apps", 415, 415, 415),
    ("POST", "/v1/settlements", 401, 403, 409),
    ("GET", "/v1/settlements/latest", 401, 200, 200),
    ("GET", "/v1/chain", 401, 403, 200),
    ("POST", "/v1/chain", 401, 403, 415),
    ("GET", "/v1/rewards/0x1", 400, 400, 400),
    ("GET", "/nowhere", 404, 404, 404),
];

/// On a folder in which the demo ran, with its service up at `address`.
pub(crate) fn check(place: &Place, address: &str) -> anyhow::Result<()> {
    let key = |name: &str| fs::read_to_string(place.data_dir().join(name)).with_context(|| name.to_owned());
    let (app, operator) = (key("demo-app.apikey")?, key("operator.apikey")?);
    for (method, path, nobody, with_app, with_operator) in DOORS {
        for (key, expected) in
            [(None, nobody), (Some("hw_0_0"), nobody), (Some(app.trim()), with_app), (Some(operator.trim()), with_operator)]
        {
            let found = status(address, method, path, key)?;
            ensure!(found == *expected, "{method} {path} with key {}: {found} instead of {expected}", key.map_or("none", |key| &key[..6]));
        }
    }
    Ok(())
}

fn status(address: &str, method: &str, path: &str, key: Option<&str>) -> anyhow::Result<u16> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let authorization = key.map_or(String::new(), |key| format!("Authorization: Bearer {key}\r\n"));
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{authorization}Content-Length: 0\r\nConnection: close\r\n\r\n")?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    let status = reply.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.with_context(|| format!("{method} {path} answered {reply:?}"))
}
