//! A storage in memory that fails when it is told to: for tests of what rests on a store.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, RenameOptions,
};

/// Says which operations of a storage fail. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct StorageFaults {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    seed: u64,
    rate_ppm: u64,
    is_active: bool,
    operations: u64,
    /// Part of the path of a write of which nothing is to be heard.
    silenced: Option<String>,
    /// Where that write went: nothing is read from there.
    unreadable: Option<Path>,
    struck: StorageFailures,
}

/// How often a storage failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StorageFailures {
    pub reads: u64,
    /// Nothing was written.
    pub writes_refused: u64,
    /// It was written, and said to have failed.
    pub writes_unconfirmed: u64,
}

enum Strike {
    Before,
    After,
}

impl StorageFaults {
    /// How often an operation fails from now on, where faults are active. Which ones is a function of the seed and of
    /// how many there were.
    pub fn plan(&self, seed: u64, rate_ppm: u64) {
        let mut state = self.lock();
        (state.seed, state.rate_ppm) = (seed, rate_ppm);
    }

    /// The next write to a path that holds `part` is done and said to have failed, and what it wrote cannot be read
    /// to find out. Both where faults are active.
    pub fn silence_next(&self, part: &str) {
        self.lock().silenced = Some(part.to_owned());
    }

    pub fn set_active(&self, is_active: bool) {
        self.lock().is_active = is_active;
    }

    pub fn struck(&self) -> StorageFailures {
        self.lock().struck
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, path: &Path) -> Option<Strike> {
        let mut state = self.lock();
        if state.is_active && state.silenced.as_ref().is_some_and(|part| path.as_ref().contains(part)) {
            state.silenced = None;
            state.unreadable = Some(path.clone());
            state.struck.writes_unconfirmed += 1;
            return Some(Strike::After);
        }
        let dice = state.roll()?;
        if dice % 2 == 0 {
            state.struck.writes_refused += 1;
            return Some(Strike::Before);
        }
        state.struck.writes_unconfirmed += 1;
        Some(Strike::After)
    }

    fn read(&self, path: &Path) -> object_store::Result<()> {
        let mut state = self.lock();
        let is_unreadable = state.is_active && state.unreadable.as_ref() == Some(path);
        if !is_unreadable && state.roll().is_none() {
            return Ok(());
        }
        state.struck.reads += 1;
        Err(failed(path))
    }
}

impl State {
    /// A random number if the operation fails.
    fn roll(&mut self) -> Option<u64> {
        if !self.is_active {
            return None;
        }
        self.operations += 1;
        let dice = splitmix(self.seed ^ splitmix(self.operations));
        ((dice >> 8) % 1_000_000 < self.rate_ppm).then_some(dice)
    }
}

/// Steele, Lea and Flood 2014.
fn splitmix(seed: u64) -> u64 {
    let mut word = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

fn failed(path: &Path) -> object_store::Error {
    object_store::Error::Generic { store: "failing", source: format!("a planned failure at {path}").into() }
}

/// The storage itself.
#[derive(Debug)]
pub(crate) struct Failing {
    objects: Arc<dyn ObjectStore>,
    faults: StorageFaults,
}

impl Failing {
    pub(crate) fn new(objects: Arc<dyn ObjectStore>, faults: StorageFaults) -> Self {
        Self { objects, faults }
    }

    /// A write that fails before or after it is done, or not at all.
    async fn write<T>(&self, path: &Path, write: impl Future<Output = object_store::Result<T>>) -> object_store::Result<T> {
        match self.faults.write(path) {
            None => write.await,
            Some(Strike::Before) => Err(failed(path)),
            Some(Strike::After) => {
                write.await?;
                Err(failed(path))
            }
        }
    }
}

impl std::fmt::Display for Failing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Failing({})", self.objects)
    }
}

#[async_trait]
impl ObjectStore for Failing {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
        self.write(path, self.objects.put_opts(path, payload, options)).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.write(path, self.objects.put_multipart_opts(path, options)).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.faults.read(path)?;
        self.objects.get_opts(path, options).await
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> object_store::Result<Vec<Bytes>> {
        self.faults.read(path)?;
        self.objects.get_ranges(path, ranges).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, object_store::Result<Path>>) -> BoxStream<'static, object_store::Result<Path>> {
        self.objects.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.objects.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.objects.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.write(to, self.objects.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> object_store::Result<()> {
        self.write(to, self.objects.rename_opts(from, to, options)).await
    }
}
