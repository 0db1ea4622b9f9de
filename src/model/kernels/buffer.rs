//! Memory that outlives a call, for scratch and for results, and the pointer that parallel tasks write disjoint parts through.

use std::mem::MaybeUninit;
use std::sync::{Mutex, PoisonError};

use burn_std::{AccessError, AccessPolicy, AllocationController, AllocationProperty, Bytes};

/// Floats in one unit of allocation: a cache line, which is also the widest vector.
const LINE: usize = 16;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

/// Buffers kept for the next call. Fresh memory of this size comes from the kernel page by page, which costs a tenth of
/// a convolution.
static POOL: Mutex<Vec<Vec<Line>>> = Mutex::new(Vec::new());
/// Most floats kept (512 MiB), and most buffers.
const POOL_FLOATS: usize = 1 << 27;
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

/// Gives the memory that is kept for the next call back to the system; for the end of a run.
pub fn release_memory() {
    let kept = std::mem::take(&mut *POOL.lock().unwrap_or_else(PoisonError::into_inner));
    drop(kept);
}

/// Memory for the values of a tensor; it returns to the pool when the last tensor that lies in it is gone.
pub struct Output(Scratch);

impl Output {
    /// Memory for `len` values, which are whatever an earlier call left: all of them have to be written.
    pub fn take(len: usize) -> Self {
        Self(Scratch::take(len))
    }

    /// The values.
    pub fn values_mut(&mut self) -> &mut [f32] {
        self.0.values_mut()
    }

    /// The values as what a tensor is made from.
    pub fn into_bytes(self) -> Bytes {
        let bytes = self.0.len * size_of::<f32>();
        // SAFETY: a `Scratch` holds at least `len` floats, all initialised.
        unsafe { Bytes::from_controller(Box::new(self), bytes) }
    }
}

impl AllocationController for Output {
    fn alloc_align(&self) -> usize {
        align_of::<Line>()
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    unsafe fn memory_mut(&mut self, _: AccessPolicy) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let values = self.0.values_mut();
        // SAFETY: the bytes of these floats, under the same exclusive borrow; the caller writes only initialised ones.
        Ok(unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) })
    }

    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let values = self.0.values();
        // SAFETY: the bytes of these floats, under the same borrow.
        Ok(unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_values_and_their_memory_comes_back() {
        let mut output = Output::take(100_003);
        output.values_mut().iter_mut().zip(0u16..).for_each(|(value, i)| *value = f32::from(i));
        let address = output.values_mut().as_ptr();
        let mut bytes = output.into_bytes();
        assert_eq!(bytes.len(), 400_012);
        assert_eq!(&bytes[4..8], 1f32.to_le_bytes());
        bytes[4..8].copy_from_slice(&7f32.to_le_bytes());
        let copy = bytes.clone();
        drop(bytes);
        assert_eq!(&copy[4..12], [7f32.to_le_bytes(), 2f32.to_le_bytes()].concat());
        // Another thread's test may have taken it in between, so that only one of several tries has to find it.
        let found = (0..20).any(|_| {
            let mut again = Output::take(100_003);
            again.values_mut().as_ptr() == address
        });
        assert!(found || POOL.lock().unwrap().len() < POOL_BUFFERS);
    }
}
