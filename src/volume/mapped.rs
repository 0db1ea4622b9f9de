//! A file mapped into memory, with its pages kept in hand.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::Mmap;

/// Bytes of mapped files that may stay in the process before they are given back to the system's cache.
const RESIDENT_BYTES: usize = 512 << 20;
/// A piece of the file that is read from end to end is given back at once from this size on.
const LARGE_BYTES: usize = 1 << 20;
/// Bytes touched between two looks at how many stay.
const LOOK_BYTES: usize = 64 << 20;
/// What touching one byte may map, in the order of magnitude: a large page of the cache.
const LARGE_PAGE_BYTES: usize = 1 << 20;

/// Bytes of a page of the system's cache.
const PAGE_BYTES: usize = 4096;
/// Where a copy goes to addresses so little ahead of those it comes from, within their pages, processors take each load for one of
/// what has just been stored, and wait: that made reading 3.5 times slower. (Intel's optimisation manual calls it 4K aliasing.)
const ALIASED_BYTES: usize = 256;
/// Bytes of a buffer that a thread keeps for its next read.
const KEPT_BYTES: usize = 1 << 20;

thread_local! {
    /// Where pieces of a file are read to.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A read-only map of a whole file.
pub(super) struct MappedFile {
    map: Mmap,
    /// Kept to notice when the file is shortened.
    file: File,
    /// Bytes touched since the process's mapped bytes were last looked at.
    touched: AtomicUsize,
}

impl MappedFile {
    pub(super) fn new(file: File) -> io::Result<Self> {
        // SAFETY: the map is read-only. If another program changes the file, the bytes read are the changed ones, and any
        // bytes are valid numbers; shortening is what the module documentation of `volume` speaks of.
        let map = unsafe { Mmap::map(&file) }?;
        Ok(Self { map, file, touched: AtomicUsize::new(0) })
    }

    /// Whether the file still has the bytes that were mapped.
    pub(super) fn is_whole(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.len() >= self.map.len() as u64)
    }

    /// Calls `task` with the `length` bytes at `start`, read by a call to the system instead of through the map: for long pieces
    /// that is several times faster than touching each page of the map for the first time.
    pub(super) fn read<R>(&self, start: usize, length: usize, task: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        if !cfg!(unix) {
            return Ok(task(&self.map[start..start + length]));
        }
        // A new buffer for each piece would cost as much as the map: its pages are touched for the first time, too.
        let mut buffer = BUFFER.take();
        if buffer.len() < length + PAGE_BYTES {
            buffer.resize(length + PAGE_BYTES, 0);
        }
        let skip = start.wrapping_sub(buffer.as_ptr().addr()) % PAGE_BYTES;
        let bytes = &mut buffer[skip..skip + length];
        let read = self.read_at(start, bytes).map(|()| task(bytes));
        if buffer.len() <= KEPT_BYTES {
            BUFFER.set(buffer);
        }
        read
    }

    /// Fills `out` with the bytes at `start`, as [`read`](Self::read) does.
    pub(super) fn read_to(&self, start: usize, out: &mut [u8]) -> io::Result<()> {
        let ahead = out.as_ptr().addr().wrapping_sub(start) % PAGE_BYTES;
        if (1..ALIASED_BYTES).contains(&ahead) {
            self.read(start, out.len(), |bytes| out.copy_from_slice(bytes))
        } else {
            self.read_at(start, out)
        }
    }

    #[cfg(unix)]
    fn read_at(&self, start: usize, buffer: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, buffer, start as u64)
    }

    #[cfg(not(unix))]
    fn read_at(&self, start: usize, buffer: &mut [u8]) -> io::Result<()> {
        buffer.copy_from_slice(&self.map[start..start + buffer.len()]);
        Ok(())
    }

    /// Bytes to touch at most before telling [`has_touched`](Self::has_touched).
    pub(super) const fn bytes_at_once() -> usize {
        RESIDENT_BYTES / 2
    }

    /// Asks the system to fetch bytes that are going to be read. Without it, each first touch of a page waits for the disk,
    /// which then reads as much around it as it is set to, often megabytes for one row.
    pub(super) fn prefetch(&self, range: Range<usize>) {
        #[cfg(unix)]
        {
            // Advice that is not taken costs time, not correctness.
            let _ = self.map.advise_range(memmap2::Advice::WillNeed, range.start, range.len());
        }
        #[cfg(not(unix))]
        let _ = range;
    }

    /// Notes that `range` has been read from end to end. A large one is given back to the system's cache at once, so that
    /// reading through a large file does not count as memory in use.
    pub(super) fn has_read(&self, range: Range<usize>) {
        if range.len() >= LARGE_BYTES {
            self.give_back(range);
        } else {
            self.has_touched(1, range.len());
        }
    }

    /// Notes that single bytes in `pieces` of `bytes` each have been read. They stay mapped, since slices across a file are
    /// asked for again and again, until the process has too much of files in its memory.
    pub(super) fn has_touched(&self, pieces: usize, bytes: usize) {
        let touched = pieces.saturating_mul(bytes.max(LARGE_PAGE_BYTES)).min(self.map.len());
        if self.touched.fetch_add(touched, Ordering::Relaxed).saturating_add(touched) >= LOOK_BYTES {
            self.touched.store(0, Ordering::Relaxed);
            if resident_file_bytes().is_some_and(|bytes| bytes > RESIDENT_BYTES) {
                self.give_back(0..self.map.len());
            }
        }
    }

    fn give_back(&self, range: Range<usize>) {
        #[cfg(target_os = "linux")]
        {
            let advice = memmap2::UncheckedAdvice::DontNeed;
            // SAFETY: the map is of a file and read-only, so pages that are dropped come back from the file as they were.
            let _ = unsafe { self.map.unchecked_advise_range(advice, range.start, range.len()) };
        }
        #[cfg(not(target_os = "linux"))]
        let _ = range;
    }
}

/// Bytes of mapped files that count as this process's memory, where the system tells.
fn resident_file_bytes() -> Option<usize> {
    // Other systems do not give pages back for the asking either.
    if !cfg!(target_os = "linux") {
        return None;
    }
    // The third number of statm, in pages. No page is smaller than this, so at worst memory is given back later.
    const PAGE_BYTES: usize = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    statm.split_ascii_whitespace().nth(2)?.parse::<usize>().ok()?.checked_mul(PAGE_BYTES)
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}
