//! The transforms of Winograd's minimal filtering, with vectors along the channels.

use super::super::gemm::panel_width;
use super::super::simd::{Kernel, Simd};
use super::{GROUP, TAPS, Tiles, View};

/// B' along z for one group: first slice, second slice, sign of the second.
const INPUT_Z: [(usize, usize, f32); 4] = [(0, 2, -1.0), (1, 2, 1.0), (2, 1, -1.0), (1, 3, -1.0)];
/// A along z for one group: factors of the two slices of the output's gradient.
const GRADIENT_Z: [[f32; 2]; 4] = [[1.0, 0.0], [1.0, 1.0], [1.0, -1.0], [0.0, -1.0]];
/// A' along z for one group: its factor in the two output slices.
const OUTPUT_Z: [[f32; 2]; 4] = [[1.0, 0.0], [1.0, 1.0], [1.0, -1.0], [0.0, -1.0]];
/// Tiles whose input transform passes through the channels together.
const RUN_TILES: usize = 8;

/// B' of one group for `count` tiles from `first`, to `[GROUP][count][channels]` with `group` floats per element.
///
/// # Safety
/// The view reaches all positions of the tiles, and `to` GROUP * group writable floats.
#[inline(always)]
pub(super) unsafe fn transform_input<S: Simd>(
    x: &View,
    tiles: &Tiles,
    z: usize,
    first: usize,
    count: usize,
    to: *mut f32,
    group: usize,
) {
    let (za, zb, sign) = INPUT_Z[z];
    // SAFETY: the caller's contract.
    unsafe {
        let sign = S::splat(sign);
        let mut done = 0;
        while done < count {
            // Few enough tiles that what they read and write stays in the first-level cache while the channels pass.
            let run = tiles.run(first + done, (count - done).min(RUN_TILES));
            let start = x.tile(tiles.locate(first + done));
            let mut c = 0;
            while c < x.channels {
                let mut a = start.wrapping_add(za * x.slice + c);
                let mut b = start.wrapping_add(zb * x.slice + c);
                let mut out = to.wrapping_add(done * x.channels + c);
                // One x position of the tile row, transformed along z and y.
                macro_rules! column {
                    () => {{
                        let d0 = S::fma(sign, S::load(b), S::load(a));
                        let d1 = S::fma(sign, S::load(b.wrapping_add(x.row)), S::load(a.wrapping_add(x.row)));
                        let d2 = S::fma(sign, S::load(b.wrapping_add(2 * x.row)), S::load(a.wrapping_add(2 * x.row)));
                        let d3 = S::fma(sign, S::load(b.wrapping_add(3 * x.row)), S::load(a.wrapping_add(3 * x.row)));
                        a = a.wrapping_add(x.channels);
                        b = b.wrapping_add(x.channels);
                        [S::sub(d0, d2), S::add(d1, d2), S::sub(d2, d1), S::sub(d1, d3)]
                    }};
                }
                let mut c0 = column!();
                let mut c1 = column!();
                for _ in 0..run {
                    let c2 = column!();
                    let c3 = column!();
                    for y in 0..4 {
                        let row = out.wrapping_add(4 * y * group);
                        S::store(row, S::sub(c0[y], c2[y]));
                        S::store(row.wrapping_add(group), S::add(c1[y], c2[y]));
                        S::store(row.wrapping_add(2 * group), S::sub(c2[y], c1[y]));
                        S::store(row.wrapping_add(3 * group), S::sub(c1[y], c3[y]));
                    }
                    (c0, c1) = (c2, c3);
                    out = out.wrapping_add(x.channels);
                }
                c += S::WIDTH;
            }
            done += run;
        }
    }
}

/// A of one group for the gradient of the output; layout as in [`transform_input`].
///
/// # Safety
/// As for [`transform_input`].
#[inline(always)]
pub(super) unsafe fn transform_gradient<S: Simd>(
    g: &View,
    tiles: &Tiles,
    z: usize,
    first: usize,
    count: usize,
    to: *mut f32,
    group: usize,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let [fa, fb] = GRADIENT_Z[z].map(|factor| S::splat(factor));
        let zero = S::zero();
        for tile in 0..count {
            let start = g.tile(tiles.locate(first + tile));
            let mut c = 0;
            while c < g.channels {
                let a = start.wrapping_add(c);
                let b = a.wrapping_add(g.slice);
                macro_rules! value {
                    ($offset:expr) => {
                        S::fma(fb, S::load(b.wrapping_add($offset)), S::mul(fa, S::load(a.wrapping_add($offset))))
                    };
                }
                let (p00, p01) = (value!(0), value!(g.channels));
                let (p10, p11) = (value!(g.row), value!(g.row + g.channels));
                let left = [p00, S::add(p00, p10), S::sub(p00, p10), S::sub(zero, p10)];
                let right = [p01, S::add(p01, p11), S::sub(p01, p11), S::sub(zero, p11)];
                let out = to.wrapping_add(tile * g.channels + c);
                for y in 0..4 {
                    let row = out.wrapping_add(4 * y * group);
                    S::store(row, left[y]);
                    S::store(row.wrapping_add(group), S::add(left[y], right[y]));
                    S::store(row.wrapping_add(2 * group), S::sub(left[y], right[y]));
                    S::store(row.wrapping_add(3 * group), S::sub(zero, right[y]));
                }
                c += S::WIDTH;
            }
        }
    }
}

/// A' of one group: adds its part to the outputs `[z, y (4)][count][x (2)][channels]`.
///
/// # Safety
/// `from` is `[GROUP]` of `group` floats, of which count * channels are used; `to` has 8 * count * channels.
#[inline(always)]
pub(super) unsafe fn transform_output<S: Simd>(
    z: usize,
    count: usize,
    channels: usize,
    from: *const f32,
    group: usize,
    to: *mut f32,
) {
    let [factor0, factor1] = OUTPUT_Z[z];
    let quarter = 2 * count * channels;
    // SAFETY: the caller's contract.
    unsafe {
        let sign1 = S::splat(factor1);
        for tile in 0..count {
            let mut c = 0;
            while c < channels {
                let m = from.wrapping_add(tile * channels + c);
                let mut left = [S::zero(); 4];
                let mut right = [S::zero(); 4];
                for y in 0..4 {
                    let row = m.wrapping_add(4 * y * group);
                    let m0 = S::load(row);
                    let m1 = S::load(row.wrapping_add(group));
                    let m2 = S::load(row.wrapping_add(2 * group));
                    let m3 = S::load(row.wrapping_add(3 * group));
                    left[y] = S::add(m0, S::add(m1, m2));
                    right[y] = S::sub(S::sub(m1, m2), m3);
                }
                let values = [
                    [S::add(left[0], S::add(left[1], left[2])), S::add(right[0], S::add(right[1], right[2]))],
                    [S::sub(S::sub(left[1], left[2]), left[3]), S::sub(S::sub(right[1], right[2]), right[3])],
                ];
                for (y, pair) in values.into_iter().enumerate() {
                    for (x, value) in pair.into_iter().enumerate() {
                        let upper = to.wrapping_add(y * quarter + (2 * tile + x) * channels + c);
                        let lower = upper.wrapping_add(2 * quarter);
                        // The first group sets the upper slice, the second the lower one; the others add.
                        if z == 0 {
                            S::store(upper, value);
                        } else if factor0 != 0.0 {
                            S::store(upper, S::add(S::load(upper), value));
                        }
                        if z == 1 {
                            S::store(lower, value);
                        } else if factor1 != 0.0 {
                            S::store(lower, S::fma(sign1, value, S::load(lower)));
                        }
                    }
                }
                c += S::WIDTH;
            }
        }
    }
}

/// The transform G of the weights of one channel of the input.
pub(super) struct WeightRow {
    /// `[27][wide_out]`
    pub taps: *const f32,
    pub reversed: bool,
    pub channel: usize,
    pub channels_in: usize,
    pub wide_out: usize,
    pub out: *mut f32,
}

impl Kernel for WeightRow {
    type Output = ();
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let vectors = self.wide_out / S::WIDTH;
        let elements = self.channels_in * self.wide_out;
        // SAFETY: `transform_weights` sized both ends.
        unsafe {
            let half = S::splat(0.5);
            macro_rules! filter {
                ($w0:expr, $w1:expr, $w2:expr) => {{
                    let (w0, w1, w2) = ($w0, $w1, $w2);
                    let outer = S::mul(half, S::add(w0, w2));
                    [w0, S::fma(half, w1, outer), S::sub(outer, S::mul(half, w1)), w2]
                }};
            }
            let mut first = 0;
            while first < vectors {
                let width = panel_width(vectors, first);
                for v in first..first + width {
                    let mut w = [S::zero(); TAPS];
                    for (tap, value) in w.iter_mut().enumerate() {
                        let source = if self.reversed { TAPS - 1 - tap } else { tap };
                        *value = S::load(self.taps.wrapping_add(source * self.wide_out + v * S::WIDTH));
                    }
                    let place = (first * self.channels_in + self.channel * width + v - first) * S::WIDTH;
                    let mut along_z = [[S::zero(); 9]; 4];
                    for i in 0..9 {
                        let parts = filter!(w[i], w[9 + i], w[18 + i]);
                        for z in 0..4 {
                            along_z[z][i] = parts[z];
                        }
                    }
                    for (z, p) in along_z.iter().enumerate() {
                        let mut along_y = [[S::zero(); 3]; 4];
                        for x in 0..3 {
                            let parts = filter!(p[x], p[3 + x], p[6 + x]);
                            for y in 0..4 {
                                along_y[y][x] = parts[y];
                            }
                        }
                        for (y, q) in along_y.iter().enumerate() {
                            let parts = filter!(q[0], q[1], q[2]);
                            for (x, &part) in parts.iter().enumerate() {
                                let element = z * GROUP + y * 4 + x;
                                S::store(self.out.wrapping_add(element * elements + place), part);
                            }
                        }
                    }
                }
                first += width;
            }
        }
    }
}

/// G' of the summed products of one channel of the input, back to `[27][wide_out]`.
pub(super) struct GradientRow {
    /// `[chunk][64][channels_in][wide_out]`
    pub sums: *const f32,
    pub chunks: usize,
    pub channel: usize,
    pub channels_in: usize,
    pub wide_out: usize,
    pub taps: *mut f32,
}

impl Kernel for GradientRow {
    type Output = ();
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let elements = self.channels_in * self.wide_out;
        // SAFETY: `weight_gradient` sized both ends.
        unsafe {
            let half = S::splat(0.5);
            macro_rules! back {
                ($m0:expr, $m1:expr, $m2:expr, $m3:expr) => {{
                    let (m0, m1, m2, m3) = ($m0, $m1, $m2, $m3);
                    let even = S::mul(half, S::add(m1, m2));
                    [S::add(m0, even), S::mul(half, S::sub(m1, m2)), S::add(m3, even)]
                }};
            }
            let mut c = 0;
            while c < self.wide_out {
                let mut along_z = [[S::zero(); GROUP]; 3];
                #[allow(clippy::needless_range_loop)] // the element is also a place in memory
                for element in 0..GROUP {
                    let mut m = [S::zero(); 4];
                    for (z, sum) in m.iter_mut().enumerate() {
                        let place = (z * GROUP + element) * elements + self.channel * self.wide_out + c;
                        *sum = S::load(self.sums.wrapping_add(place));
                        for chunk in 1..self.chunks {
                            *sum = S::add(*sum, S::load(self.sums.wrapping_add(chunk * 64 * elements + place)));
                        }
                    }
                    let parts = back!(m[0], m[1], m[2], m[3]);
                    for z in 0..3 {
                        along_z[z][element] = parts[z];
                    }
                }
                for (z, p) in along_z.iter().enumerate() {
                    let mut along_y = [[S::zero(); 4]; 3];
                    for x in 0..4 {
                        let parts = back!(p[x], p[4 + x], p[8 + x], p[12 + x]);
                        for y in 0..3 {
                            along_y[y][x] = parts[y];
                        }
                    }
                    for (y, q) in along_y.iter().enumerate() {
                        let parts = back!(q[0], q[1], q[2], q[3]);
                        for (x, &part) in parts.iter().enumerate() {
                            let tap = (z * 3 + y) * 3 + x;
                            S::store(self.taps.wrapping_add(tap * self.wide_out + c), part);
                        }
                    }
                }
                c += S::WIDTH;
            }
        }
    }
}
