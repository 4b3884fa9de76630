//! ggml's numbers of the encodings.

use crate::kernels::TensorKind;

/// Those that are not read.
const OTHERS: &[(u32, &str)] = &[
    (9, "Q8_1"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
];

/// # Errors
/// The name of an encoding that is not read.
pub(super) fn kind(number: u32) -> Result<TensorKind, String> {
    Ok(match number {
        0 => TensorKind::F32,
        1 => TensorKind::F16,
        2 => TensorKind::Q4_0,
        3 => TensorKind::Q4_1,
        6 => TensorKind::Q5_0,
        7 => TensorKind::Q5_1,
        8 => TensorKind::Q8_0,
        10 => TensorKind::Q2K,
        11 => TensorKind::Q3K,
        12 => TensorKind::Q4K,
        13 => TensorKind::Q5K,
        14 => TensorKind::Q6K,
        30 => TensorKind::Bf16,
        other => {
            let name = OTHERS.iter().find(|(number, _)| *number == other).map(|(_, name)| (*name).to_owned());
            return Err(name.unwrap_or_else(|| format!("number {other}")));
        }
    })
}
