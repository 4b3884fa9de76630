//! AVX-512, without and with bf16 dot products: sixteen lanes, thirty-two registers.

use std::arch::x86_64::*;

use super::{Kernel, Simd};

/// Exists only where [`super::Cpu`] found `avx512f`, `avx512bw`, `avx512dq` and `avx512vl`.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

/// Exists only where [`super::Cpu`] found what [`Avx512`] needs, and `avx512bf16`.
#[derive(Clone, Copy)]
pub(super) struct Avx512Bf16(());

impl Avx512 {
    /// # Safety
    /// The processor has `avx512f`, `avx512bw`, `avx512dq` and `avx512vl`.
    pub(super) unsafe fn assume() -> Self {
        Self(())
    }
}

impl Avx512Bf16 {
    /// # Safety
    /// The processor has `avx512f`, `avx512bw`, `avx512dq`, `avx512vl` and `avx512bf16`.
    pub(super) unsafe fn assume() -> Self {
        Self(())
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn compiled<K: Kernel>(simd: Avx512, kernel: K) -> K::Output {
    kernel.run(simd)
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
fn compiled_bf16<K: Kernel>(simd: Avx512Bf16, kernel: K) -> K::Output {
    kernel.run(simd)
}

/// Widens: what AVX-512 does for bf16 before it has instructions for it.
#[inline(always)]
unsafe fn widened_dot(sum: __m512, a: __m512i, b: __m512i) -> __m512 {
    // SAFETY: called with proof of AVX-512 only.
    unsafe {
        let low = |pairs| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(pairs));
        let high = |pairs| _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(0xffff_0000_u32.cast_signed())));
        _mm512_fmadd_ps(high(a), high(b), _mm512_fmadd_ps(low(a), low(b), sum))
    }
}

#[inline(always)]
unsafe fn narrowed(a: __m512) -> __m256i {
    // SAFETY: called with proof of AVX-512 only.
    unsafe {
        let bits = _mm512_castps_si512(a);
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
        _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded))
    }
}

#[inline(always)]
unsafe fn native_dot(sum: __m512, a: __m512i, b: __m512i) -> __m512 {
    // SAFETY: called with proof of AVX-512 bf16 only; the two types are the same 64 bytes.
    unsafe { _mm512_dpbf16_ps(sum, std::mem::transmute::<__m512i, __m512bh>(a), std::mem::transmute::<__m512i, __m512bh>(b)) }
}

#[inline(always)]
unsafe fn native_narrowed(a: __m512) -> __m256i {
    // SAFETY: called with proof of AVX-512 bf16 only; the two types are the same 32 bytes.
    unsafe { std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(a)) }
}

/// Methods that are one intrinsic each.
macro_rules! intrinsics {
    ($($name:ident($($argument:ident: $type:ty),*) -> $output:ty = $body:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($argument: $type),*) -> $output {
            // SAFETY: a value of this type is proof of the instructions; nothing else is asked.
            unsafe { $body }
        }
    )*};
}

/// The two differ in how they multiply and round bf16 alone.
macro_rules! avx512 {
    ($token:ty, $compiled:ident, $dot:ident, $narrowed:ident) => {
        impl Simd for $token {
            const LANES: usize = 16;
            const TILE_ROWS: usize = 12;
            type Vector = __m512;
            type Pairs = __m512i;

            #[inline(always)]
            fn enter<K: Kernel>(self, kernel: K) -> K::Output {
                // SAFETY: a value of this type is proof of the instructions.
                unsafe { $compiled(self, kernel) }
            }

            intrinsics! {
                splat(value: f32) -> __m512 = _mm512_set1_ps(value);
                add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
                sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
                mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
                div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps(a, b);
                max(a: __m512, b: __m512) -> __m512 = _mm512_max_ps(a, b);
                min(a: __m512, b: __m512) -> __m512 = _mm512_min_ps(a, b);
                mul_add(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
                round(a: __m512) -> __m512 = _mm512_roundscale_ps::<_MM_FROUND_TO_NEAREST_INT>(a);
                scale_by_power(a: __m512, n: __m512) -> __m512 = _mm512_scalef_ps(a, n);
                sum(a: __m512) -> f32 = _mm512_reduce_add_ps(a);
                largest(a: __m512) -> f32 = _mm512_reduce_max_ps(a);
                splat_pair(pair: u32) -> __m512i = _mm512_set1_epi32(pair.cast_signed());
                add_dot(sum: __m512, a: __m512i, b: __m512i) -> __m512 = $dot(sum, a, b);
            }

            #[inline(always)]
            unsafe fn load_at(self, from: *const f32) -> __m512 {
                // SAFETY: the caller's promise.
                unsafe { _mm512_loadu_ps(from) }
            }

            #[inline(always)]
            unsafe fn store_at(self, to: *mut f32, a: __m512) {
                // SAFETY: the caller's promise.
                unsafe { _mm512_storeu_ps(to, a) }
            }

            #[inline(always)]
            unsafe fn load_pairs_at(self, from: *const u32) -> __m512i {
                // SAFETY: the caller's promise.
                unsafe { _mm512_loadu_si512(from.cast()) }
            }

            #[inline(always)]
            unsafe fn store_bf16_at(self, to: *mut u16, a: __m512) {
                // SAFETY: the caller's promise.
                unsafe { _mm256_storeu_si256(to.cast(), $narrowed(a)) }
            }
        }
    };
}

avx512!(Avx512, compiled, widened_dot, narrowed);
avx512!(Avx512Bf16, compiled_bf16, native_dot, native_narrowed);
