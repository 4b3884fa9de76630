//! AVX-512, without and with dot products of bytes and of bf16: sixteen lanes, thirty-two registers.

use std::arch::x86_64::*;

use super::simd::{native_signed_start, no_start};
use super::{Kernel, Simd};

/// Exists only where [`super::Cpu`] found `avx512f`, `avx512bw`, `avx512dq` and `avx512vl`.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

/// Exists only where [`super::Cpu`] found what [`Avx512`] needs, and `avx512vnni`.
#[derive(Clone, Copy)]
pub(super) struct Avx512Vnni(());

/// Exists only where [`super::Cpu`] found what [`Avx512Vnni`] needs, and `avx512bf16`.
#[derive(Clone, Copy)]
pub(super) struct Avx512Bf16(());

impl Avx512 {
    /// # Safety
    /// The processor has `avx512f`, `avx512bw`, `avx512dq` and `avx512vl`.
    pub(super) unsafe fn assume() -> Self {
        Self(())
    }
}

impl Avx512Vnni {
    /// # Safety
    /// The processor has `avx512f`, `avx512bw`, `avx512dq`, `avx512vl` and `avx512vnni`.
    pub(super) unsafe fn assume() -> Self {
        Self(())
    }
}

impl Avx512Bf16 {
    /// # Safety
    /// The processor has `avx512f`, `avx512bw`, `avx512dq`, `avx512vl`, `avx512vnni` and `avx512bf16`.
    pub(super) unsafe fn assume() -> Self {
        Self(())
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn compiled<K: Kernel>(simd: Avx512, kernel: K) -> K::Output {
    kernel.run(simd)
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
fn compiled_vnni<K: Kernel>(simd: Avx512Vnni, kernel: K) -> K::Output {
    kernel.run(simd)
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma")]
fn compiled_bf16<K: Kernel>(simd: Avx512Bf16, kernel: K) -> K::Output {
    kernel.run(simd)
}

#[inline(always)]
unsafe fn low_halves(pairs: __m512i) -> __m512 {
    // SAFETY: called with proof of AVX-512 only.
    unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(pairs)) }
}

#[inline(always)]
unsafe fn high_halves(pairs: __m512i) -> __m512 {
    // SAFETY: called with proof of AVX-512 only.
    unsafe { _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(0xffff_0000_u32.cast_signed()))) }
}

/// Widens: what AVX-512 does for bf16 before it has instructions for it.
#[inline(always)]
unsafe fn widened_dot(sum: __m512, a: __m512i, b: __m512i) -> __m512 {
    // SAFETY: called with proof of AVX-512 only.
    unsafe { _mm512_fmadd_ps(high_halves(a), high_halves(b), _mm512_fmadd_ps(low_halves(a), low_halves(b), sum)) }
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

/// Bytes by bytes without an instruction for it: two products of 127 · 127 fit 16 bits.
#[inline(always)]
unsafe fn widened_byte_dot(sum: __m512i, weights: __m512i, inputs: __m512i) -> __m512i {
    // SAFETY: called with proof of AVX-512 only.
    unsafe { _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_maddubs_epi16(weights, inputs), _mm512_set1_epi16(1))) }
}

/// Signs move to the inputs, so that two products, of 128 · 127 at most, fit 16 bits.
#[inline(always)]
unsafe fn widened_signed_dot(sum: __m512i, weights: __m512i, inputs: __m512i) -> __m512i {
    // SAFETY: called with proof of AVX-512 only.
    unsafe {
        let signed = _mm512_xor_si512(weights, _mm512_set1_epi8(-128));
        let inputs = _mm512_mask_sub_epi8(inputs, _mm512_movepi8_mask(signed), _mm512_setzero_si512(), inputs);
        widened_byte_dot(sum, _mm512_abs_epi8(signed), inputs)
    }
}

#[inline(always)]
unsafe fn native_byte_dot(sum: __m512i, weights: __m512i, inputs: __m512i) -> __m512i {
    // SAFETY: called with proof of VNNI only.
    unsafe { _mm512_dpbusd_epi32(sum, weights, inputs) }
}

/// Signs move from weights, of which none is -128, to the inputs.
#[inline(always)]
unsafe fn widened_input_dot(sum: __m512i, inputs: __m512i, weights: __m512i) -> __m512i {
    // SAFETY: called with proof of AVX-512 only.
    unsafe {
        let inputs = _mm512_mask_sub_epi8(inputs, _mm512_movepi8_mask(weights), _mm512_setzero_si512(), inputs);
        widened_byte_dot(sum, _mm512_abs_epi8(weights), inputs)
    }
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

/// The three differ in how they multiply bytes, and multiply and round bf16.
macro_rules! avx512 {
    ($token:ty, $compiled:ident, bf16: ($dot:ident, $narrowed:ident), bytes: ($byte_dot:ident, $signed_dot:ident, $start:ident),
     inputs: ($input_dot:ident, $input_zero:literal)) => {
        impl Simd for $token {
            const LANES: usize = 16;
            const TILE_ROWS: usize = 12;
            type Vector = __m512;
            type Pairs = __m512i;
            type Integers = __m512i;
            const BYTE_TILE_ROWS: usize = 8;
            const SIGNED_TILE_ROWS: usize = 8;
            const INPUT_ZERO: u8 = $input_zero;

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
                low(pairs: __m512i) -> __m512 = low_halves(pairs);
                high(pairs: __m512i) -> __m512 = high_halves(pairs);
                splat_integer(value: u32) -> __m512i = _mm512_set1_epi32(value.cast_signed());
                and(a: __m512i, b: __m512i) -> __m512i = _mm512_and_si512(a, b);
                or(a: __m512i, b: __m512i) -> __m512i = _mm512_or_si512(a, b);
                shift_left(a: __m512i, bits: u32) -> __m512i = _mm512_sll_epi32(a, _mm_cvtsi32_si128(bits.cast_signed()));
                shift_right(a: __m512i, bits: u32) -> __m512i = _mm512_srl_epi32(a, _mm_cvtsi32_si128(bits.cast_signed()));
                to_vector(a: __m512i) -> __m512 = _mm512_cvtepi32_ps(a);
                add_byte_dot(sum: __m512i, weights: __m512i, inputs: __m512i) -> __m512i = $byte_dot(sum, weights, inputs);
                add_signed_dot(sum: __m512i, weights: __m512i, inputs: __m512i) -> __m512i = $signed_dot(sum, weights, inputs);
                signed_start(input_sum: i32) -> __m512i = _mm512_set1_epi32($start(input_sum));
                add_input_dot(sum: __m512i, inputs: __m512i, weights: __m512i) -> __m512i = $input_dot(sum, inputs, weights);
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
            unsafe fn load_integers_at(self, from: *const u32) -> __m512i {
                // SAFETY: the caller's promise.
                unsafe { _mm512_loadu_si512(from.cast()) }
            }

            #[inline(always)]
            unsafe fn load_halves_at(self, from: *const u16) -> __m512 {
                // SAFETY: the caller's promise.
                unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
            }

            #[inline(always)]
            unsafe fn store_bytes_at(self, to: *mut u8, a: __m512) {
                // SAFETY: the caller's promise.
                unsafe {
                    let bytes = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a));
                    _mm_storeu_si128(to.cast(), _mm_add_epi8(bytes, _mm_set1_epi8(<$token as Simd>::INPUT_ZERO.cast_signed())));
                }
            }

            #[inline(always)]
            unsafe fn store_bf16_at(self, to: *mut u16, a: __m512) {
                // SAFETY: the caller's promise.
                unsafe { _mm256_storeu_si256(to.cast(), $narrowed(a)) }
            }
        }
    };
}

avx512!(
    Avx512, compiled,
    bf16: (widened_dot, narrowed), bytes: (widened_byte_dot, widened_signed_dot, no_start), inputs: (widened_input_dot, 0)
);
avx512!(
    Avx512Vnni, compiled_vnni,
    bf16: (widened_dot, narrowed), bytes: (native_byte_dot, native_byte_dot, native_signed_start), inputs: (native_byte_dot, 128)
);
avx512!(
    Avx512Bf16, compiled_bf16,
    bf16: (native_dot, native_narrowed), bytes: (native_byte_dot, native_byte_dot, native_signed_start), inputs: (native_byte_dot, 128)
);
