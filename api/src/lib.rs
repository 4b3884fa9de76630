//! The only binary: builds every part once, wires the parts together, and gives them doors
//! (HTTP, command line). It holds no rule of any Datanet, answer or payment.

pub mod asking;
pub mod auth;
pub mod cli;
pub mod client;
pub mod config;
pub mod credit;
pub mod demo;
pub mod http;
pub mod identity;
pub mod limits;
pub mod metrics;
pub mod output;
pub mod places;
pub mod querying;
pub mod service;
pub mod settlement;
