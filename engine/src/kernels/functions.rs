//! Functions of one vector: exponential, error function, activations.

use super::Simd;

/// What stands between the two products of a feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    /// `x · Φ(x)`, by the error function.
    Gelu,
    /// Its approximation by `tanh`.
    GeluTanh,
    Relu,
    /// `x · sigmoid(x)`
    Silu,
}

#[inline(always)]
pub(super) fn activate<S: Simd>(simd: S, activation: Activation, x: S::Vector) -> S::Vector {
    match activation {
        Activation::Gelu => gelu(simd, x),
        Activation::GeluTanh => gelu_tanh(simd, x),
        Activation::Relu => simd.max(x, simd.splat(0.0)),
        Activation::Silu => silu(simd, x),
    }
}

#[inline(always)]
pub(super) fn gelu<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let half = simd.mul(x, simd.splat(0.5));
    let erf = erf(simd, simd.mul(x, simd.splat(std::f32::consts::FRAC_1_SQRT_2)));
    simd.mul_add(half, erf, half)
}

/// `0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³)))`, which is `x · sigmoid(2 √(2/π) (…))`.
#[inline(always)]
fn gelu_tanh<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    const TWICE_ROOT: f32 = std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::SQRT_2;
    let cubic = simd.mul_add(simd.mul(simd.mul(x, x), simd.splat(0.044_715)), x, x);
    simd.mul(x, sigmoid(simd, simd.mul(cubic, simd.splat(TWICE_ROOT))))
}

#[inline(always)]
fn silu<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    simd.mul(x, sigmoid(simd, x))
}

#[inline(always)]
fn sigmoid<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let one = simd.splat(1.0);
    let negated = simd.sub(simd.splat(0.0), x);
    simd.div(one, simd.add(one, exp(simd, negated)))
}

/// Within 3e-7 of tanh: `1 - 2 / (1 + e^2x)`.
#[inline(always)]
pub(super) fn tanh<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let (one, two) = (simd.splat(1.0), simd.splat(2.0));
    simd.sub(one, simd.div(two, simd.add(one, exp(simd, simd.mul(two, x)))))
}

/// `c[0] x^n + … + c[n]`
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, x: S::Vector, coefficients: [f32; N]) -> S::Vector {
    let mut sum = simd.splat(coefficients[0]);
    for coefficient in &coefficients[1..] {
        sum = simd.mul_add(sum, x, simd.splat(*coefficient));
    }
    sum
}

/// Within 4e-7 of erf: the rational minimax of Eigen and XLA, `x P(x²) / Q(x²)` on [-4, 4], ±1 beyond in f32.
#[inline(always)]
pub(super) fn erf<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    const P: [f32; 7] = [-2.726_142_4e-10, 2.770_681_4e-8, -2.101_024e-6, -5.692_506_5e-5, -7.349_906_3e-4, -2.954_6e-3, -1.609_603_3e-2];
    const Q: [f32; 5] = [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_474e-2];
    let x = simd.max(simd.min(x, simd.splat(4.0)), simd.splat(-4.0));
    let square = simd.mul(x, x);
    simd.div(simd.mul(x, polynomial(simd, square, P)), polynomial(simd, square, Q))
}

/// `e^x` within 2e-7 of its value for `x` in [-87, 88], and what it is at these ends beyond them (Cephes' `expf`).
#[inline(always)]
pub(super) fn exp<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    const TAYLOR_LIKE: [f32; 6] = [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
    let x = simd.max(simd.min(x, simd.splat(88.0)), simd.splat(-87.0));
    let n = simd.round(simd.mul(x, simd.splat(std::f32::consts::LOG2_E)));
    // ln 2 in two parts, the first exact in few bits: n times it loses nothing.
    let rest = simd.mul_add(n, simd.splat(-0.693_359_4), x);
    let rest = simd.mul_add(n, simd.splat(2.121_944_4e-4), rest);
    let tail = simd.mul(rest, rest);
    let curve = simd.mul_add(polynomial(simd, rest, TAYLOR_LIKE), tail, simd.add(rest, simd.splat(1.0)));
    simd.scale_by_power(curve, n)
}
