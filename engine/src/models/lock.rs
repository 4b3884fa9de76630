//! One pull of a model at a time, across processes.

use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::EngineError;

const POLL: Duration = Duration::from_millis(200);

/// Held until dropped, or until the process ends however it ends: the kernel owns it. The file stays.
#[derive(Debug)]
pub(super) struct PullLock {
    _file: File,
}

impl PullLock {
    /// Waits for another holder up to `timeout`, calling `waiting` at each look.
    pub(super) async fn acquire(path: PathBuf, timeout: Duration, waiting: impl Fn() + Send) -> Result<Self, EngineError> {
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(EngineError::io("open", &path))?;
        let started = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) if started.elapsed() < timeout => waiting(),
                Err(TryLockError::WouldBlock) => {
                    return Err(EngineError::Busy { lock: path, waited_s: timeout.as_secs() });
                }
                Err(TryLockError::Error(error)) => {
                    return Err(EngineError::io("lock", &path)(error));
                }
            }
            tokio::time::sleep(POLL).await;
        }
    }
}
