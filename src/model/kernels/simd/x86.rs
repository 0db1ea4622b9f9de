//! AVX2 and AVX-512 vectors.

use super::{Simd, tile_generic};
use std::arch::asm;
use std::arch::x86_64::*;

/// 256-bit vectors.
#[derive(Clone, Copy)]
pub(in super::super) struct Avx2;

// SAFETY (all blocks below): every method is called only where the instruction set is available, and the pointers
// reach what the trait's contract says; the intrinsics used tolerate any alignment.
impl Simd for Avx2 {
    type V = __m256;
    const WIDTH: usize = 8;
    const MANY_REGISTERS: bool = false;
    const BLOCK: usize = 8;

    #[inline(always)]
    unsafe fn tile<const ROWS: usize, const VECTORS: usize>(
        depth: usize,
        a: *const f32,
        a_row: usize,
        a_depth: usize,
        b: *const f32,
        b_depth: usize,
        c: &mut [[__m256; VECTORS]; ROWS],
    ) {
        // SAFETY: the caller's contract; the casts do not change the type where they are reached.
        unsafe {
            match (ROWS, VECTORS) {
                (4, 3) => tile_4x3(depth, a, a_row, a_depth, b, b_depth, &mut *std::ptr::from_mut(c).cast()),
                (6, 2) => tile_6x2(depth, a, a_row, a_depth, b, b_depth, &mut *std::ptr::from_mut(c).cast()),
                _ => tile_generic::<Avx2, ROWS, VECTORS>(depth, a, a_row, a_depth, b, b_depth, c),
            }
        }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> __m256 {
        // SAFETY: see the impl.
        unsafe { _mm256_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        // SAFETY: see the impl.
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: __m256) {
        // SAFETY: see the impl.
        unsafe { _mm256_storeu_ps(to, value) }
    }
    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        // SAFETY: see the impl.
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: __m256, b: __m256) -> __m256 {
        // SAFETY: see the impl.
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        // SAFETY: see the impl.
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: see the impl.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn transpose(src: *const f32, src_stride: usize, dst: *mut f32, dst_stride: usize) {
        // SAFETY: see the impl: an 8 x 8 block at both ends.
        unsafe {
            // Macros rather than closures: a closure would not be compiled with the entry function's features.
            macro_rules! r {
                ($i:expr) => {
                    _mm256_loadu_ps(src.wrapping_add($i * src_stride))
                };
            }
            let (r0, r1, r2, r3, r4, r5, r6, r7) = (r!(0), r!(1), r!(2), r!(3), r!(4), r!(5), r!(6), r!(7));
            let (a0, a1) = (_mm256_unpacklo_ps(r0, r1), _mm256_unpackhi_ps(r0, r1));
            let (a2, a3) = (_mm256_unpacklo_ps(r2, r3), _mm256_unpackhi_ps(r2, r3));
            let (a4, a5) = (_mm256_unpacklo_ps(r4, r5), _mm256_unpackhi_ps(r4, r5));
            let (a6, a7) = (_mm256_unpacklo_ps(r6, r7), _mm256_unpackhi_ps(r6, r7));
            let b0 = _mm256_shuffle_ps::<0x44>(a0, a2);
            let b1 = _mm256_shuffle_ps::<0xEE>(a0, a2);
            let b2 = _mm256_shuffle_ps::<0x44>(a1, a3);
            let b3 = _mm256_shuffle_ps::<0xEE>(a1, a3);
            let b4 = _mm256_shuffle_ps::<0x44>(a4, a6);
            let b5 = _mm256_shuffle_ps::<0xEE>(a4, a6);
            let b6 = _mm256_shuffle_ps::<0x44>(a5, a7);
            let b7 = _mm256_shuffle_ps::<0xEE>(a5, a7);
            macro_rules! w {
                ($i:expr, $v:expr) => {
                    _mm256_storeu_ps(dst.wrapping_add($i * dst_stride), $v)
                };
            }
            w!(0, _mm256_permute2f128_ps::<0x20>(b0, b4));
            w!(1, _mm256_permute2f128_ps::<0x20>(b1, b5));
            w!(2, _mm256_permute2f128_ps::<0x20>(b2, b6));
            w!(3, _mm256_permute2f128_ps::<0x20>(b3, b7));
            w!(4, _mm256_permute2f128_ps::<0x31>(b0, b4));
            w!(5, _mm256_permute2f128_ps::<0x31>(b1, b5));
            w!(6, _mm256_permute2f128_ps::<0x31>(b2, b6));
            w!(7, _mm256_permute2f128_ps::<0x31>(b3, b7));
        }
    }
}

/// [`Simd::tile`] for 4 x 3 vectors: 12 sums, 3 vectors of B and one value of A fill the 16 registers exactly. The
/// compiler's schedule of the same loop keeps a sum in memory, which doubles the time of a step.
///
/// # Safety
/// As for [`Simd::tile`].
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn tile_4x3(
    depth: usize,
    a: *const f32,
    a_row: usize,
    a_depth: usize,
    b: *const f32,
    b_depth: usize,
    c: &mut [[__m256; 3]; 4],
) {
    if depth == 0 {
        return;
    }
    let [[c00, c01, c02], [c10, c11, c12], [c20, c21, c22], [c30, c31, c32]] = c;
    // SAFETY: reads the addresses of the contract and writes only the registers listed.
    unsafe {
        asm!(
            "2:",
            "vmovups {b0}, [{b}]",
            "vmovups {b1}, [{b} + 32]",
            "vmovups {b2}, [{b} + 64]",
            "vbroadcastss {v}, [{a}]",
            "vfmadd231ps {c00}, {v}, {b0}",
            "vfmadd231ps {c01}, {v}, {b1}",
            "vfmadd231ps {c02}, {v}, {b2}",
            "vbroadcastss {v}, [{a} + {row}]",
            "vfmadd231ps {c10}, {v}, {b0}",
            "vfmadd231ps {c11}, {v}, {b1}",
            "vfmadd231ps {c12}, {v}, {b2}",
            "vbroadcastss {v}, [{a} + 2*{row}]",
            "vfmadd231ps {c20}, {v}, {b0}",
            "vfmadd231ps {c21}, {v}, {b1}",
            "vfmadd231ps {c22}, {v}, {b2}",
            "vbroadcastss {v}, [{a} + {row3}]",
            "add {a}, {a_depth}",
            "add {b}, {b_depth}",
            "vfmadd231ps {c30}, {v}, {b0}",
            "vfmadd231ps {c31}, {v}, {b1}",
            "vfmadd231ps {c32}, {v}, {b2}",
            "dec {n}",
            "jnz 2b",
            n = inout(reg) depth => _,
            a = inout(reg) a => _,
            b = inout(reg) b => _,
            row = in(reg) a_row.wrapping_mul(4),
            row3 = in(reg) a_row.wrapping_mul(12),
            a_depth = in(reg) a_depth.wrapping_mul(4),
            b_depth = in(reg) b_depth.wrapping_mul(4),
            b0 = out(ymm_reg) _, b1 = out(ymm_reg) _, b2 = out(ymm_reg) _, v = out(ymm_reg) _,
            c00 = inout(ymm_reg) *c00, c01 = inout(ymm_reg) *c01, c02 = inout(ymm_reg) *c02,
            c10 = inout(ymm_reg) *c10, c11 = inout(ymm_reg) *c11, c12 = inout(ymm_reg) *c12,
            c20 = inout(ymm_reg) *c20, c21 = inout(ymm_reg) *c21, c22 = inout(ymm_reg) *c22,
            c30 = inout(ymm_reg) *c30, c31 = inout(ymm_reg) *c31, c32 = inout(ymm_reg) *c32,
            options(nostack, readonly),
        );
    }
}

/// [`Simd::tile`] for 6 x 2 vectors.
///
/// # Safety
/// As for [`Simd::tile`].
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn tile_6x2(
    depth: usize,
    a: *const f32,
    a_row: usize,
    a_depth: usize,
    b: *const f32,
    b_depth: usize,
    c: &mut [[__m256; 2]; 6],
) {
    if depth == 0 {
        return;
    }
    let [[c00, c01], [c10, c11], [c20, c21], [c30, c31], [c40, c41], [c50, c51]] = c;
    // SAFETY: reads the addresses of the contract and writes only the registers listed.
    unsafe {
        asm!(
            "2:",
            "vmovups {b0}, [{b}]",
            "vmovups {b1}, [{b} + 32]",
            "vbroadcastss {v}, [{a}]",
            "vbroadcastss {u}, [{a} + {row}]",
            "vfmadd231ps {c00}, {v}, {b0}",
            "vfmadd231ps {c01}, {v}, {b1}",
            "vfmadd231ps {c10}, {u}, {b0}",
            "vfmadd231ps {c11}, {u}, {b1}",
            "vbroadcastss {v}, [{a} + 2*{row}]",
            "vbroadcastss {u}, [{a3}]",
            "vfmadd231ps {c20}, {v}, {b0}",
            "vfmadd231ps {c21}, {v}, {b1}",
            "vfmadd231ps {c30}, {u}, {b0}",
            "vfmadd231ps {c31}, {u}, {b1}",
            "vbroadcastss {v}, [{a3} + {row}]",
            "vbroadcastss {u}, [{a3} + 2*{row}]",
            "add {a}, {a_depth}",
            "add {a3}, {a_depth}",
            "add {b}, {b_depth}",
            "vfmadd231ps {c40}, {v}, {b0}",
            "vfmadd231ps {c41}, {v}, {b1}",
            "vfmadd231ps {c50}, {u}, {b0}",
            "vfmadd231ps {c51}, {u}, {b1}",
            "dec {n}",
            "jnz 2b",
            n = inout(reg) depth => _,
            a = inout(reg) a => _,
            a3 = inout(reg) a.wrapping_add(a_row.wrapping_mul(3)) => _,
            b = inout(reg) b => _,
            row = in(reg) a_row.wrapping_mul(4),
            a_depth = in(reg) a_depth.wrapping_mul(4),
            b_depth = in(reg) b_depth.wrapping_mul(4),
            b0 = out(ymm_reg) _, b1 = out(ymm_reg) _, v = out(ymm_reg) _, u = out(ymm_reg) _,
            c00 = inout(ymm_reg) *c00, c01 = inout(ymm_reg) *c01,
            c10 = inout(ymm_reg) *c10, c11 = inout(ymm_reg) *c11,
            c20 = inout(ymm_reg) *c20, c21 = inout(ymm_reg) *c21,
            c30 = inout(ymm_reg) *c30, c31 = inout(ymm_reg) *c31,
            c40 = inout(ymm_reg) *c40, c41 = inout(ymm_reg) *c41,
            c50 = inout(ymm_reg) *c50, c51 = inout(ymm_reg) *c51,
            options(nostack, readonly),
        );
    }
}

/// 512-bit vectors.
#[derive(Clone, Copy)]
pub(in super::super) struct Avx512;

// SAFETY (all blocks below): as for `Avx2`; AVX-512F, AVX2 and FMA are available.
impl Simd for Avx512 {
    type V = __m512;
    const WIDTH: usize = 16;
    const MANY_REGISTERS: bool = true;
    const BLOCK: usize = 8;

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m512 {
        // SAFETY: see the impl.
        unsafe { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        // SAFETY: see the impl.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: __m512) {
        // SAFETY: see the impl.
        unsafe { _mm512_storeu_ps(to, value) }
    }
    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the impl.
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the impl.
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the impl.
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: see the impl.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn transpose(src: *const f32, src_stride: usize, dst: *mut f32, dst_stride: usize) {
        // SAFETY: see the impl: AVX2 is available too.
        unsafe { Avx2::transpose(src, src_stride, dst, dst_stride) }
    }
}
