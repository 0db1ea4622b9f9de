//! Scratch memory that outlives a call, and the pointer that parallel tasks write disjoint parts through.

use std::sync::{Mutex, PoisonError};

/// Floats in one unit of allocation: a cache line, which is also the widest vector.
const LINE: usize = 16;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

/// Buffers kept for the next call. Fresh memory of this size comes from the kernel page by page, which costs a tenth of
/// a convolution.
static POOL: Mutex<Vec<Vec<Line>>> = Mutex::new(Vec::new());
/// Most floats kept (256 MiB), and most buffers.
const POOL_FLOATS: usize = 1 << 26;
const POOL_BUFFERS: usize = 256;

/// A 64-byte aligned buffer of f32 with arbitrary finite or non-finite contents, returned to the pool when dropped.
pub(super) struct Scratch {
    lines: Vec<Line>,
    len: usize,
}

impl Scratch {
    /// A buffer of at least `len` floats. Its contents are whatever an earlier call left.
    pub(super) fn take(len: usize) -> Scratch {
        let wanted = len.div_ceil(LINE);
        let found = {
            let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
            let best = (0..pool.len())
                .filter(|&i| pool[i].len() >= wanted && pool[i].len() <= 2 * wanted + 4096)
                .min_by_key(|&i| pool[i].len());
            best.map(|i| pool.swap_remove(i))
        };
        Scratch { lines: found.unwrap_or_else(|| vec![Line([0.0; LINE]); wanted]), len }
    }

    pub(super) fn values(&self) -> &[f32] {
        // SAFETY: a line is 16 floats without gaps, every one initialised, and there are enough lines for `len`.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }

    pub(super) fn values_mut(&mut self) -> &mut [f32] {
        // SAFETY: as for `values`; the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }

    pub(super) fn shared(&mut self) -> Shared {
        Shared(self.lines.as_mut_ptr().cast())
    }

    pub(super) fn fill_zero(&mut self) {
        self.lines[..self.len.div_ceil(LINE)].fill(Line([0.0; LINE]));
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        pool.push(lines);
        while pool.len() > POOL_BUFFERS || pool.iter().map(Vec::len).sum::<usize>() * LINE > POOL_FLOATS {
            pool.remove(0);
        }
    }
}

/// A pointer that several tasks hold, each writing its own part or all only reading.
#[derive(Clone, Copy)]
pub(super) struct Shared(*mut f32);

// SAFETY: the pointer is only an address; whoever dereferences it states why no other task touches the same values.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    pub(super) fn new(slice: &mut [f32]) -> Shared {
        Shared(slice.as_mut_ptr())
    }

    pub(super) fn read_only(slice: &[f32]) -> Shared {
        Shared(slice.as_ptr().cast_mut())
    }

    /// The address `offset` floats on. A method, so that closures capture the whole of `Shared`.
    #[inline(always)]
    pub(super) fn at(self, offset: usize) -> *mut f32 {
        self.0.wrapping_add(offset)
    }
}
