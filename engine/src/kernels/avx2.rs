//! AVX2 with FMA, without and with dot products of bytes: eight lanes, sixteen registers. It has no bf16 arithmetic: pairs are
//! widened in each product. Where both sides of it need not be bf16, [`super::Widened`] costs half as much.

use std::arch::x86_64::*;

use super::simd::{native_signed_start, no_start};
use super::{Kernel, Simd};

/// Exists only where [`super::Cpu`] found `avx2`, `fma` and `f16c`.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

/// Exists only where [`super::Cpu`] found what [`Avx2`] needs, and `avxvnni`.
#[derive(Clone, Copy)]
pub(super) struct Avx2Vnni(());

impl Avx2 {
    /// # Safety
    /// The processor has `avx2`, `fma` and `f16c`.
    pub(super) unsafe fn assume() -> Self {
        Self(())
    }
}

impl Avx2Vnni {
    /// # Safety
    /// The processor has `avx2`, `fma`, `f16c` and `avxvnni`.
    pub(super) unsafe fn assume() -> Self {
        Self(())
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn compiled<K: Kernel>(simd: Avx2, kernel: K) -> K::Output {
    kernel.run(simd)
}

#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
fn compiled_vnni<K: Kernel>(simd: Avx2Vnni, kernel: K) -> K::Output {
    kernel.run(simd)
}

#[inline(always)]
unsafe fn low_halves(pairs: __m256i) -> __m256 {
    // SAFETY: called with proof of AVX2 only.
    unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(pairs)) }
}

#[inline(always)]
unsafe fn high_halves(pairs: __m256i) -> __m256 {
    // SAFETY: called with proof of AVX2 only.
    unsafe { _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(0xffff_0000_u32.cast_signed()))) }
}

#[inline(always)]
unsafe fn horizontal_sum(a: __m256) -> f32 {
    // SAFETY: called with proof of AVX2 only.
    unsafe {
        let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
    }
}

#[inline(always)]
unsafe fn horizontal_max(a: __m256) -> f32 {
    // SAFETY: called with proof of AVX2 only.
    unsafe {
        let four = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
        let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps::<1>(two, two)))
    }
}

/// Two products of 127 · 127 fit 16 bits.
#[inline(always)]
unsafe fn byte_dot(sum: __m256i, weights: __m256i, inputs: __m256i) -> __m256i {
    // SAFETY: called with proof of AVX2 only.
    unsafe { _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(weights, inputs), _mm256_set1_epi16(1))) }
}

/// Signs move to the inputs, so that two products, of 128 · 127 at most, fit 16 bits.
#[inline(always)]
unsafe fn signed_dot(sum: __m256i, weights: __m256i, inputs: __m256i) -> __m256i {
    // SAFETY: called with proof of AVX2 only.
    unsafe {
        let signed = _mm256_xor_si256(weights, _mm256_set1_epi8(-128));
        byte_dot(sum, _mm256_abs_epi8(signed), _mm256_sign_epi8(inputs, signed))
    }
}

/// Signs move from weights, of which none is -128, to the inputs.
#[inline(always)]
unsafe fn input_dot(sum: __m256i, inputs: __m256i, weights: __m256i) -> __m256i {
    // SAFETY: called with proof of AVX2 only.
    unsafe { byte_dot(sum, _mm256_abs_epi8(weights), _mm256_sign_epi8(inputs, weights)) }
}

#[inline(always)]
unsafe fn native_byte_dot(sum: __m256i, weights: __m256i, inputs: __m256i) -> __m256i {
    // SAFETY: called with proof of VNNI only.
    unsafe { _mm256_dpbusd_avx_epi32(sum, weights, inputs) }
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

/// The two differ in how they multiply bytes.
macro_rules! avx2 {
    ($token:ty, $compiled:ident, bytes: ($byte_dot:ident, $signed_dot:ident, $start:ident, $signed_rows:literal),
     inputs: ($input_dot:ident, $input_zero:literal)) => {
        impl Simd for $token {
            const LANES: usize = 8;
            const TILE_ROWS: usize = 6;
            type Vector = __m256;
            type Pairs = __m256i;
            type Integers = __m256i;
            // The float sums are in memory meanwhile: they are needed once for 32 numbers.
            const BYTE_TILE_ROWS: usize = 4;
            const SIGNED_TILE_ROWS: usize = $signed_rows;
            const INPUT_ZERO: u8 = $input_zero;

            #[inline(always)]
            fn enter<K: Kernel>(self, kernel: K) -> K::Output {
                // SAFETY: a value of this type is proof of the instructions.
                unsafe { $compiled(self, kernel) }
            }

            intrinsics! {
                splat(value: f32) -> __m256 = _mm256_set1_ps(value);
                add(a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, b);
                sub(a: __m256, b: __m256) -> __m256 = _mm256_sub_ps(a, b);
                mul(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps(a, b);
                div(a: __m256, b: __m256) -> __m256 = _mm256_div_ps(a, b);
                max(a: __m256, b: __m256) -> __m256 = _mm256_max_ps(a, b);
                min(a: __m256, b: __m256) -> __m256 = _mm256_min_ps(a, b);
                mul_add(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
                round(a: __m256) -> __m256 = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a);
                scale_by_power(a: __m256, n: __m256) -> __m256 = {
                    let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
                    _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent)))
                };
                sum(a: __m256) -> f32 = horizontal_sum(a);
                largest(a: __m256) -> f32 = horizontal_max(a);
                splat_pair(pair: u32) -> __m256i = _mm256_set1_epi32(pair.cast_signed());
                add_dot(sum: __m256, a: __m256i, b: __m256i) -> __m256 =
                    _mm256_fmadd_ps(high_halves(a), high_halves(b), _mm256_fmadd_ps(low_halves(a), low_halves(b), sum));
                splat_integer(value: u32) -> __m256i = _mm256_set1_epi32(value.cast_signed());
                and(a: __m256i, b: __m256i) -> __m256i = _mm256_and_si256(a, b);
                or(a: __m256i, b: __m256i) -> __m256i = _mm256_or_si256(a, b);
                shift_left(a: __m256i, bits: u32) -> __m256i = _mm256_sll_epi32(a, _mm_cvtsi32_si128(bits.cast_signed()));
                shift_right(a: __m256i, bits: u32) -> __m256i = _mm256_srl_epi32(a, _mm_cvtsi32_si128(bits.cast_signed()));
                to_vector(a: __m256i) -> __m256 = _mm256_cvtepi32_ps(a);
                low(pairs: __m256i) -> __m256 = low_halves(pairs);
                high(pairs: __m256i) -> __m256 = high_halves(pairs);
                add_byte_dot(sum: __m256i, weights: __m256i, inputs: __m256i) -> __m256i = $byte_dot(sum, weights, inputs);
                add_signed_dot(sum: __m256i, weights: __m256i, inputs: __m256i) -> __m256i = $signed_dot(sum, weights, inputs);
                signed_start(input_sum: i32) -> __m256i = _mm256_set1_epi32($start(input_sum));
                add_input_dot(sum: __m256i, inputs: __m256i, weights: __m256i) -> __m256i = $input_dot(sum, inputs, weights);
            }

            #[inline(always)]
            unsafe fn load_at(self, from: *const f32) -> __m256 {
                // SAFETY: the caller's promise.
                unsafe { _mm256_loadu_ps(from) }
            }

            #[inline(always)]
            unsafe fn store_at(self, to: *mut f32, a: __m256) {
                // SAFETY: the caller's promise.
                unsafe { _mm256_storeu_ps(to, a) }
            }

            #[inline(always)]
            unsafe fn load_pairs_at(self, from: *const u32) -> __m256i {
                // SAFETY: the caller's promise.
                unsafe { _mm256_loadu_si256(from.cast()) }
            }

            #[inline(always)]
            unsafe fn load_integers_at(self, from: *const u32) -> __m256i {
                // SAFETY: the caller's promise.
                unsafe { _mm256_loadu_si256(from.cast()) }
            }

            #[inline(always)]
            unsafe fn load_halves_at(self, from: *const u16) -> __m256 {
                // SAFETY: the caller's promise.
                unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
            }

            #[inline(always)]
            unsafe fn store_bytes_at(self, to: *mut u8, a: __m256) {
                // SAFETY: the caller's promise.
                unsafe {
                    let whole = _mm256_cvtps_epi32(a);
                    let halves = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256::<1>(whole));
                    let bytes = _mm_packs_epi16(halves, halves);
                    _mm_storel_epi64(to.cast(), _mm_add_epi8(bytes, _mm_set1_epi8(<$token as Simd>::INPUT_ZERO.cast_signed())));
                }
            }

            #[inline(always)]
            unsafe fn store_bf16_at(self, to: *mut u16, a: __m256) {
                // SAFETY: the caller's promise.
                unsafe {
                    let bits = _mm256_castps_si256(a);
                    let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
                    let rounded = _mm256_srli_epi32::<16>(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))));
                    let halves = _mm_packus_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256::<1>(rounded));
                    _mm_storeu_si128(to.cast(), halves);
                }
            }
        }
    };
}

avx2!(Avx2, compiled, bytes: (byte_dot, signed_dot, no_start, 2), inputs: (input_dot, 0));
avx2!(Avx2Vnni, compiled_vnni, bytes: (native_byte_dot, native_byte_dot, native_signed_start, 4), inputs: (native_byte_dot, 128));
