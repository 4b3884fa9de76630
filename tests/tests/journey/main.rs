//! The real binary with real parts: a development chain, the embedding model, files on disk.

#![recursion_limit = "256"]

mod bad_input;
mod cases;
mod crash;
mod disputes;
mod doors;
mod followed;
mod gaming;
mod generated;
mod harness;
mod local;
mod money;
mod openai;
mod proxy;
mod recomputed;
mod scale;
mod soak;
mod whole;
