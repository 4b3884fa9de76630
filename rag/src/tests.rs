//! The crate on an in-memory store and an embedder without weights.

mod answers;
mod calibration;
mod copies;
mod cost;
mod durability;
mod estimated;
mod first_receipts;
mod generated;
mod lies;
mod likely;
mod proofs;
mod reader;
mod retrieval;
mod scripted;
mod scripts;
mod settlement;
mod traces;
mod versions;
pub(crate) mod world;
