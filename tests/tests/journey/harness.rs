//! Runs the `headwater` binary in a folder of its own, and ends what it started.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

/// Longest wait for one condition. A test that waits this long has found a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// The whole journey on a slow machine.
pub(crate) const LONG_PATIENCE: Duration = Duration::from_secs(600);
/// A service that is told to stop finishes no upload.
const STOPPING_PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The binary that cargo put beside this test.
pub(crate) fn binary() -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe().context("this test's own path")?;
    let folder = test.parent().and_then(Path::parent).context("the target folder")?;
    let path = folder.join("headwater");
    ensure!(path.exists(), "{} is missing: run `cargo build --workspace --bins` or `make test`", path.display());
    Ok(path)
}

/// Asks until `holds` gives something, at most [`PATIENCE`] long.
pub(crate) fn wait_for<T>(what: &str, mut holds: impl FnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = holds().with_context(|| format!("waiting for {what}"))? {
            return Ok(found);
        }
        ensure!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for {what}");
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("not JSON: {self:?}"))
    }

    /// Failed as a program should: exit code 1 and a message with `words`.
    pub(crate) fn failed_with(&self, words: &[&str]) -> anyhow::Result<()> {
        let said = format!("{}{}", self.stdout, self.stderr);
        ensure!(!said.contains("panicked"), "it panicked: {self:?}");
        ensure!(self.code == Some(1), "exit code 1 expected: {self:?}");
        ensure!(said.contains("error"), "no error is told: {self:?}");
        for word in words {
            ensure!(said.contains(word), "the message lacks {word:?}: {self:?}");
        }
        Ok(())
    }
}

/// A data folder, and the binary working with it.
#[derive(Debug)]
pub(crate) struct Place {
    folder: TempDir,
    binary: PathBuf,
    files: AtomicUsize,
}

impl Place {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("headwater-journey-").tempdir().context("a temporary folder")?;
        Ok(Self { folder, binary: binary()?, files: AtomicUsize::new(0) })
    }

    /// For the test's own files.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.path("data")
    }

    /// The binary with this data folder, a free port, and nothing from the caller's environment but the models.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        let foreign = std::env::vars_os().map(|(name, _)| name).filter(|name| name != "HEADWATER_MODELS");
        for name in foreign.filter(|name| name.to_string_lossy().starts_with("HEADWATER") || name == "RUST_LOG") {
            command.env_remove(name);
        }
        command.arg("--data-dir").arg(self.data_dir()).args(["--set", "http.bind=127.0.0.1:0"]).args(args);
        command.stdin(Stdio::null()).process_group(0);
        command
    }

    /// Starts a command with its output in files, so that nobody has to read while it runs.
    fn spawn(&self, mut command: Command) -> anyhow::Result<Process> {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        let (stdout, stderr) = (self.path(&format!("{number}.out")), self.path(&format!("{number}.err")));
        let told = format!("{command:?}");
        let child = command.stdout(File::create(&stdout)?).stderr(File::create(&stderr)?).spawn().with_context(|| told.clone())?;
        Ok(Process { told, child: Mutex::new(child), stdout, stderr })
    }

    pub(crate) fn run_command(&self, command: Command, patience: Duration) -> anyhow::Result<Ended> {
        self.spawn(command)?.wait(patience)
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> anyhow::Result<Ended> {
        self.run_command(self.command(args), PATIENCE)
    }

    /// Runs a command that must succeed, and gives its JSON.
    pub(crate) fn json(&self, args: &[&str]) -> anyhow::Result<Value> {
        let ended = self.run_command(self.command(&[&["--json"], args].concat()), LONG_PATIENCE)?;
        ensure!(ended.code == Some(0), "{args:?}: {ended:?}");
        ended.json()
    }

    /// The rows of a query, as objects.
    pub(crate) fn rows(&self, query: &str) -> anyhow::Result<Vec<Value>> {
        objects(&self.json(&["sql", query])?)
    }

    /// `host:port` of the service that runs here.
    pub(crate) fn service_address(&self) -> anyhow::Result<String> {
        let file: Value = serde_json::from_str(&fs::read_to_string(self.data_dir().join("service.json"))?)?;
        let url = file["url"].as_str().context("no url")?;
        Ok(url.trim_start_matches("http://").to_owned())
    }

    /// Starts the service and waits until it is up.
    pub(crate) fn up(&self) -> anyhow::Result<Service> {
        self.up_with(&[])
    }

    /// [`Place::up`] with settings, each `section.key=value`.
    pub(crate) fn up_with(&self, settings: &[String]) -> anyhow::Result<Service> {
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        let args: Vec<&str> = settings.chain(["--json", "up"]).collect();
        let process = self.spawn(self.command(&args))?;
        let told: Value = wait_for("the service to start", || match serde_json::from_str(&fs::read_to_string(&process.stdout)?) {
            Ok(told) => Ok(Some(told)),
            Err(_) => match process.ended()? {
                Some(ended) => bail!("the service ended: {ended:?}"),
                None => Ok(None),
            },
        })?;
        let text = |name: &str| told[name].as_str().map(str::to_owned).with_context(|| format!("no {name} in {told}"));
        Ok(Service { url: text("url")?, rpc_url: text("rpc_url")?, deployment: told["deployment"].clone(), process })
    }
}

impl Drop for Place {
    /// The development chain writes its state after its service is killed; only then is the folder free.
    fn drop(&mut self) {
        let Ok(log) = File::options().append(true).open(self.data_dir().join("chain/state.json.log")) else { return };
        let deadline = Instant::now() + PATIENCE;
        while matches!(log.try_lock(), Err(fs::TryLockError::WouldBlock)) && Instant::now() < deadline {
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

/// A child process, killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    told: String,
    child: Mutex<Child>,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    fn child(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn ended(&self) -> anyhow::Result<Option<Ended>> {
        let Some(status) = self.child().try_wait()? else { return Ok(None) };
        let read = |path: &Path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ok(Some(Ended { code: status.code(), stdout: read(&self.stdout)?, stderr: read(&self.stderr)? }))
    }

    fn wait(&self, patience: Duration) -> anyhow::Result<Ended> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(ended) = self.ended()? {
                return Ok(ended);
            }
            let so_far = || fs::read_to_string(&self.stderr).unwrap_or_default();
            ensure!(Instant::now() < deadline, "does not end within {patience:?}: {}\n{}", self.told, so_far());
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// SIGKILL, and waits for the end.
    fn kill(&self) {
        let mut child = self.child();
        drop(child.kill());
        drop(child.wait());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The rows of a reply to SQL, which are lists, as objects by the columns' names.
pub(crate) fn objects(reply: &Value) -> anyhow::Result<Vec<Value>> {
    let list = |name: &str| reply[name].as_array().with_context(|| format!("no {name} in {reply}"));
    let names: Vec<&str> = list("columns")?.iter().filter_map(|column| column["name"].as_str()).collect();
    let object = |row: &Value| {
        let cells = row.as_array().with_context(|| format!("a row is no list: {row}"))?;
        Ok(names.iter().map(|name| (*name).to_owned()).zip(cells.iter().cloned()).collect())
    };
    list("rows")?.iter().map(object).collect()
}

/// A service that is up.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) url: String,
    pub(crate) rpc_url: String,
    pub(crate) deployment: Value,
    process: Process,
}

impl Service {
    /// `host:port`
    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    pub(crate) fn kill(&self) {
        self.process.kill();
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.process.child().id()
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> anyhow::Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.process.stderr)?).into_owned())
    }

    /// SIGTERM, and waits for the end, which takes seconds.
    pub(crate) fn stop(&self) -> anyhow::Result<Ended> {
        let id = self.process.child().id().to_string();
        ensure!(Command::new("kill").args(["-TERM", &id]).status()?.success(), "SIGTERM cannot be sent");
        self.process.wait(STOPPING_PATIENCE)
    }

    /// Whether it still runs.
    pub(crate) fn lives(&self) -> anyhow::Result<bool> {
        Ok(self.process.ended()?.is_none())
    }
}

/// One request with its own connection; the status and the body.
pub(crate) fn post(address: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> anyhow::Result<(u16, Value)> {
    let reply = exchange(&begin(address, path, headers, body)?)?;
    Ok((reply.status, serde_json::from_str(&reply.body).with_context(|| format!("the reply was cut: {:?}", reply.body))?))
}

/// Sends a request, and leaves its reply to be read until the service closes the connection. HTTP/1.0, for a body in one piece.
pub(crate) fn begin(address: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> anyhow::Result<TcpStream> {
    let body = body.to_string();
    let mut text = format!("POST {path} HTTP/1.0\r\nhost: {address}\r\ncontent-type: application/json\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    let mut stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(text.as_bytes())?;
    Ok(stream)
}

/// A reply as it came.
#[derive(Debug)]
pub(crate) struct RawReply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

pub(crate) fn exchange(mut stream: &TcpStream) -> anyhow::Result<RawReply> {
    let mut reply = String::new();
    stream.read_to_string(&mut reply).context("reading the reply")?;
    let (head, body) = reply.split_once("\r\n\r\n").with_context(|| format!("the reply was cut: {reply:?}"))?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).with_context(|| format!("no status: {head:?}"))?;
    Ok(RawReply { status, head: head.to_ascii_lowercase(), body: body.to_owned() })
}
