//! The register-tiled matrix product that every convolution is brought to.
//!
//! C[m][j] = sum over k of A[m][k] * B[k][j], where j runs over vectors. A is read one broadcast value at a time from
//! any strides, so the rows of A may be tiles, positions of a convolution's input at any stride, or channels of the
//! transposed product; B is read in whole vectors. With 4 x 3 (or 6 x 2) vectors of C in registers a step makes 12
//! fused multiply-adds from 7 (or 8) loads, which the load ports deliver faster than the two multiply-add units use it.

use super::simd::Simd;

/// Where the operands of one product lie. All strides are in floats.
#[derive(Clone, Copy)]
pub(super) struct Product {
    /// Rows of C, and of A.
    pub rows: usize,
    /// Length of one segment of the sum, and how many segments follow one another.
    pub depth: usize,
    pub segments: usize,
    /// Vectors in a row of C.
    pub vectors: usize,
    pub a: *const f32,
    pub a_row: usize,
    pub a_depth: usize,
    pub a_segment: usize,
    pub b: *const f32,
    pub layout: Layout,
    pub c: *mut f32,
    pub c_row: usize,
    /// Add to C rather than overwrite it.
    pub accumulate: bool,
}

/// How B is stored.
#[derive(Clone, Copy)]
pub(super) enum Layout {
    /// In panels of [`panel_width`] vectors, each `[segments][depth][vectors of the panel]`.
    Panels,
    /// As a matrix with these strides from one k, and from one segment, to the next.
    Matrix { depth: usize, segment: usize },
}

/// Vectors in the panel that starts `done` vectors into a row of `vectors`: 3, or 2 where that avoids a single one.
#[inline(always)]
pub(super) fn panel_width(vectors: usize, done: usize) -> usize {
    match vectors - done {
        1 => 1,
        2 | 4 => 2,
        _ => 3,
    }
}

/// One panel of a product: pointers at its first vector.
#[derive(Clone, Copy)]
struct Panel {
    b: *const f32,
    b_depth: usize,
    b_segment: usize,
    c: *mut f32,
}

/// One register tile of C: fetch or clear, sum, store.
///
/// # Safety
/// As for [`Simd::tile`], and ROWS x VECTORS vectors of C are writable.
#[inline(always)]
unsafe fn block<S: Simd, const ROWS: usize, const VECTORS: usize>(p: &Product, panel: &Panel, row: usize) {
    // SAFETY: the caller's contract.
    unsafe {
        let c = panel.c.wrapping_add(row * p.c_row);
        let mut sums = [[S::zero(); VECTORS]; ROWS];
        if p.accumulate {
            for (i, sum_row) in sums.iter_mut().enumerate() {
                for (j, sum) in sum_row.iter_mut().enumerate() {
                    *sum = S::load(c.wrapping_add(i * p.c_row + j * S::WIDTH));
                }
            }
        }
        let mut a = p.a.wrapping_add(row * p.a_row);
        let mut b = panel.b;
        for _ in 0..p.segments {
            S::tile(p.depth, a, p.a_row, p.a_depth, b, panel.b_depth, &mut sums);
            a = a.wrapping_add(p.a_segment);
            b = b.wrapping_add(panel.b_segment);
        }
        for (i, sum_row) in sums.iter().enumerate() {
            for (j, &sum) in sum_row.iter().enumerate() {
                S::store(c.wrapping_add(i * p.c_row + j * S::WIDTH), sum);
            }
        }
    }
}

/// All rows of one panel: the largest register tile while it fits, then smaller ones.
///
/// # Safety
/// As for [`product`].
#[inline(always)]
unsafe fn rows<S: Simd, const BIG: usize, const MID: usize, const VECTORS: usize>(p: &Product, panel: &Panel) {
    let mut row = 0;
    // SAFETY: rows stay below `p.rows`.
    unsafe {
        while row + BIG <= p.rows {
            block::<S, BIG, VECTORS>(p, panel, row);
            row += BIG;
        }
        while row + MID <= p.rows {
            block::<S, MID, VECTORS>(p, panel, row);
            row += MID;
        }
        if row + 2 <= p.rows {
            block::<S, 2, VECTORS>(p, panel, row);
            row += 2;
        }
        while row < p.rows {
            block::<S, 1, VECTORS>(p, panel, row);
            row += 1;
        }
    }
}

/// One panel of the product: vectors `first..first + width` of every row, where `width` is that of [`panel_width`].
///
/// # Safety
/// As for [`product`].
#[inline(always)]
pub(super) unsafe fn product_panel<S: Simd>(p: &Product, first: usize, width: usize) {
    let (b, b_depth, b_segment) = match p.layout {
        Layout::Panels => {
            let step = width * S::WIDTH;
            (p.b.wrapping_add(first * S::WIDTH * p.depth * p.segments), step, step * p.depth)
        }
        Layout::Matrix { depth, segment } => (p.b.wrapping_add(first * S::WIDTH), depth, segment),
    };
    let panel = Panel { b, b_depth, b_segment, c: p.c.wrapping_add(first * S::WIDTH) };
    // SAFETY: the caller's contract.
    unsafe {
        match (width, S::MANY_REGISTERS) {
            (3, false) => rows::<S, 4, 3, 3>(p, &panel),
            (3, true) => rows::<S, 8, 4, 3>(p, &panel),
            (2, false) => rows::<S, 6, 4, 2>(p, &panel),
            (2, true) => rows::<S, 12, 4, 2>(p, &panel),
            (_, false) => rows::<S, 8, 4, 1>(p, &panel),
            (_, true) => rows::<S, 16, 4, 1>(p, &panel),
        }
    }
}

/// Computes the product.
///
/// # Safety
/// The three operands reach what [`Product`]'s fields say, C overlaps neither A nor B, and nobody else touches C.
#[inline(always)]
pub(super) unsafe fn product<S: Simd>(p: &Product) {
    let mut done = 0;
    while done < p.vectors {
        let width = panel_width(p.vectors, done);
        // SAFETY: the caller's contract; the panels tile the row of C.
        unsafe { product_panel::<S>(p, done, width) };
        done += width;
    }
}
