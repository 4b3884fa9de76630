//! Stands between a command and the service, and kills the service at a chosen moment of a chosen
//! request: so the moments are those that matter, not those that a clock happens to hit.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;

use crate::harness::Service;

/// When the service is killed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Moment {
    /// As soon as the request was passed on.
    Sent,
    /// Some time into the work on it.
    After(Duration),
    /// The service has answered, the client has not heard it.
    Answered,
}

#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: String,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    service: Arc<Service>,
    /// How the request's head begins.
    request: &'static str,
    moment: Moment,
    seen: AtomicBool,
    ended: AtomicBool,
}

impl Proxy {
    pub(crate) fn start(service: &Arc<Service>, request: &'static str, moment: Moment) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("a port for the proxy")?;
        let address = listener.local_addr()?.to_string();
        let (seen, ended) = (AtomicBool::new(false), AtomicBool::new(false));
        let shared = Arc::new(Shared { service: service.clone(), request, moment, seen, ended });
        let state = shared.clone();
        let acceptor = std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if state.ended.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(server) = TcpStream::connect(state.service.address()) else { continue };
                connect(&state, client, server);
            }
        });
        Ok(Self { address, shared, acceptor: Some(acceptor) })
    }

    /// Whether the request came by.
    pub(crate) fn seen(&self) -> bool {
        self.shared.seen.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(&self.address));
        if let Some(acceptor) = self.acceptor.take() {
            drop(acceptor.join());
        }
    }
}

/// Passes bytes in both directions until either side closes.
fn connect(state: &Arc<Shared>, client: TcpStream, server: TcpStream) {
    let (Ok(client_reader), Ok(server_reader)) = (client.try_clone(), server.try_clone()) else { return };
    let there = state.clone();
    std::thread::spawn(move || pass(client_reader, server, |bytes, server| there.request(bytes, server)));
    let back = state.clone();
    std::thread::spawn(move || pass(server_reader, client, |bytes, client| back.reply(bytes, client)));
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut send: impl FnMut(&[u8], &mut TcpStream) -> std::io::Result<()>) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let Some(read) = bytes.get(..count) else { break };
        if send(read, &mut to).is_err() {
            break;
        }
    }
    drop(from.shutdown(Shutdown::Both));
    drop(to.shutdown(Shutdown::Both));
}

impl Shared {
    fn request(&self, bytes: &[u8], server: &mut TcpStream) -> std::io::Result<()> {
        let first = bytes.starts_with(self.request.as_bytes()) && !self.seen.swap(true, Ordering::SeqCst);
        server.write_all(bytes)?;
        match self.moment {
            Moment::Sent if first => self.service.kill(),
            Moment::After(time) if first => {
                let service = self.service.clone();
                std::thread::spawn(move || {
                    std::thread::sleep(time);
                    service.kill();
                });
            }
            _ => {}
        }
        Ok(())
    }

    fn reply(&self, bytes: &[u8], client: &mut TcpStream) -> std::io::Result<()> {
        if matches!(self.moment, Moment::Answered) && self.seen() {
            self.service.kill();
            return Err(std::io::ErrorKind::ConnectionAborted.into());
        }
        client.write_all(bytes)
    }

    fn seen(&self) -> bool {
        self.seen.load(Ordering::SeqCst)
    }
}
