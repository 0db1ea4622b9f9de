//! Where the files of a Zarr hierarchy are: a folder, or a web server.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use zarrs::storage::byte_range::{ByteRange, ByteRangeIterator};
use zarrs::storage::{Bytes, MaybeBytesIterator, ReadableStorageTraits, StorageError, StoreKey};

use super::blosc::place;
use super::http::HttpStore;
use crate::volume::VolumeError;

/// Metadata longer than this are not those of a tomogram.
const LONGEST_METADATA_BYTES: u64 = 16 << 20;

/// A Zarr hierarchy's files, named by keys: relative paths with `/`.
pub(super) enum Store {
    Folder(FolderStore),
    Web(Box<HttpStore>),
}

impl Store {
    /// What people know it by.
    pub(super) fn path(&self) -> PathBuf {
        match self {
            Self::Folder(store) => store.shown.clone(),
            Self::Web(store) => PathBuf::from(store.url()),
        }
    }

    pub(super) fn is_remote(&self) -> bool {
        matches!(self, Self::Web(_))
    }

    /// A JSON document, `None` when there is none.
    pub(super) fn metadata(&self, key: &str) -> Result<Option<Bytes>, VolumeError> {
        match self {
            Self::Folder(store) => Ok(store.read(key, &[ByteRange::FromStart(0, None)], LONGEST_METADATA_BYTES)?.and_then(first)),
            Self::Web(store) => store.probe(key, LONGEST_METADATA_BYTES),
        }
    }

    fn read(&self, key: &str, ranges: &[ByteRange], most: u64) -> Result<Option<Vec<Bytes>>, VolumeError> {
        match self {
            Self::Folder(store) => store.read(key, ranges, most),
            Self::Web(store) => store.read(key, ranges, most),
        }
    }
}

fn first(pieces: Vec<Bytes>) -> Option<Bytes> {
    pieces.into_iter().next()
}

/// The folder of a hierarchy. No key, and no link in it, leads out.
pub(super) struct FolderStore {
    /// The folder with all links resolved.
    root: PathBuf,
    /// As it was given.
    shown: PathBuf,
}

impl FolderStore {
    pub(super) fn new(path: &Path) -> Result<Self, VolumeError> {
        let root = path.canonicalize().map_err(|source| VolumeError::Open { path: path.to_path_buf(), source })?;
        Ok(Self { root, shown: path.to_path_buf() })
    }

    /// The file behind a key; `None` when there is none.
    fn resolve(&self, key: &str) -> Result<Option<PathBuf>, VolumeError> {
        let refuse = |problem: String| VolumeError::Zarr {
            problem,
            advice: "copy what it points to into the folder",
            path: self.shown.clone(),
        };
        let relative = Path::new(key);
        if relative.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(refuse(format!("the path {key:?} leads out of the folder")));
        }
        let path = self.root.join(relative);
        match path.canonicalize() {
            Ok(resolved) if resolved.starts_with(&self.root) => Ok(Some(resolved)),
            Ok(resolved) => Err(refuse(format!("{key} is a link out of the folder, to {}", resolved.display()))),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                // A link to nothing is data that should be there, not a chunk that was never written.
                match self.dangling(relative) {
                    Some(link) => Err(refuse(format!("{} is a link to nothing", link.display()))),
                    None => Ok(None),
                }
            }
            Err(source) => Err(VolumeError::Open { path, source }),
        }
    }

    /// The first part of a missing path that is a link.
    fn dangling(&self, relative: &Path) -> Option<PathBuf> {
        let mut path = self.root.clone();
        for part in relative.components() {
            path.push(part);
            match path.symlink_metadata() {
                Ok(metadata) if metadata.is_symlink() && !path.exists() => return Some(path),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
        None
    }

    pub(super) fn length(&self, key: &str) -> Result<Option<u64>, VolumeError> {
        let Some(path) = self.resolve(key)? else { return Ok(None) };
        let metadata = path.metadata().map_err(|source| VolumeError::Open { path, source })?;
        Ok(metadata.is_file().then_some(metadata.len()))
    }

    fn read(&self, key: &str, ranges: &[ByteRange], most: u64) -> Result<Option<Vec<Bytes>>, VolumeError> {
        let Some(path) = self.resolve(key)? else { return Ok(None) };
        let reading = |source| VolumeError::Read { path: path.clone(), source };
        let metadata = path.metadata().map_err(reading)?;
        if metadata.is_dir() {
            return Ok(None);
        }
        if !metadata.is_file() {
            // Opening a pipe would wait for its other end.
            return Err(reading(io::Error::other("a device or pipe, not a file")));
        }
        let length = metadata.len();
        let mut file = File::open(&path).map_err(|source| VolumeError::Open { path: path.clone(), source })?;
        let mut pieces = Vec::with_capacity(ranges.len());
        for range in ranges {
            let Range { start, end } =
                place(range, length).map_err(|_| reading(io::Error::new(ErrorKind::UnexpectedEof, short(length))))?;
            if end - start > most {
                return Err(reading(io::Error::other(format!("{} bytes are too many, {most} are plausible", end - start))));
            }
            let mut bytes = vec![0; (end - start) as usize];
            file.seek(SeekFrom::Start(start)).and_then(|_| file.read_exact(&mut bytes)).map_err(reading)?;
            pieces.push(Bytes::from(bytes));
        }
        Ok(Some(pieces))
    }

    /// Whether the folder of an array, named by a key, holds anything besides metadata.
    pub(super) fn has_chunks(&self, key: &str) -> bool {
        let is_metadata = |name: &str| matches!(name, "zarr.json" | ".zarray" | ".zattrs" | ".zgroup" | ".zmetadata");
        std::fs::read_dir(self.root.join(key))
            .is_ok_and(|entries| entries.flatten().any(|entry| !entry.file_name().to_str().is_some_and(is_metadata)))
    }

    /// Names of subfolders that are Zarr arrays or groups, a few at most.
    pub(super) fn children(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(&self.root) else { return Vec::new() };
        let is_node = |path: &Path| ["zarr.json", ".zarray", ".zgroup"].iter().any(|name| path.join(name).is_file());
        let nodes = entries.flatten().filter(|entry| is_node(&entry.path()));
        let mut names: Vec<String> = nodes.filter_map(|entry| entry.file_name().into_string().ok()).take(8).collect();
        names.sort();
        names
    }
}

pub(super) fn short(length: u64) -> String {
    format!("only {length} bytes are there: it is cut short")
}

/// A store as `zarrs` sees it.
#[derive(Clone)]
pub(super) struct StoreView {
    pub(super) store: Arc<Store>,
    /// The longest file, or part of one, that a chunk of the array can need; anything longer is refused before it is read.
    pub(super) most_bytes: u64,
}

impl ReadableStorageTraits for StoreView {
    fn get_partial_many<'a>(
        &'a self,
        key: &StoreKey,
        byte_ranges: ByteRangeIterator<'a>,
    ) -> Result<MaybeBytesIterator<'a>, StorageError> {
        let ranges: Vec<ByteRange> = byte_ranges.collect();
        match self.store.read(key.as_str(), &ranges, self.most_bytes) {
            Ok(Some(pieces)) => Ok(Some(Box::new(pieces.into_iter().map(Ok)))),
            Ok(None) => Ok(None),
            Err(error) => Err(StorageError::Other(error.to_string())),
        }
    }

    fn size_key(&self, key: &StoreKey) -> Result<Option<u64>, StorageError> {
        let length = match &*self.store {
            Store::Folder(store) => store.length(key.as_str()),
            Store::Web(store) => store.length(key.as_str()),
        };
        length.map_err(|error| StorageError::Other(error.to_string()))
    }

    fn supports_get_partial(&self) -> bool {
        true
    }
}
