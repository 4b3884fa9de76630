//! What the service uses, looked at from outside.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;

const EVERY: Duration = Duration::from_secs(2);
const TOLD_EVERY: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;
/// `/proc/PID/stat` counts in these, on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// One look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    pub(super) at: Duration,
    /// Resident memory, and the part of it that no file stands behind.
    pub(super) resident_mib: f64,
    pub(super) anonymous_mib: f64,
    /// All of the data folder but the development chain's own state.
    pub(super) disk_mib: f64,
    pub(super) cpu_seconds: f64,
    pub(super) open_files: usize,
}

/// Whom to watch, and for how long.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) process: u32,
    pub(super) folder: PathBuf,
    pub(super) began: Instant,
    pub(super) until: Instant,
}

impl Watch {
    pub(super) fn run(&self) -> anyhow::Result<Vec<Sample>> {
        let mut samples = Vec::new();
        let mut told = self.began;
        while Instant::now() < self.until {
            let sample = self.look().context("looking at the service: has it ended?")?;
            samples.push(sample);
            if told.elapsed() >= TOLD_EVERY {
                told = Instant::now();
                let Sample { at, resident_mib, disk_mib, .. } = sample;
                eprintln!("{:>5.1} min: {resident_mib:.0} MiB of memory, {disk_mib:.0} MiB on disk", at.as_secs_f64() / 60.0);
            }
            std::thread::sleep(EVERY);
        }
        Ok(samples)
    }

    fn look(&self) -> anyhow::Result<Sample> {
        let process = Path::new("/proc").join(self.process.to_string());
        let status = fs::read_to_string(process.join("status"))?;
        let stat = fs::read_to_string(process.join("stat"))?;
        let kib = |name: &str| kib_of(&status, name).with_context(|| format!("no {name} in {status}"));
        Ok(Sample {
            at: self.began.elapsed(),
            resident_mib: kib("VmRSS")? as f64 / 1024.0,
            anonymous_mib: kib("RssAnon")? as f64 / 1024.0,
            disk_mib: bytes_below(&self.folder, &self.folder.join("chain")) as f64 / MIB as f64,
            cpu_seconds: ticks_of(&stat).with_context(|| format!("not understood: {stat}"))? as f64 / TICKS_PER_SECOND,
            open_files: fs::read_dir(process.join("fd"))?.count(),
        })
    }
}

fn kib_of(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// User and system time: the 14th and 15th field, counted after the name, which can hold anything.
fn ticks_of(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

/// Files come and go meanwhile: what is gone has no size.
fn bytes_below(folder: &Path, but: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().filter(|entry| entry.path() != but);
    let size = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => bytes_below(&entry.path(), but),
        _ => entry.metadata().map_or(0, |metadata| metadata.len()),
    };
    entries.map(size).sum()
}

#[test]
fn what_a_process_uses_is_read() {
    let watch = Watch { process: std::process::id(), folder: "src".into(), began: Instant::now(), until: Instant::now() };
    let sample = watch.look().unwrap();
    assert!(sample.resident_mib > sample.anonymous_mib && sample.anonymous_mib > 0.1, "{sample:?}");
    assert!(sample.open_files >= 3 && sample.disk_mib > 0.0 && sample.disk_mib < 1.0, "{sample:?}");
    assert_eq!(ticks_of("7 (a) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13"), Some(23));
}
