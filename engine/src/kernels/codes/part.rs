//! Rows of a matrix in codes, rotated, and what they tell of a product with a query.
//!
//! A code is `16 · upper + lower`, of which the upper is within -7..=7 and the lower within -8..=7. Halves are kept apart, two in
//! a byte and raised by 8: in a block of 64 numbers byte `i` has number `i` in its lower bits and number `32 + i` in its upper ones.

use super::rotation::rotated;

/// Greatest code of a row: 16 · 7 + 7.
const ROW_MAX: f32 = 119.0;
/// Greatest code of a query for the upper halves, and for whole codes: 16 bits there, for the sum of thousands of products stays
/// below 2^31.
const QUERY_MAX: f32 = 127.0;
const FINE_QUERY_MAX: f32 = 8191.0;
/// Added to every bound for the rounding of its own arithmetic.
const ROUNDING: f32 = 1e-5;
/// Numbers of a block, and its bytes.
const BLOCK: usize = 64;
const BYTES: usize = BLOCK / 2;
/// What lower halves are in the mean: taken for nothing, they would lean to one side together.
const LOWER_MEAN: f32 = -0.5;
/// What a half is raised by.
const RAISED: i16 = 8;

/// Standard deviations that what codes leave out of a product is from 0 at most, but for one in 10^9.
const DEVIATIONS: f32 = 6.0;
/// So many rows share a call.
pub(super) const ROWS_AT_ONCE: usize = 64;

type Half = [u8; BYTES];
type FineProduct = fn(&[[i16; BLOCK]], &[Half], &[Half]) -> i32;
type CoarseProducts = fn(&[[i8; BLOCK]], &[Half], &mut [i32; ROWS_AT_ONCE]);

/// Rows that stay together. A row is filled up to whole blocks with zeros.
#[derive(Debug, Clone, Default)]
pub(super) struct Part {
    upper: Vec<Half>,
    lower: Vec<Half>,
    scales: Vec<f32>,
    /// Length of what the codes leave out of a row.
    errors: Vec<f32>,
    /// Length of what their upper halves leave out.
    upper_errors: Vec<f32>,
}

impl Part {
    pub(super) fn len(&self) -> usize {
        self.scales.len()
    }

    /// Appends a row of so many dimensions; what is missing is 0, what is beyond is left out.
    pub(super) fn push(&mut self, vector: &[f32], dimensions: usize) {
        let vector = rotated(vector, dimensions);
        let scale = greatest(&vector) / ROW_MAX;
        let (mut error, mut upper_error) = (0.0, 0.0);
        for block in 0..dimensions.div_ceil(BLOCK) {
            let (mut upper, mut lower) = ([0; BYTES], [0; BYTES]);
            for at in 0..BLOCK {
                let number = vector.get(block * BLOCK + at).copied().unwrap_or_default();
                let code = code(number, scale, ROW_MAX);
                let half = (code + RAISED) >> 4;
                error += left_out(number, f32::from(code), scale);
                upper_error += left_out(number, f32::from(half * 16) + LOWER_MEAN, scale);
                put(&mut upper, at, half);
                put(&mut lower, at, code - half * 16);
            }
            self.upper.push(upper);
            self.lower.push(lower);
        }
        self.scales.push(scale);
        self.errors.push(length(error));
        self.upper_errors.push(length(upper_error));
    }

    pub(super) fn followed_by(&self, other: &Self) -> Self {
        Self {
            upper: [self.upper.as_slice(), &other.upper].concat(),
            lower: [self.lower.as_slice(), &other.lower].concat(),
            scales: [self.scales.as_slice(), &other.scales].concat(),
            errors: [self.errors.as_slice(), &other.errors].concat(),
            upper_errors: [self.upper_errors.as_slice(), &other.upper_errors].concat(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        (self.upper.len() + self.lower.len()) * BYTES + 3 * self.len() * size_of::<f32>()
    }

    /// What the products with up to [`ROWS_AT_ONCE`] rows from this one on are at most, by the upper halves of their codes and all but
    /// certainly; of how many.
    pub(super) fn most(&self, query: &Query, first: usize, most: &mut [f32; ROWS_AT_ONCE]) -> usize {
        let blocks = query.coarse.len();
        let rows = first..self.len().min(first + ROWS_AT_ONCE);
        let upper = self.upper.get(rows.start * blocks..rows.end * blocks).unwrap_or_default();
        let mut products = [0; ROWS_AT_ONCE];
        (query.coarse_products)(&query.coarse, upper, &mut products);
        let (scales, errors) = (self.scales.get(rows.clone()), self.upper_errors.get(rows.clone()));
        let of_rows = scales.unwrap_or_default().iter().zip(errors.unwrap_or_default());
        for (most, (product, (scale, error))) in most.iter_mut().zip(products.iter().zip(of_rows)) {
            #[expect(clippy::cast_precision_loss, reason = "its rounding is within the bound")]
            let product = (product.wrapping_sub(query.raised) as f32 * 16.0 + query.lower_mean) * query.coarse_scale * scale;
            *most = product + (error * query.length + query.coarse_error * (1.0 + error)) * query.spread + ROUNDING;
        }
        rows.len()
    }

    /// Between which numbers the product with a row lies, all but certainly.
    pub(super) fn bounds(&self, query: &Query, row: usize) -> Option<(f32, f32)> {
        let blocks = row * query.fine.len()..(row + 1) * query.fine.len();
        let (upper, lower) = (self.upper.get(blocks.clone())?, self.lower.get(blocks)?);
        let (scale, error) = (self.scales.get(row)?, self.errors.get(row)?);
        let product = (query.fine_product)(&query.fine, upper, lower);
        #[expect(clippy::cast_precision_loss, reason = "its rounding is within the bound")]
        let product = product as f32 * query.fine_scale * scale;
        let around = (error * query.length + query.fine_error * (1.0 + error)) * query.spread + ROUNDING;
        Some((product - around, product + around))
    }

    /// Upper halves, lower halves, scales and both kinds of errors.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let numbers = self.scales.iter().chain(&self.errors).chain(&self.upper_errors);
        let mut bytes = Vec::with_capacity(self.bytes());
        bytes.extend_from_slice(self.upper.as_flattened());
        bytes.extend_from_slice(self.lower.as_flattened());
        bytes.extend(numbers.flat_map(|number| number.to_le_bytes()));
        bytes
    }

    /// What [`Self::to_bytes`] gave of so many rows, if it is that.
    pub(super) fn from_bytes(bytes: &[u8], rows: usize, dimensions: usize) -> Option<Self> {
        let blocks = rows.checked_mul(dimensions.div_ceil(BLOCK))?;
        let (halves, numbers) = bytes.split_at_checked(blocks.checked_mul(2 * BYTES)?)?;
        let (upper, lower) = halves.as_chunks().0.split_at_checked(blocks)?;
        let (numbers, []) = numbers.as_chunks::<4>() else { return None };
        if numbers.len() != rows.checked_mul(3)? {
            return None;
        }
        let mut numbers = numbers.iter().map(|number| f32::from_le_bytes(*number));
        Some(Self {
            upper: upper.to_vec(),
            lower: lower.to_vec(),
            scales: numbers.by_ref().take(rows).collect(),
            errors: numbers.by_ref().take(rows).collect(),
            upper_errors: numbers.collect(),
        })
    }
}

/// A query in codes, in blocks.
#[derive(Debug)]
pub(super) struct Query {
    coarse: Vec<[i8; BLOCK]>,
    coarse_scale: f32,
    /// What the lower halves add to a product in the mean.
    lower_mean: f32,
    coarse_error: f32,
    /// What raising the halves adds to a product.
    raised: i32,
    fine: Vec<[i16; BLOCK]>,
    fine_scale: f32,
    fine_error: f32,
    length: f32,
    /// [`DEVIATIONS`] of the product of two vectors of length 1 that point anywhere.
    spread: f32,
    coarse_products: CoarseProducts,
    fine_product: FineProduct,
}

impl Query {
    /// Of so many dimensions; what is missing is 0, what is beyond is left out.
    pub(super) fn new(vector: &[f32], dimensions: usize) -> Self {
        let vector = rotated(vector, dimensions);
        let (coarse_scale, fine_scale) = (greatest(&vector) / QUERY_MAX, greatest(&vector) / FINE_QUERY_MAX);
        let at = |block: usize, at: usize| vector.get(block * BLOCK + at).copied().unwrap_or_default();
        let blocks = 0..dimensions.div_ceil(BLOCK);
        #[expect(clippy::cast_possible_truncation, reason = "at most 127")]
        let coarse_code = |number: f32| code(number, coarse_scale, QUERY_MAX) as i8;
        let fine_code = |number: f32| code(number, fine_scale, FINE_QUERY_MAX);
        let coarse: Vec<[i8; BLOCK]> = blocks.clone().map(|block| std::array::from_fn(|i| coarse_code(at(block, i)))).collect();
        let fine = blocks.map(|block| std::array::from_fn(|i| fine_code(at(block, i)))).collect();
        let error =
            |code: &dyn Fn(f32) -> f32, scale: f32| length(vector.iter().map(|number| left_out(*number, code(*number), scale)).sum());
        Self {
            coarse_error: error(&|number| f32::from(coarse_code(number)), coarse_scale),
            fine_error: error(&|number| f32::from(fine_code(number)), fine_scale),
            length: length(vector.iter().map(|number| f64::from(*number).powi(2)).sum()),
            spread: (DEVIATIONS / (dimensions as f32).sqrt()).min(1.0),
            raised: coarse.as_flattened().iter().map(|code| i32::from(*code) * i32::from(RAISED)).sum(),
            lower_mean: LOWER_MEAN * coarse.as_flattened().iter().map(|code| f32::from(*code)).sum::<f32>(),
            coarse,
            coarse_scale,
            fine,
            fine_scale,
            coarse_products: coarse_products(),
            fine_product: fine_product(),
        }
    }
}

fn greatest(vector: &[f32]) -> f32 {
    vector.iter().fold(0.0, |greatest, number| number.abs().max(greatest))
}

/// The nearest code of a number, at most `max`.
fn code(number: f32, scale: f32, max: f32) -> i16 {
    let code = if scale > 0.0 { (number / scale).clamp(-max, max).round_ties_even() } else { 0.0 };
    #[expect(clippy::cast_possible_truncation, reason = "clamped to the range")]
    let code = code as i16;
    code
}

/// The square of what a code leaves out of a number.
fn left_out(number: f32, code: f32, scale: f32) -> f64 {
    (f64::from(number) - f64::from(code) * f64::from(scale)).powi(2)
}

/// Of a sum of squares, rounded up: it is a bound.
fn length(squares: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "rounded up")]
    let length = squares.sqrt() as f32;
    length.next_up()
}

fn put(half: &mut Half, at: usize, number: i16) {
    let raised = (number + RAISED).to_le_bytes()[0];
    half[at % BYTES] |= raised << (at / BYTES * 4);
}

fn get(half: &Half, at: usize) -> i16 {
    i16::from(half[at % BYTES] >> (at / BYTES * 4) & 15)
}

/// How the sum of the products with whole codes is computed here.
fn fine_product() -> FineProduct {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function is compiled for.
        return |query, upper, lower| unsafe { fine_product_avx2(query, upper, lower) };
    }
    fine_product_portable
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn fine_product_avx2(query: &[[i16; BLOCK]], upper: &[Half], lower: &[Half]) -> i32 {
    fine_product_portable(query, upper, lower)
}

#[inline(always)]
fn fine_product_portable(query: &[[i16; BLOCK]], upper: &[Half], lower: &[Half]) -> i32 {
    /// What a code is raised by where both of its halves are.
    const CODE_RAISED: u8 = 16 * 8 + 8;
    let mut sum = 0i32;
    for (query, (upper, lower)) in query.iter().zip(upper.iter().zip(lower)) {
        let mut codes = [0i8; BLOCK];
        let (first, second) = codes.split_at_mut(BYTES);
        for (code, (upper, lower)) in first.iter_mut().zip(upper.iter().zip(lower)) {
            *code = (upper << 4 | lower & 15).wrapping_sub(CODE_RAISED).cast_signed();
        }
        for (code, (upper, lower)) in second.iter_mut().zip(upper.iter().zip(lower)) {
            *code = (upper & 0xf0 | lower >> 4).wrapping_sub(CODE_RAISED).cast_signed();
        }
        let products = query.iter().zip(codes).map(|(a, b)| i32::from(*a) * i32::from(i16::from(b)));
        sum = sum.wrapping_add(products.sum());
    }
    sum
}

/// How the sums of the products with raised halves, row by row, are computed here.
fn coarse_products() -> CoarseProducts {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function is compiled for.
        return |query, halves, products| unsafe { coarse_products_avx2(query, halves, products) };
    }
    coarse_products_portable
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn coarse_products_avx2(query: &[[i8; BLOCK]], halves: &[Half], products: &mut [i32; ROWS_AT_ONCE]) {
    for (product, halves) in products.iter_mut().zip(halves.chunks_exact(query.len().max(1))) {
        *product = coarse_product_avx2(query, halves);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn coarse_product_avx2(query: &[[i8; BLOCK]], halves: &[Half]) -> i32 {
    use std::arch::x86_64::{
        __m256i, _mm_add_epi32, _mm_cvtsi128_si32, _mm_shuffle_epi32, _mm256_add_epi16, _mm256_add_epi32, _mm256_and_si256,
        _mm256_castsi256_si128, _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_set1_epi8,
        _mm256_set1_epi16, _mm256_setzero_si256, _mm256_srli_epi16,
    };
    // two products of a block are added in 16 bits: 4 · 15 · 127 < 2^15, and four blocks of them
    const AT_ONCE: usize = 4;
    let (low, ones) = (_mm256_set1_epi8(15), _mm256_set1_epi16(1));
    let mut sum = _mm256_setzero_si256();
    for (query, halves) in query.chunks(AT_ONCE).zip(halves.chunks(AT_ONCE)) {
        let mut some = _mm256_setzero_si256();
        for (query, half) in query.iter().zip(halves) {
            let (first, second) = query.split_at(BYTES);
            // SAFETY: each has 32 bytes, and no alignment is asked for.
            let (half, first, second) = unsafe {
                (
                    _mm256_loadu_si256(half.as_ptr().cast::<__m256i>()),
                    _mm256_loadu_si256(first.as_ptr().cast::<__m256i>()),
                    _mm256_loadu_si256(second.as_ptr().cast::<__m256i>()),
                )
            };
            let (lower, upper) = (_mm256_and_si256(half, low), _mm256_and_si256(_mm256_srli_epi16::<4>(half), low));
            let (lower, upper) = (_mm256_maddubs_epi16(lower, first), _mm256_maddubs_epi16(upper, second));
            some = _mm256_add_epi16(some, _mm256_add_epi16(lower, upper));
        }
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(some, ones));
    }
    let sum = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
    let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b01_00_11_10>(sum));
    _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32::<0b10_11_00_01>(sum)))
}

fn coarse_products_portable(query: &[[i8; BLOCK]], halves: &[Half], products: &mut [i32; ROWS_AT_ONCE]) {
    let block = |(query, half): (&[i8; BLOCK], &Half)| (0..BLOCK).map(|at| i32::from(query[at]) * i32::from(get(half, at))).sum::<i32>();
    for (product, halves) in products.iter_mut().zip(halves.chunks_exact(query.len().max(1))) {
        *product = query.iter().zip(halves).map(block).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_give_the_same_products() {
        let mut state = 9u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        let both = |query: &[[i8; BLOCK]], halves: &[Half]| {
            let (mut fast, mut portable) = ([0; ROWS_AT_ONCE], [0; ROWS_AT_ONCE]);
            coarse_products()(query, halves, &mut fast);
            coarse_products_portable(query, halves, &mut portable);
            assert_eq!(fast, portable);
            fast
        };
        for blocks in 1..20 {
            let query: Vec<[i8; BLOCK]> = (0..blocks).map(|_| std::array::from_fn(|_| next().cast_signed().max(-127))).collect();
            let halves: Vec<Half> = (0..3 * blocks).map(|_| std::array::from_fn(|_| next())).collect();
            assert_ne!(both(&query, &halves)[..3], [0; 3]);
        }
        assert_eq!(both(&[[127; BLOCK]; 16], &[[255; BYTES]; 16])[0], 16 * 64 * 127 * 15);
    }

    #[test]
    fn products_lie_within_their_bounds() {
        let dimensions = 70;
        let vector = |seed: usize| -> Vec<f32> {
            let raw: Vec<f32> = (0..dimensions).map(|at| ((at * 37 + seed * 101) % 97) as f32 - 48.0).collect();
            let length = raw.iter().map(|number| number * number).sum::<f32>().sqrt();
            raw.into_iter().map(|number| number / length).collect()
        };
        let mut part = Part::default();
        (0..40).for_each(|seed| part.push(&vector(seed), dimensions));
        let kept = Part::from_bytes(&part.to_bytes(), 40, dimensions).unwrap();
        for wanted in 0..40 {
            let query = Query::new(&vector(wanted), dimensions);
            let mut upper = [0.0; ROWS_AT_ONCE];
            assert_eq!(kept.most(&query, 0, &mut upper), 40);
            for row in 0..40 {
                let product: f32 = vector(row).iter().zip(vector(wanted)).map(|(a, b)| a * b).sum();
                let (least, most) = kept.bounds(&query, row).unwrap();
                assert!(least <= product && product <= most && most - least < 0.05, "{least} {product} {most}");
                let upper = upper[row];
                assert!(product <= upper && upper - product < 0.3, "{product} {upper}");
            }
        }
    }
}
