//! What a contributor signs beside its submissions.

use alloy_primitives::{Address, B256};
use alloy_sol_types::sol;
use serde::{Deserialize, Serialize};

use super::{SigningDomain, check_signature};
use crate::SchemaError;
use crate::signer::Signer;

mod messages {
    use super::sol;

    sol! {
        struct SubmissionListing {
            address contributor;
            uint64 deadline;
        }
    }
}

/// "What became of what I sent in?"
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmissionListing {
    pub contributor: Address,
    /// Unix seconds until which it is answered.
    pub deadline: u64,
    pub signature: String,
}

impl SubmissionListing {
    pub fn sign(signer: &dyn Signer, domain: &SigningDomain, deadline: u64) -> Result<Self, SchemaError> {
        let unsigned = Self { contributor: signer.address(), deadline, signature: String::new() };
        Ok(Self { signature: signer.sign_digest(unsigned.digest(domain))?, ..unsigned })
    }

    fn digest(&self, domain: &SigningDomain) -> B256 {
        domain.digest(&messages::SubmissionListing { contributor: self.contributor, deadline: self.deadline })
    }

    /// # Errors
    /// [`SchemaError::BadSignature`] unless the contributor signed it.
    pub fn check(&self, domain: &SigningDomain) -> Result<(), SchemaError> {
        check_signature(self.digest(domain), &self.signature, self.contributor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signer::KeySigner;

    #[test]
    fn a_listing_is_for_whoever_signed_it() {
        let domain = SigningDomain { chain_id: 1, registry: Address::repeat_byte(1) };
        let signer = KeySigner::from_bytes(&B256::repeat_byte(9)).unwrap();
        let listing = SubmissionListing::sign(&signer, &domain, 9).unwrap();
        listing.check(&domain).unwrap();
        assert!(listing.check(&SigningDomain { chain_id: 2, ..domain }).is_err());
        assert!(SubmissionListing { deadline: 10, ..listing.clone() }.check(&domain).is_err());
        assert!(SubmissionListing { contributor: Address::repeat_byte(2), ..listing }.check(&domain).is_err());
    }
}
