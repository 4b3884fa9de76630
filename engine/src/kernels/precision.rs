//! What numbers a model's weights are kept in. Sums, normalisation and softmax are f32 whatever it is.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// Of a generator's weights, and of its keys and values. Weights of quantised files stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    #[default]
    F32,
    /// Half the memory, and faster where the processor multiplies bf16.
    Bf16,
}

impl Precision {
    /// As configurations and receipts call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}

/// Of an embedder's weights, and of what products read. Vectors of different precisions are near each other, and not the
/// same: each has an identity of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum EmbedderPrecision {
    /// Cosine to f32 sentence-transformers above 0.9999.
    #[default]
    F32,
    /// Half the memory, and faster where the processor multiplies bf16; cosine above 0.9995.
    Bf16,
    /// A quarter of the memory, and faster still where the processor multiplies bytes (VNNI): every 32 weights and
    /// every 32 numbers of an input share a scale. Its cosine depends on the model: BENCHMARKS.md gives it.
    Int8,
}

impl EmbedderPrecision {
    pub const ALL: [Self; 3] = [Self::F32, Self::Bf16, Self::Int8];

    fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }

    /// What a model of this name and sha256 is called and known by: at f32 by these alone.
    pub(crate) fn identity(self, name: &str, weights_sha256: &str) -> (String, String) {
        match self {
            Self::F32 => (name.to_owned(), weights_sha256.to_owned()),
            Self::Bf16 | Self::Int8 => {
                let description = format!("embedder\nweights {weights_sha256}\nprecision {self}\n");
                (format!("{name}:{self}"), hex::encode(Sha256::digest(description)))
            }
        }
    }
}

impl fmt::Display for EmbedderPrecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EmbedderPrecision {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|precision| precision.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            format!("{name:?} is no precision; known: {known}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precisions_have_names() {
        for precision in EmbedderPrecision::ALL {
            assert_eq!(precision.to_string().parse(), Ok(precision));
        }
        assert!("f16".parse::<EmbedderPrecision>().expect_err("unknown").contains("f32, bf16, int8"));
    }

    /// They are in receipts: a change of any is a change of a format.
    #[test]
    fn identities_differ_and_stay() {
        let weights = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db";
        let identities = EmbedderPrecision::ALL.map(|precision| precision.identity("all-MiniLM-L6-v2", weights));
        let [f32, bf16, int8] = identities.each_ref().map(|(name, sha256)| (name.as_str(), sha256.as_str()));
        assert_eq!(f32, ("all-MiniLM-L6-v2", weights));
        assert_eq!(bf16, ("all-MiniLM-L6-v2:bf16", "905155e771cfb0247045750b1e0856bdb4926a052836e5e633adb9054e7aa0a0"));
        assert_eq!(int8, ("all-MiniLM-L6-v2:int8", "9a793f25184520c1e306a462a05d0c5b3944828784ae22afb3a3831a56371db1"));
    }
}
