//! What a worker may use. It sets the limits upon itself before it reads what strangers wrote; they cannot be
//! raised again.

use std::io::{Error, Result};

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::sql::{BLOCKING_THREADS, QueryLimits, STACK_BYTES, THREADS};

/// Files of tables that are open at once.
const OPEN_FILES: u64 = 512;
/// For planning and for reading tables, where no time-out looks.
const OVERHEAD_SECONDS: u64 = 5;

/// Sets the limits for one query. To be called before it is planned, and before its threads are started.
///
/// # Errors
/// The system's.
pub(super) fn restrict(limits: &QueryLimits) -> Result<()> {
    let stacks = (STACK_BYTES * (THREADS + BLOCKING_THREADS)) as u64;
    set(Resource::Core, 0, 0)?;
    set(Resource::Nofile, OPEN_FILES, OPEN_FILES)?;
    let seconds = limits.timeout.as_secs().saturating_mul(THREADS as u64 + 1).saturating_add(OVERHEAD_SECONDS);
    // The first ends it with a signal of its own, by which the reason is known; the second is not survived by anything.
    set(Resource::Cpu, seconds, seconds.saturating_add(2))?;
    let bytes = address_bytes()?.saturating_add(stacks).saturating_add(limits.max_memory_bytes as u64);
    set(Resource::As, bytes, bytes)
}

fn set(resource: Resource, current: u64, maximum: u64) -> Result<()> {
    setrlimit(resource, Rlimit { current: Some(current), maximum: Some(maximum) }).map_err(Error::from)
}

/// Addresses in use: the program itself, mapped.
fn address_bytes() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let kibibytes = text.lines().find_map(|line| line.strip_prefix("VmSize:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let kibibytes = kibibytes.ok_or_else(|| Error::other("/proc/self/status tells no VmSize"))?;
    Ok(kibibytes.saturating_mul(1024))
}
