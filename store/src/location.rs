//! Where the store is, and through which object store every byte goes.
//!
//! Lance 14 does not fsync on local disks, and for `file://` URLs writes data files past any
//! object store wrapper. So tables use Lance's `file-object-store` scheme, under which every write
//! goes through the object store that [`Through`] puts in: object_store's `LocalFileSystem` with
//! fsync on. The same hook gives the in-memory store one shared `InMemory`.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use lance::dataset::WriteParams;
use lance::dataset::builder::DatasetBuilder;
use lance::io::{ObjectStoreParams, WrappingObjectStore};
use lance::session::Session;
use object_store::list::PaginatedListStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use crate::faults::{Failing, StorageFaults};
use crate::{Durability, StoreConfig, StoreError};

/// The part of a store's cache that indexes have; the others are of manifests, footers and statistics.
const INDEX_PART: usize = 4;
/// For whoever only reads: a query in a process of its own, a check.
const READER_CACHE_BYTES: usize = 64 << 20;

/// An opened place for tables and blobs.
#[derive(Debug)]
pub(crate) struct Location {
    url: String,
    /// Lance's URL prefix, without a trailing slash.
    lance_root: String,
    objects: Arc<dyn ObjectStore>,
    /// Prefix of every object path.
    prefix: Path,
    /// One for all tables: its caches are what bounds the memory of them all.
    session: Arc<Session>,
    /// Where the files are, if it is a folder.
    folder: Option<PathBuf>,
    /// How Lance reaches `objects`. One allocation: by its address Lance tells object stores apart.
    wrapper: Arc<dyn WrappingObjectStore>,
    /// Held while the store is open; released by the system when the process ends.
    _lock: Option<std::fs::File>,
}

impl Location {
    /// A folder to read from: no lock is taken and nothing is written.
    pub(crate) fn open_to_read(url_text: &str) -> Result<Self, StoreError> {
        let bad = |problem: &str| StoreError::BadLocation { url: url_text.to_owned(), problem: problem.into() };
        let url = url::Url::parse(url_text).map_err(|error| bad(&format!("not a URL ({error}); for example file:///var/lib/headwater")))?;
        if url.scheme() != "file" {
            return Err(bad("only file:// can be opened to read"));
        }
        let folder = url.to_file_path().map_err(|()| bad("not an absolute path"))?;
        let folder = folder.canonicalize().map_err(|error| bad(&error.to_string()))?;
        let prefix = Path::from_absolute_path(&folder).map_err(|error| bad(&error.to_string()))?;
        let lance_root = format!("file-object-store:///{prefix}");
        let location = Self::new(url_text, lance_root, Arc::new(LocalFileSystem::new()), prefix, READER_CACHE_BYTES);
        Ok(Self { folder: Some(folder), ..location })
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    pub(crate) async fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        let bad = |problem: &str| StoreError::BadLocation { url: config.url.clone(), problem: problem.into() };
        let url =
            url::Url::parse(&config.url).map_err(|error| bad(&format!("not a URL ({error}); for example file:///var/lib/headwater")))?;
        let location = match url.scheme() {
            "memory" => Self::in_memory(&config.url, Arc::new(InMemory::new()), config.cache_bytes),
            "file" => {
                let folder = url.to_file_path().map_err(|()| bad("not an absolute path"))?;
                Self::open_folder(config, &folder)?
            }
            other => return Err(bad(&format!("scheme {other:?} is not supported by this build; use file:// or memory://"))),
        };
        location.probe_put_if_absent().await?;
        Ok(location)
    }

    /// A place in memory that fails as it is told to.
    pub(crate) fn failing(faults: &StorageFaults, objects: InMemory) -> Self {
        Self::in_memory("memory://", Arc::new(Failing::new(Arc::new(objects), faults.clone())), StoreConfig::DEFAULT_CACHE_BYTES)
    }

    pub(crate) fn in_memory(url: &str, objects: Arc<dyn ObjectStore>, cache_bytes: usize) -> Self {
        Self::new(url, "memory://store".into(), objects, Path::from("store"), cache_bytes)
    }

    /// The same place as another process sees it.
    pub(crate) fn again(&self) -> Self {
        Self::new(&self.url, self.lance_root.clone(), self.objects.clone(), self.prefix.clone(), READER_CACHE_BYTES)
    }

    fn new(url: &str, lance_root: String, objects: Arc<dyn ObjectStore>, prefix: Path, cache_bytes: usize) -> Self {
        let index_bytes = cache_bytes / INDEX_PART;
        let session = Arc::new(Session::new(index_bytes, cache_bytes - index_bytes, Arc::default()));
        let wrapper = Arc::new(Through(objects.clone()));
        Self { url: url.to_owned(), lance_root, objects, prefix, session, folder: None, wrapper, _lock: None }
    }

    fn open_folder(config: &StoreConfig, folder: &FilePath) -> Result<Self, StoreError> {
        let failed = |error: std::io::Error| StoreError::BadLocation { url: config.url.clone(), problem: error.to_string() };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let folder: PathBuf = folder.canonicalize().map_err(failed)?;
        let lock_path = folder.join("headwater.lock");
        let lock = std::fs::File::options().create(true).write(true).truncate(false).open(&lock_path).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(StoreError::Locked { url: config.url.clone(), lock: lock_path.display().to_string() });
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(failed(error)),
        }
        let prefix = Path::from_absolute_path(&folder)
            .map_err(|error| StoreError::BadLocation { url: config.url.clone(), problem: error.to_string() })?;
        let objects = Arc::new(LocalFileSystem::new().with_fsync(config.durability == Durability::Fsync));
        let lance_root = format!("file-object-store:///{prefix}");
        let location = Self::new(&config.url, lance_root, objects, prefix, config.cache_bytes);
        Ok(Self { folder: Some(folder), _lock: Some(lock), ..location })
    }

    /// Commits rest on put-if-absent; storage that ignores it would lose writes silently.
    async fn probe_put_if_absent(&self) -> Result<(), StoreError> {
        let path = self.object_path("probe/put-if-absent");
        let create = || PutOptions::from(PutMode::Create);
        match self.objects.put_opts(&path, "probe".into(), create()).await {
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let again = self.objects.put_opts(&path, "probe".into(), create()).await;
        self.objects.delete(&path).await?;
        match again {
            Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_) => Err(StoreError::UnsafeStorage {
                url: self.url.clone(),
                problem: "it overwrote an object that was to be written only if absent".into(),
            }),
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn folder(&self) -> Option<&FilePath> {
        self.folder.as_deref()
    }

    /// Whether a text tells where the files are.
    pub(crate) fn is_named_in(&self, text: &str) -> bool {
        self.url.starts_with("file:") && text.contains(self.prefix.as_ref())
    }

    /// The Lance URI of a dataset.
    pub(crate) fn dataset_uri(&self, name: &str) -> String {
        format!("{}/tables/{name}.lance", self.lance_root)
    }

    /// Where an object outside the tables stands.
    pub(crate) fn object_path(&self, name: &str) -> Path {
        Path::from_iter(self.prefix.parts().chain(Path::from(name).parts()))
    }

    pub(crate) fn objects(&self) -> &Arc<dyn ObjectStore> {
        &self.objects
    }

    /// How to open a dataset, through [`Self::objects`] and the caches of all tables.
    pub(crate) fn open_dataset(&self, uri: &str) -> DatasetBuilder {
        DatasetBuilder::from_uri(uri).with_store_params(self.lance_params()).with_session(self.session.clone())
    }

    /// How to write one, through the same.
    pub(crate) fn write_params(&self) -> WriteParams {
        WriteParams { store_params: Some(self.lance_params()), session: Some(self.session.clone()), ..Default::default() }
    }

    fn lance_params(&self) -> ObjectStoreParams {
        ObjectStoreParams { object_store_wrapper: Some(self.wrapper.clone()), ..Default::default() }
    }
}

/// Puts our object store in the place of the one that Lance made.
#[derive(Debug)]
struct Through(Arc<dyn ObjectStore>);

impl WrappingObjectStore for Through {
    fn wrap(&self, _prefix: &str, _original: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
        self.0.clone()
    }

    fn wrap_paginated(&self, _prefix: &str, _original: Arc<dyn PaginatedListStore>) -> Option<Arc<dyn PaginatedListStore>> {
        None
    }
}
