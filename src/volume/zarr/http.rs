//! A Zarr hierarchy on a web server, as the CryoET Data Portal serves it.
//!
//! Parts of files are fetched by range requests. Where a server ignores them and sends the whole file, that is kept for the
//! parts that will be asked for next. Failures that may pass are tried again, after a pause that grows.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use zarrs::storage::Bytes;
use zarrs::storage::byte_range::ByteRange;

use super::blosc::place;
use super::request::{Answer, Client, Patience};
use super::store::short;
use crate::volume::VolumeError;

/// Bytes of answers that are kept.
const CACHE_BYTES: usize = 128 << 20;
/// Answers that are kept.
const CACHE_ENTRIES: usize = 4096;
/// A short part near the beginning, such as a header, brings so much with it, for what is asked for next.
const PAGE_BYTES: u64 = 64 << 10;
/// Whole files are downloaded by so many threads at once, where a server sends nothing less.
const WHOLE_DOWNLOADS: usize = 4;
/// What is known of a server's range requests.
mod ranges {
    pub(super) const UNKNOWN: u8 = 0;
    pub(super) const SERVED: u8 = 1;
    pub(super) const IGNORED: u8 = 2;
}

/// Files below a URL.
pub(super) struct HttpStore {
    client: Client,
    /// Without a slash at its end and without the query.
    base: String,
    /// What follows a question mark, such as a signature; sent with every request.
    query: Option<String>,
    ranges: AtomicU8,
    /// Held while the first range request shows whether the server serves them.
    first_range: Mutex<()>,
    /// S3 answers 403, not 404, for what is not there when the reader may not list the bucket.
    forbidden_is_missing: AtomicBool,
    cache: Mutex<Cache>,
    /// Held for a file's download as a whole, so that no two threads fetch the same one.
    downloads: [Mutex<()>; WHOLE_DOWNLOADS],
    hasher: RandomState,
}

impl HttpStore {
    pub(super) fn new(url: &str, patience: Patience) -> Self {
        let (base, query) = match url.split_once('?') {
            Some((base, query)) => (base, Some(query.to_owned())),
            None => (url, None),
        };
        Self {
            client: Client::new(patience),
            base: base.trim_end_matches('/').to_owned(),
            query,
            ranges: AtomicU8::new(ranges::UNKNOWN),
            first_range: Mutex::default(),
            forbidden_is_missing: AtomicBool::new(false),
            cache: Mutex::default(),
            downloads: Default::default(),
            hasher: RandomState::new(),
        }
    }

    /// The URL of the hierarchy.
    pub(super) fn url(&self) -> &str {
        &self.base
    }

    /// The same server one folder up, unless that is its root.
    pub(super) fn parent(&self) -> Option<(Self, String)> {
        let (parent, name) = self.base.rsplit_once('/')?;
        let host = parent.split_once("://")?.1;
        if host.is_empty() {
            return None;
        }
        let url = self.query.as_ref().map_or_else(|| parent.to_owned(), |query| format!("{parent}?{query}"));
        let store = Self::new(&url, self.client.patience);
        store.forbidden_is_missing.store(self.forbidden_is_missing.load(Ordering::Relaxed), Ordering::Relaxed);
        Some((store, name.to_owned()))
    }

    fn url_of(&self, key: &str) -> String {
        let mut url = format!("{}/", self.base);
        for byte in key.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => url.push(char::from(byte)),
                _ => url.push_str(&format!("%{byte:02X}")),
            }
        }
        if let Some(query) = &self.query {
            url.push('?');
            url.push_str(query);
        }
        url
    }

    /// A metadata document that may or may not be there.
    pub(super) fn probe(&self, key: &str, most: u64) -> Result<Option<Bytes>, VolumeError> {
        match self.fetch(key, None, most) {
            Err((_, 403)) => {
                self.forbidden_is_missing.store(true, Ordering::Relaxed);
                Ok(None)
            }
            Err((error, _)) => Err(error),
            Ok(answer) => Ok(answer.map(|answer| answer.bytes)),
        }
    }

    /// Whether the server refused to say whether something exists.
    pub(super) fn forbids(&self) -> bool {
        self.forbidden_is_missing.load(Ordering::Relaxed)
    }

    /// The length of a file, `None` when it is not there.
    pub(super) fn length(&self, key: &str) -> Result<Option<u64>, VolumeError> {
        let answer = self.fetch(key, Some(&ByteRange::FromStart(0, Some(1))), u64::MAX).map_err(|(error, _)| error)?;
        Ok(answer.map(|answer| answer.length.unwrap_or(answer.bytes.len() as u64)))
    }

    /// Parts of a file, none of which, nor the file if it must be fetched whole, may be longer than `most`.
    pub(super) fn read(&self, key: &str, parts: &[ByteRange], most: u64) -> Result<Option<Vec<Bytes>>, VolumeError> {
        let mut pieces = Vec::with_capacity(parts.len());
        for part in parts {
            let Some(piece) = self.part(key, part, most)? else { return Ok(None) };
            pieces.push(piece);
        }
        Ok(Some(pieces))
    }

    fn part(&self, key: &str, part: &ByteRange, most: u64) -> Result<Option<Bytes>, VolumeError> {
        if let Some(kept) = self.cached(key) {
            return kept.map(|whole| self.cut(key, &whole, part)).transpose();
        }
        if *part == ByteRange::FromStart(0, None) {
            return self.whole(key, most);
        }
        if let ByteRange::FromStart(start, Some(bytes)) = *part
            && start.saturating_add(bytes) <= PAGE_BYTES
        {
            let page_key = format!("{key}#page");
            if let Some(Some(page)) = self.cached(&page_key)
                && let Ok(Range { start, end }) = place(part, page.len() as u64)
            {
                return Ok(Some(page.slice(start as usize..end as usize)));
            }
            return match self.ranged(key, &ByteRange::FromStart(0, Some(PAGE_BYTES)), most)? {
                Some(page) => {
                    let piece = self.cut(key, &page, part)?;
                    self.keep(page_key, Some(page));
                    Ok(Some(piece))
                }
                None => Ok(None),
            };
        }
        match self.ranged(key, part, most)? {
            Some(bytes) => {
                let expected = match *part {
                    ByteRange::FromStart(_, None) => None,
                    ByteRange::FromStart(_, Some(bytes)) | ByteRange::Suffix(bytes) => Some(bytes),
                };
                match expected {
                    Some(expected) if expected != bytes.len() as u64 => Err(self.too_short(key, bytes.len() as u64)),
                    _ => Ok(Some(bytes)),
                }
            }
            None => Ok(None),
        }
    }

    /// A part, or as much of it as the file has.
    fn ranged(&self, key: &str, part: &ByteRange, most: u64) -> Result<Option<Bytes>, VolumeError> {
        let unknown = (self.ranges.load(Ordering::Acquire) == ranges::UNKNOWN).then(|| lock(&self.first_range));
        if self.ranges.load(Ordering::Acquire) != ranges::IGNORED {
            let answer = self.fetch(key, Some(part), most).map_err(|(error, _)| error)?;
            let Some(answer) = answer else {
                self.keep(key.to_owned(), None);
                return Ok(None);
            };
            if answer.part {
                self.ranges.store(ranges::SERVED, Ordering::Release);
                return Ok(Some(answer.bytes));
            }
            self.ranges.store(ranges::IGNORED, Ordering::Release);
            self.keep(key.to_owned(), Some(answer.bytes));
        }
        drop(unknown);
        let Some(whole) = self.whole(key, most)? else { return Ok(None) };
        let length = whole.len() as u64;
        let clipped = match *part {
            ByteRange::FromStart(start, Some(bytes)) if start <= length => {
                ByteRange::FromStart(start, Some(bytes.min(length - start)))
            }
            other => other,
        };
        self.cut(key, &whole, &clipped).map(Some)
    }

    /// A whole file, fetched once however many threads want it.
    fn whole(&self, key: &str, most: u64) -> Result<Option<Bytes>, VolumeError> {
        let slot = self.hasher.hash_one(key) as usize % WHOLE_DOWNLOADS;
        let _download = lock(&self.downloads[slot]);
        if let Some(kept) = self.cached(key) {
            return Ok(kept);
        }
        let bytes = self.fetch(key, None, most).map_err(|(error, _)| error)?.map(|answer| answer.bytes);
        self.keep(key.to_owned(), bytes.clone());
        Ok(bytes)
    }

    fn cut(&self, key: &str, whole: &Bytes, part: &ByteRange) -> Result<Bytes, VolumeError> {
        let length = whole.len() as u64;
        let Range { start, end } = place(part, length).map_err(|_| self.too_short(key, length))?;
        Ok(whole.slice(start as usize..end as usize))
    }

    fn too_short(&self, key: &str, length: u64) -> VolumeError {
        VolumeError::Network {
            problem: short(length),
            advice: "ask whoever put it there to copy it again",
            url: self.url_of(key),
        }
    }

    fn cached(&self, key: &str) -> Option<Option<Bytes>> {
        lock(&self.cache).get(key)
    }

    fn keep(&self, key: String, bytes: Option<Bytes>) {
        lock(&self.cache).insert(key, bytes);
    }

    fn fetch(&self, key: &str, part: Option<&ByteRange>, most: u64) -> Result<Option<Answer>, (VolumeError, u16)> {
        self.client.fetch(self.url_of(key), part, most, self.forbids())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers kept, those used least recently given up first. `None` stands for a file that is not there.
#[derive(Default)]
struct Cache {
    entries: HashMap<String, (Option<Bytes>, u64)>,
    bytes: usize,
    clock: u64,
}

impl Cache {
    fn get(&mut self, key: &str) -> Option<Option<Bytes>> {
        self.clock += 1;
        let clock = self.clock;
        self.entries.get_mut(key).map(|(bytes, used)| {
            *used = clock;
            bytes.clone()
        })
    }

    fn insert(&mut self, key: String, bytes: Option<Bytes>) {
        self.clock += 1;
        self.bytes += bytes.as_ref().map_or(0, Bytes::len);
        if let Some((Some(old), _)) = self.entries.insert(key, (bytes, self.clock)) {
            self.bytes -= old.len();
        }
        // The newest stays, whatever its size: its other parts are wanted next.
        while self.entries.len() > 1 && (self.bytes > CACHE_BYTES || self.entries.len() > CACHE_ENTRIES) {
            let Some(oldest) = self.entries.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone()) else { break };
            if let Some((Some(old), _)) = self.entries.remove(&oldest) {
                self.bytes -= old.len();
            }
        }
    }
}
