//! `headwater index`.

pub mod add;
