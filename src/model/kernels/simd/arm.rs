//! NEON vectors.

use super::Simd;
use std::arch::aarch64::*;

/// 128-bit vectors.
#[derive(Clone, Copy)]
pub(in super::super) struct Neon;

// SAFETY (all blocks below): NEON is part of every aarch64 target the kernels select it for, and the pointers reach
// what the trait's contract says; the intrinsics tolerate any alignment.
#[allow(unused_unsafe)]
impl Simd for Neon {
    type V = float32x4_t;
    const WIDTH: usize = 4;
    const MANY_REGISTERS: bool = true;
    const BLOCK: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> float32x4_t {
        // SAFETY: see the impl.
        unsafe { vdupq_n_f32(value) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> float32x4_t {
        // SAFETY: see the impl.
        unsafe { vld1q_f32(from) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: float32x4_t) {
        // SAFETY: see the impl.
        unsafe { vst1q_f32(to, value) }
    }
    #[inline(always)]
    unsafe fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: see the impl.
        unsafe { vaddq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: see the impl.
        unsafe { vsubq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: see the impl.
        unsafe { vmulq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        // SAFETY: see the impl.
        unsafe { vfmaq_f32(c, a, b) }
    }
    #[inline(always)]
    unsafe fn transpose(src: *const f32, src_stride: usize, dst: *mut f32, dst_stride: usize) {
        // SAFETY: see the impl: a 4 x 4 block at both ends.
        unsafe {
            macro_rules! r {
                ($i:expr) => {
                    vld1q_f32(src.wrapping_add($i * src_stride))
                };
            }
            let (r0, r1, r2, r3) = (r!(0), r!(1), r!(2), r!(3));
            let (a0, a1) = (vtrn1q_f32(r0, r1), vtrn2q_f32(r0, r1));
            let (a2, a3) = (vtrn1q_f32(r2, r3), vtrn2q_f32(r2, r3));
            macro_rules! low {
                ($x:expr, $y:expr) => {
                    vcombine_f32(vget_low_f32($x), vget_low_f32($y))
                };
            }
            macro_rules! high {
                ($x:expr, $y:expr) => {
                    vcombine_f32(vget_high_f32($x), vget_high_f32($y))
                };
            }
            macro_rules! w {
                ($i:expr, $v:expr) => {
                    vst1q_f32(dst.wrapping_add($i * dst_stride), $v)
                };
            }
            w!(0, low!(a0, a2));
            w!(1, low!(a1, a3));
            w!(2, high!(a0, a2));
            w!(3, high!(a1, a3));
        }
    }
}
