//! One decoder for every family, driven by its architecture.

mod batch;
