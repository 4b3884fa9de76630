//! Receipts as they were issued before: they verify as what they were.

use schemas::receipt::first::{Receipt, ReceiptBody, SCHEMA};
use schemas::signer::{KeySigner, Signer};
use schemas::{B256, hashing};

use super::world::cold_chain;
use crate::{FirstEvidence, verify_first_evidence, verify_first_receipt};

const QUESTION: &str = "At what temperature range should most vaccines be stored in a refrigerator?";
const ANSWER: &str =
    "Most vaccines are stored in a refrigerator at 2 °C to 8 °C [1]. The usual set point is 5 °C. [1] Penguins like it too.";

/// A body of that time, byte for byte, signed again.
fn receipt() -> Receipt {
    let text = include_str!("fixtures/receipt-1.json").trim();
    let body: ReceiptBody = serde_json::from_str(text).unwrap();
    assert_eq!(body.canonical().unwrap().0, text);
    signed(body)
}

fn signed(body: ReceiptBody) -> Receipt {
    let signer = KeySigner::from_bytes(&B256::repeat_byte(7)).unwrap();
    let signature = signer.sign_digest(body.signing_digest().unwrap()).unwrap();
    Receipt { body_hash: body.canonical().unwrap().1, signer: signer.address(), signature, body }
}

fn evidence(receipt: Receipt) -> FirstEvidence {
    let files = cold_chain();
    let texts: Vec<&str> = files.iter().flat_map(|file| file.text.split("\n\n")).collect();
    let text = |sha256| (*texts.iter().find(|text| hashing::sha256(text.as_bytes()) == sha256).unwrap()).to_owned();
    let source_texts = receipt.body.sources.iter().map(|source| text(source.text_sha256)).collect();
    FirstEvidence { receipt, question: QUESTION.into(), answer: ANSWER.into(), source_texts }
}

#[test]
fn first_receipts_verify_as_what_they_were() {
    let receipt = receipt();
    assert_eq!((receipt.body.schema.as_str(), receipt.body.method.as_str()), (SCHEMA, "support/1"));
    assert!(receipt.body.shares.len() > 1, "a game with something to divide");
    verify_first_receipt(&receipt).unwrap();
    verify_first_evidence(&evidence(receipt)).unwrap();
}

#[test]
fn changed_first_receipts_fail() {
    let mut shifted = receipt().body;
    shifted.shares[0].share_ppm -= 1;
    shifted.unattributed_ppm += 1;
    assert!(verify_first_receipt(&signed(shifted)).is_err());
    let mut moved = receipt().body;
    moved.sources[0].contributor = schemas::Address::repeat_byte(9);
    assert!(verify_first_receipt(&signed(moved)).is_err());
    let mut other = evidence(receipt());
    other.question.push('?');
    assert!(verify_first_evidence(&other).is_err());
}
