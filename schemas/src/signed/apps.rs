//! What a payer signs about its apps. An app's key is made by who will hold it and never shown to the service before it is
//! used: the payer signs its sha256. So none of these messages, whoever has seen it, lets anybody spend.

use alloy_primitives::{Address, B256};
use alloy_sol_types::sol;
use serde::{Deserialize, Serialize};

use super::{SigningDomain, check_signature};
use crate::ids::Sha256;
use crate::signer::Signer;
use crate::{SchemaError, hashing};

mod messages {
    use super::sol;

    sol! {
        struct AppAuthorisation {
            address payer;
            bytes32 keyHash;
            string name;
            uint64 deadline;
        }

        struct AppRevocation {
            address payer;
            string keyId;
        }

        struct AppListing {
            address payer;
            uint64 deadline;
        }
    }
}

/// "Answers asked with this key are mine to pay."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppAuthorisation {
    pub payer: Address,
    /// sha256 of the key's text.
    pub key_hash: Sha256,
    pub name: String,
    /// Unix seconds until which it can be handed in.
    pub deadline: u64,
    pub signature: String,
}

/// "This key is good no more."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppRevocation {
    pub payer: Address,
    pub key_id: String,
    pub signature: String,
}

/// "Which keys do I pay for, and from what?"
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppListing {
    pub payer: Address,
    /// Unix seconds until which it is answered.
    pub deadline: u64,
    pub signature: String,
}

/// The id of an app's key: the beginning of its hash's hash, so that the id tells nothing of the hash.
pub fn app_key_id(key_hash: Sha256) -> String {
    let hash = hashing::sha256(key_hash.0.as_slice()).0;
    format!("{:x}", alloy_primitives::B128::from_slice(&hash[..16]))
}

impl AppAuthorisation {
    pub fn sign(signer: &dyn Signer, domain: &SigningDomain, key_hash: Sha256, name: &str, deadline: u64) -> Result<Self, SchemaError> {
        let unsigned = Self { payer: signer.address(), key_hash, name: name.to_owned(), deadline, signature: String::new() };
        Ok(Self { signature: signer.sign_digest(unsigned.digest(domain))?, ..unsigned })
    }

    fn digest(&self, domain: &SigningDomain) -> B256 {
        let Self { payer, key_hash, name, deadline, .. } = self;
        domain.digest(&messages::AppAuthorisation { payer: *payer, keyHash: key_hash.0, name: name.clone(), deadline: *deadline })
    }

    /// # Errors
    /// [`SchemaError::BadSignature`] unless the payer signed it.
    pub fn check(&self, domain: &SigningDomain) -> Result<(), SchemaError> {
        check_signature(self.digest(domain), &self.signature, self.payer)
    }
}

impl AppRevocation {
    pub fn sign(signer: &dyn Signer, domain: &SigningDomain, key_id: &str) -> Result<Self, SchemaError> {
        let unsigned = Self { payer: signer.address(), key_id: key_id.to_owned(), signature: String::new() };
        Ok(Self { signature: signer.sign_digest(unsigned.digest(domain))?, ..unsigned })
    }

    fn digest(&self, domain: &SigningDomain) -> B256 {
        domain.digest(&messages::AppRevocation { payer: self.payer, keyId: self.key_id.clone() })
    }

    /// # Errors
    /// [`SchemaError::BadSignature`] unless the payer signed it.
    pub fn check(&self, domain: &SigningDomain) -> Result<(), SchemaError> {
        check_signature(self.digest(domain), &self.signature, self.payer)
    }
}

impl AppListing {
    pub fn sign(signer: &dyn Signer, domain: &SigningDomain, deadline: u64) -> Result<Self, SchemaError> {
        let unsigned = Self { payer: signer.address(), deadline, signature: String::new() };
        Ok(Self { signature: signer.sign_digest(unsigned.digest(domain))?, ..unsigned })
    }

    fn digest(&self, domain: &SigningDomain) -> B256 {
        domain.digest(&messages::AppListing { payer: self.payer, deadline: self.deadline })
    }

    /// # Errors
    /// [`SchemaError::BadSignature`] unless the payer signed it.
    pub fn check(&self, domain: &SigningDomain) -> Result<(), SchemaError> {
        check_signature(self.digest(domain), &self.signature, self.payer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signer::KeySigner;

    const DOMAIN: SigningDomain = SigningDomain { chain_id: 1, registry: Address::repeat_byte(1) };

    #[test]
    fn what_a_payer_signs_is_bound_to_all_its_fields_and_its_network() {
        let signer = KeySigner::from_bytes(&B256::repeat_byte(9)).unwrap();
        let key = Sha256(B256::repeat_byte(7));
        let signed = AppAuthorisation::sign(&signer, &DOMAIN, key, "app", 9).unwrap();
        signed.check(&DOMAIN).unwrap();
        for changed in [
            AppAuthorisation { key_hash: Sha256(B256::repeat_byte(8)), ..signed.clone() },
            AppAuthorisation { name: "other".into(), ..signed.clone() },
            AppAuthorisation { deadline: 10, ..signed.clone() },
            AppAuthorisation { payer: Address::repeat_byte(2), ..signed.clone() },
        ] {
            assert!(changed.check(&DOMAIN).is_err(), "{changed:?}");
        }
        assert!(signed.check(&SigningDomain { chain_id: 2, ..DOMAIN }).is_err());
        assert!(signed.check(&SigningDomain { registry: Address::ZERO, ..DOMAIN }).is_err());
        let revocation = AppRevocation::sign(&signer, &DOMAIN, &app_key_id(key)).unwrap();
        revocation.check(&DOMAIN).unwrap();
        assert!(AppRevocation { key_id: "0".into(), ..revocation }.check(&DOMAIN).is_err());
        let listing = AppListing::sign(&signer, &DOMAIN, 9).unwrap();
        listing.check(&DOMAIN).unwrap();
        assert!(AppListing { deadline: 10, ..listing }.check(&DOMAIN).is_err());
    }

    #[test]
    fn a_key_id_is_stable_and_tells_nothing_of_the_hash() {
        let id = app_key_id(Sha256(B256::repeat_byte(7)));
        assert_eq!(id.len(), 32);
        assert!(!id.contains("0707"));
        assert_eq!(id, app_key_id(Sha256(B256::repeat_byte(7))));
    }
}
