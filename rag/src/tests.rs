//! The crate on an in-memory store and an embedder without weights.

mod answers;
mod calibration;
mod conversations;
mod copies;
mod cost;
mod durability;
mod estimated;
mod filters;
mod first_receipts;
mod fused;
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
