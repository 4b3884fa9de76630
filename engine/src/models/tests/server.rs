//! A web server that follows a script: one reply and one body per connection, in order.

use std::io::{BufRead, BufReader, Cursor, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

#[derive(Debug, Clone, Copy)]
pub(super) enum Reply {
    /// The body, from the requested byte on.
    Whole,
    /// As `Whole`, but the connection breaks after so many bytes.
    CutAfter(usize),
    /// The body from its beginning, whatever was asked.
    IgnoringRange,
    /// A status line's code and phrase, and nothing else.
    Status(&'static str),
}

#[derive(Debug, Default)]
struct Log {
    bodies: Vec<Vec<u8>>,
    paths: Vec<String>,
    ranges: Vec<Option<usize>>,
}

#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    log: Arc<Mutex<Log>>,
}

impl Server {
    /// Answers as many connections as there are replies, then stops listening.
    pub(super) fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let log = Arc::new(Mutex::new(Log::default()));
        let shared = Arc::clone(&log);
        std::thread::spawn(move || {
            for (at, reply) in replies.into_iter().enumerate() {
                let Ok((stream, _)) = listener.accept() else {
                    return;
                };
                let _client_gone = answer(stream, at, reply, &shared);
            }
        });
        Self { address, log }
    }

    /// The bodies of the replies, in order. To be called before the first request.
    pub(super) fn serve(&self, bodies: &[&[u8]]) {
        self.log.lock().expect("no panics").bodies = bodies.iter().map(|body| body.to_vec()).collect();
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn paths(&self) -> Vec<String> {
        self.log.lock().expect("no panics").paths.clone()
    }

    /// First requested byte of each request that had a range.
    pub(super) fn ranges(&self) -> Vec<Option<usize>> {
        self.log.lock().expect("no panics").ranges.clone()
    }
}

fn answer(mut stream: TcpStream, at: usize, reply: Reply, log: &Mutex<Log>) -> std::io::Result<()> {
    let mut range = None;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        let line = line?.to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(from) = line.strip_prefix("range: bytes=") {
            range = from.trim_end_matches('-').parse::<usize>().ok();
        }
    }
    let body = {
        let mut log = log.lock().expect("no panics");
        log.paths.push(request.split(' ').nth(1).unwrap_or_default().to_owned());
        log.ranges.push(range);
        log.bodies[at].clone()
    };
    let (status, from, most) = match (reply, range) {
        (Reply::Status(status), _) => (status, body.len(), 0),
        (Reply::IgnoringRange, _) | (Reply::Whole, None) => ("200 OK", 0, usize::MAX),
        (Reply::CutAfter(most), None) => ("200 OK", 0, most),
        (Reply::Whole, Some(from)) => ("206 Partial Content", from, usize::MAX),
        (Reply::CutAfter(most), Some(from)) => ("206 Partial Content", from, most),
    };
    let rest = &body[from..];
    write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n", rest.len())?;
    if status.starts_with("206") {
        write!(stream, "Content-Range: bytes {from}-{}/{}\r\n", body.len() - 1, body.len())?;
    }
    stream.write_all(b"\r\n")?;
    stream.write_all(&rest[..rest.len().min(most)])?;
    stream.flush()
}

/// A wheel is a zip file.
pub(super) fn wheel(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).expect("entry");
        zip.write_all(bytes).expect("deflate");
    }
    zip.finish().expect("zip").into_inner()
}
