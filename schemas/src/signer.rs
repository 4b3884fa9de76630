//! Making signatures: the seam, and the one that holds a key in memory.

use alloy_primitives::{Address, B256, Signature};
use k256::ecdsa::SigningKey;
/// Overwritten with zeros when dropped.
pub use k256::elliptic_curve::zeroize::Zeroizing;

use crate::SchemaError;

/// Someone who can sign a 32-byte digest as an Ethereum account.
pub trait Signer: Send + Sync + std::fmt::Debug {
    fn address(&self) -> Address;
    /// 65-byte signature over `digest` (`0x` hexadecimal; r, s, v with v = 27 or 28; low s).
    fn sign_digest(&self, digest: B256) -> Result<String, SchemaError>;
}

/// A secp256k1 key in memory, overwritten when dropped. `Debug` shows the address only.
#[derive(Clone)]
pub struct KeySigner {
    key: SigningKey,
    address: Address,
}

impl KeySigner {
    /// # Errors
    /// [`SchemaError::BadSignature`] for zero or a number beyond the curve's order.
    pub fn from_bytes(secret: &B256) -> Result<Self, SchemaError> {
        Self::from_secret(&Zeroizing::new(secret.to_vec()))
    }

    /// A key from bytes that a file or a keystore gave.
    ///
    /// # Errors
    /// [`SchemaError::BadSignature`] when they are not 32, or not a key. The error does not repeat them.
    pub fn from_secret(secret: &Zeroizing<Vec<u8>>) -> Result<Self, SchemaError> {
        let bytes: &[u8; 32] = secret.as_slice().try_into().map_err(|_| SchemaError::BadSignature("a private key has 32 bytes".into()))?;
        let key = SigningKey::from_slice(bytes).map_err(|_| SchemaError::BadSignature("not a valid secp256k1 private key".into()))?;
        let address = Address::from_private_key(&key);
        Ok(Self { key, address })
    }

    /// The secret, to be kept in a file.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.key.to_bytes().into())
    }
}

impl Signer for KeySigner {
    fn address(&self) -> Address {
        self.address
    }

    fn sign_digest(&self, digest: B256) -> Result<String, SchemaError> {
        let (signature, recovery) =
            self.key.sign_prehash_recoverable(digest.as_slice()).map_err(|error| SchemaError::BadSignature(error.to_string()))?;
        let signature = Signature::from_signature_and_parity(signature, recovery.is_y_odd());
        Ok(format!("0x{}", hex::encode(signature.as_bytes())))
    }
}

impl std::fmt::Debug for KeySigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeySigner({})", self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signed::{SigningDomain, answer_receipt, check_signature};

    #[test]
    fn signatures_are_checked() {
        let signer = KeySigner::from_bytes(&B256::repeat_byte(7)).unwrap();
        let other = KeySigner::from_bytes(&B256::repeat_byte(8)).unwrap();
        let domain = SigningDomain { chain_id: 1, registry: Address::repeat_byte(1) };
        let message = answer_receipt(B256::repeat_byte(3).into(), B256::ZERO);
        let digest = domain.digest(&message);
        let signature = signer.sign_digest(digest).unwrap();
        check_signature(digest, &signature, signer.address()).unwrap();
        assert!(check_signature(digest, &signature, other.address()).is_err());
        let elsewhere = SigningDomain { chain_id: 2, ..domain }.digest(&message);
        assert!(check_signature(elsewhere, &signature, signer.address()).is_err());
        // What contracts refuse, or other readers of the same text would: it is refused here as well.
        let (digits, body) = (&signature[2..], &signature[..signature.len() - 2]);
        let v = u8::from_str_radix(&signature[signature.len() - 2..], 16).unwrap();
        let other_v = [v - 27, v + 8].map(|v| format!("{body}{v:02x}"));
        for malformed in ["", "0x", "0x00", "0xé", body, digits, &format!("0X{digits}"), &other_v[0], &other_v[1]] {
            assert!(check_signature(digest, malformed, signer.address()).is_err(), "{malformed}");
        }
        assert!(KeySigner::from_bytes(&B256::ZERO).is_err());
        assert!(!format!("{signer:?} {:?}", Some(&signer)).contains("0707"));
        assert_eq!(*signer.to_bytes(), [7; 32]);
        for length in [0, 31, 33] {
            let error = KeySigner::from_secret(&Zeroizing::new(vec![7; length])).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("0707") && !format!("{error:?}").contains("7, 7"), "{error}");
        }
    }
}
