//! The vector abstraction of the kernels and its run-time selection.
//!
//! A kernel is written once, generic over [`Simd`], as a [`Kernel`]; [`Isa::run`] enters it through a function compiled
//! for the instruction set. Everything a kernel calls is `#[inline(always)]`, so that its body is compiled with the
//! features of that entry function.

use std::sync::OnceLock;

/// An instruction set the kernels can run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// Plain Rust on four-lane arrays; runs everywhere.
    Portable,
    /// Plain Rust with the vectors of AVX-512, for the tests.
    #[cfg(test)]
    Wide,
    /// 256-bit vectors with fused multiply-add (x86-64).
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 512-bit vectors (x86-64).
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// 128-bit vectors with fused multiply-add (aarch64).
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Isa {
    /// Every instruction set known for this architecture, slowest first.
    pub const ALL: &'static [Isa] = &[
        #[cfg(test)]
        Isa::Wide,
        Isa::Portable,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512,
        #[cfg(target_arch = "aarch64")]
        Isa::Neon,
    ];

    /// Whether the processor of this machine has the instruction set.
    pub fn available(self) -> bool {
        match self {
            Isa::Portable => true,
            #[cfg(test)]
            Isa::Wide => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
            }
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => std::arch::is_aarch64_feature_detected!("neon"),
        }
    }

    /// The fastest instruction set of this machine.
    pub fn best() -> Isa {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| Isa::ALL.iter().rev().copied().find(|isa| isa.available()).unwrap_or(Isa::Portable))
    }

    /// Lanes of f32 in one vector.
    pub(super) fn width(self) -> usize {
        match self {
            Isa::Portable => Portable::WIDTH,
            #[cfg(test)]
            Isa::Wide => Wide::WIDTH,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Avx2::WIDTH,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Avx512::WIDTH,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => Neon::WIDTH,
        }
    }

    /// Runs `kernel` with this instruction set.
    ///
    /// # Safety
    /// The kernel's own contract must hold. The instruction set must be available; the public entries check
    /// that once per call.
    #[inline]
    pub(super) unsafe fn run<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: the caller vouches for the kernel's contract and for the instruction set.
        unsafe {
            match self {
                Isa::Portable => kernel.run::<Portable>(),
                #[cfg(test)]
                Isa::Wide => kernel.run::<Wide>(),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => run_avx2(kernel),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => run_avx512(kernel),
                #[cfg(target_arch = "aarch64")]
                Isa::Neon => run_neon(kernel),
            }
        }
    }
}

/// Work that can be compiled for each instruction set.
pub(super) trait Kernel {
    type Output;
    /// Implementations must be `#[inline(always)]`.
    ///
    /// # Safety
    /// Each kernel states what its pointers must reach.
    unsafe fn run<S: Simd>(self) -> Self::Output;
}

/// # Safety
/// The processor has AVX2 and FMA, and the kernel's contract holds.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: passed on to the caller.
    unsafe { kernel.run::<Avx2>() }
}

/// # Safety
/// The processor has AVX-512F, AVX2 and FMA, and the kernel's contract holds.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: passed on to the caller.
    unsafe { kernel.run::<Avx512>() }
}

/// # Safety
/// The processor has NEON, and the kernel's contract holds.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
unsafe fn run_neon<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: passed on to the caller.
    unsafe { kernel.run::<Neon>() }
}

/// A vector of f32 of one instruction set.
///
/// # Safety
/// Every method needs the instruction set; the ones with pointers need `WIDTH` readable (writable) values, at any
/// alignment. `transpose` reads `BLOCK` rows of `BLOCK` values `src_stride` apart and writes the transposed block.
pub(super) trait Simd: Copy {
    type V: Copy;
    const WIDTH: usize;
    /// Whether there are 32 vector registers rather than 16, which decides the register tile.
    const MANY_REGISTERS: bool;
    /// Edge of the square block that [`Simd::transpose`] handles.
    const BLOCK: usize;
    unsafe fn splat(value: f32) -> Self::V;
    unsafe fn load(from: *const f32) -> Self::V;
    unsafe fn store(to: *mut f32, value: Self::V);
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// a * b + c
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    unsafe fn transpose(src: *const f32, src_stride: usize, dst: *mut f32, dst_stride: usize);

    /// Adds to `c` the sum over k < `depth` of a[i * a_row + k * a_depth] * b[k * b_depth ..], with `ROWS` x `VECTORS`
    /// of C in registers.
    ///
    /// # Safety
    /// As for the trait; every address named is readable, with `VECTORS` vectors at each of B.
    #[inline(always)]
    unsafe fn tile<const ROWS: usize, const VECTORS: usize>(
        depth: usize,
        a: *const f32,
        a_row: usize,
        a_depth: usize,
        b: *const f32,
        b_depth: usize,
        c: &mut [[Self::V; VECTORS]; ROWS],
    ) {
        // SAFETY: the caller's contract.
        unsafe { tile_generic::<Self, ROWS, VECTORS>(depth, a, a_row, a_depth, b, b_depth, c) }
    }

    #[inline(always)]
    unsafe fn zero() -> Self::V {
        // SAFETY: as for `splat`.
        unsafe { Self::splat(0.0) }
    }
}

/// [`Simd::tile`] as the compiler makes it.
///
/// # Safety
/// As for [`Simd::tile`].
#[inline(always)]
unsafe fn tile_generic<S: Simd, const ROWS: usize, const VECTORS: usize>(
    depth: usize,
    a: *const f32,
    a_row: usize,
    a_depth: usize,
    b: *const f32,
    b_depth: usize,
    c: &mut [[S::V; VECTORS]; ROWS],
) {
    let (mut a, mut b) = (a, b);
    // SAFETY: the caller's contract covers every address below.
    unsafe {
        for _ in 0..depth {
            let mut row_of_b = [S::zero(); VECTORS];
            for (j, vector) in row_of_b.iter_mut().enumerate() {
                *vector = S::load(b.wrapping_add(j * S::WIDTH));
            }
            for (i, row) in c.iter_mut().enumerate() {
                let value = S::splat(*a.wrapping_add(i.wrapping_mul(a_row)));
                for (j, sum) in row.iter_mut().enumerate() {
                    *sum = S::fma(value, row_of_b[j], *sum);
                }
            }
            a = a.wrapping_add(a_depth);
            b = b.wrapping_add(b_depth);
        }
    }
}

/// Arrays of `N` lanes in plain Rust. Multiply and add are rounded separately: without the hardware instruction a fused
/// operation is a slow library call.
#[derive(Clone, Copy)]
pub(super) struct Lanes<const N: usize>;

/// What runs everywhere.
pub(super) type Portable = Lanes<4>;
/// Takes the same turns as AVX-512, to test them on any processor.
#[cfg(test)]
pub(super) type Wide = Lanes<16>;

impl<const N: usize> Simd for Lanes<N> {
    type V = [f32; N];
    const WIDTH: usize = N;
    const MANY_REGISTERS: bool = N > 8;
    const BLOCK: usize = if N > 8 { 8 } else { 4 };

    #[inline(always)]
    unsafe fn splat(value: f32) -> [f32; N] {
        [value; N]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> [f32; N] {
        // SAFETY: the trait's contract: N readable values, any alignment.
        unsafe { from.cast::<[f32; N]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: [f32; N]) {
        // SAFETY: the trait's contract: N writable values, any alignment.
        unsafe { to.cast::<[f32; N]>().write_unaligned(value) }
    }
    #[inline(always)]
    unsafe fn add(a: [f32; N], b: [f32; N]) -> [f32; N] {
        std::array::from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn sub(a: [f32; N], b: [f32; N]) -> [f32; N] {
        std::array::from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    unsafe fn mul(a: [f32; N], b: [f32; N]) -> [f32; N] {
        std::array::from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    unsafe fn fma(a: [f32; N], b: [f32; N], c: [f32; N]) -> [f32; N] {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    unsafe fn transpose(src: *const f32, src_stride: usize, dst: *mut f32, dst_stride: usize) {
        for row in 0..Self::BLOCK {
            for column in 0..Self::BLOCK {
                // SAFETY: the trait's contract: a square block at both ends.
                unsafe {
                    *dst.wrapping_add(column * dst_stride + row) = *src.wrapping_add(row * src_stride + column);
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "aarch64")]
pub(super) use arm::Neon;

#[cfg(target_arch = "aarch64")]
mod arm;

/// Twelve chains of dependent multiply-adds, which fill the pipes of the processors known.
struct MultiplyAdds {
    rounds: usize,
}

impl Kernel for MultiplyAdds {
    type Output = f32;
    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> f32 {
        // SAFETY: only registers and the local array are touched.
        unsafe {
            // Chains that start alike would be computed once.
            let starts: [f32; 12] = std::hint::black_box(std::array::from_fn(|i| i as f32));
            let (factor, term) = (S::splat(std::hint::black_box(0.999_9)), S::splat(std::hint::black_box(1e-4)));
            let mut sums: [S::V; 12] = [S::splat(0.0); 12];
            for (sum, start) in sums.iter_mut().zip(starts) {
                *sum = S::splat(start);
            }
            for _ in 0..self.rounds {
                for sum in &mut sums {
                    *sum = S::fma(*sum, factor, term);
                }
            }
            let total = sums.into_iter().fold(S::splat(0.0), |a, b| S::add(a, b));
            let mut lanes = [0.0; 16];
            S::store(lanes.as_mut_ptr(), total);
            lanes.iter().sum()
        }
    }
}

/// Operations a second (a multiply-add is two) of `threads` threads that do nothing else: the most that a processor could do for
/// a convolution by direct summation.
pub fn multiply_add_rate(threads: usize) -> f64 {
    const ROUNDS: usize = 20_000_000;
    let isa = Isa::best();
    let start = std::time::Instant::now();
    let started = std::thread::scope(|scope| {
        let thread = || {
            // SAFETY: `best` is available, and the kernel has no pointers.
            std::hint::black_box(unsafe { isa.run(MultiplyAdds { rounds: ROUNDS }) });
        };
        let named = || std::thread::Builder::new().name("multiply-adds".to_owned());
        (0..threads).filter(|_| named().spawn_scoped(scope, thread).is_ok()).count()
    });
    (started * ROUNDS * 12 * isa.width() * 2) as f64 / start.elapsed().as_secs_f64()
}
