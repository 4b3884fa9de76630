//! What a node means by an error. There are hardly any codes for it, only words; those below were
//! seen from the services named beside them.
//!
//! Words come before codes, since codes are used for several things: -32005 is a rate limit
//! (EIP-1474), "more than 10000 results" (Infura) and a range that is too large (Besu); -32016 is a
//! rate limit (proxyd, which stands before the public OP-Stack nodes) and a timeout (Nethermind).
//! Rates come before ranges: a smaller range does not help against a rate limit, and costs calls.

use super::fault::Fault;
use super::stats::Outcome;

/// All words of a pattern must occur, in lower case.
type Patterns = &'static [&'static [&'static str]];

const RATE: Patterns = &[
    &["too many requests"],
    // Infura adds "daily request count exceeded"; dRPC, proxyd (-32016) and many more say just this.
    &["rate limit"],
    &["rate-limit"],
    &["ratelimit"],
    &["request rate exceeded"],
    &["daily request count"],
    // QuickNode, -32007: "50/second request limit reached".
    &["request limit reached"],
    &["requests per second"],
    &["requests per minute"],
    // Alchemy, 429: by second, and by month.
    &["compute units per second"],
    &["capacity limit exceeded"],
    // QuickNode: "credits limited to 6000/sec".
    &["credits limited"],
    // Alchemy: the app's "concurrent requests capacity".
    &["concurrent requests"],
    &["throughput", "exceed"],
];

/// The number of calls in one exchange.
const BATCH: Patterns = &[
    // geth: "batch too large"; erigon: "batch limit 100 exceeded"; Nethermind: "batch size limit exceeded".
    &["batch", "too large"],
    &["batch", "limit"],
    &["batch", "exceed"],
    // proxyd, -32014: "too many RPC calls in batch request".
    &["batch", "too many"],
    // Base: "maximum 10 calls in 1 batch".
    &["batch", "maximum"],
];

/// The size of an answer, for any method.
const ANSWER_SIZE: Patterns = &[
    // geth (in batches, -32003), proxyd (-32020: "backend response too large"), 1RPC.
    &["response", "too large"],
    &["response size"],
    &["response is too big"],
    &["payload too large"],
];

/// For methods that take a range of blocks.
const RANGE: Patterns = &[
    // Infura, zkEVM, older geth forks: "query returned more than 10000 results".
    &["query returned more than"],
    // geth, reth, Ankr: "query exceeds max results 20000, retry with the range 4-5", "… max block range 10000".
    &["query exceeds max"],
    &["more than", "results"],
    &["too many", "results"],
    &["too many", "logs"],
    &["too many", "blocks"],
    // Arbitrum: "logs matched by query exceeds limit of 10000".
    &["logs matched by query"],
    // Alchemy: "… this block range should work: [0x1, 0x2]", "Log response size exceeded".
    &["block range should work"],
    // Infura: "Try with this block range [0x1, 0x2]".
    &["this block range"],
    // Alchemy: "Query timeout exceeded. Consider reducing your block range".
    &["reduc", "range"],
    // QuickNode, 1RPC, BlockPI, Alchemy's free tier: "limited to a 10,000 range", "up to a 10 block range".
    &["limited to", "range"],
    &["limited to", "block"],
    &["up to a", "block range"],
    // Chainstack, Somnia, BNB nodes: "block range limit exceeded", "exceeds", "exceed maximum block range".
    &["block range", "exceed"],
    // Besu, -32005: "requested range exceeds maximum RPC range limit".
    &["range exceeds"],
    // Blast: "exceeds the range allowed for your plan (6000 > 3000)".
    &["exceeds the range"],
    // Base, Merkle, Optimism: "block range too large", "range is too large, max is 1k blocks".
    &["range", "too large"],
    // Ankr (-32600), Moonbeam: "block range is too wide (maximum 1024)".
    &["range", "too wide"],
    &["range", "too big"],
    // Swell: "block range greater than 20000 max".
    &["range greater than"],
    // Cloudflare: "Max range: 800"; dRPC: "ranges over 10000 blocks are not supported on freetier".
    &["max range"],
    &["ranges over"],
    // PublicNode: "maximum block range: 50000"; thirdweb: "maximum allowed number of requested blocks is 3500".
    &["maximum block range"],
    &["number of requested blocks"],
    // Coinbase: "please limit the query to at most 1000 blocks".
    &["limit the query"],
    // Harmony: "query must be smaller than size 1024"; Ankr: "maximum [from, to] blocks distance: 3000".
    &["query must be smaller"],
    &["blocks distance"],
];

const TIMEOUT: Patterns = &[
    // geth (-32002: "request timed out"), erigon, Nethermind, every proxy.
    &["timeout"],
    &["timed out"],
    &["deadline exceeded"],
    &["took too long"],
];

const UNREACHABLE: Patterns = &[
    // proxyd, -32011: "no backend is currently healthy to serve traffic".
    &["no backend"],
    &["temporarily unavailable"],
    &["service unavailable"],
    &["bad gateway"],
    &["overloaded"],
    &["please try again"],
    // Cloudflare's gateway, foundry issue 11667: "temporary internal error".
    &["temporary internal error"],
];

/// Rate limits where the words say nothing: EIP-1474, HTTP's code used by Alchemy and others, proxyd,
/// QuickNode, and -32029 of smaller gateways.
const RATE_CODES: [i64; 5] = [-32005, 429, -32016, -32007, -32029];

/// The error object of a node as a fault.
pub(super) fn classify(method: &str, code: i64, message: &str, data: Option<String>) -> Fault {
    let words = message.to_ascii_lowercase();
    let (outcome, is_ambiguous) = outcome(method, code, &words);
    let fault = Fault::new(outcome, message);
    let max_blocks = if outcome == Outcome::RangeTooLarge { max_blocks(&words) } else { None };
    let retry_after_ms = if outcome == Outcome::RateLimited { data.as_deref().and_then(backoff_ms) } else { None };
    let is_about_batch = outcome == Outcome::RangeTooLarge && says(&words, BATCH);
    Fault { code, data, max_blocks, retry_after_ms, is_ambiguous, is_about_batch, ..fault }
}

/// Whether the method's answer grows with a range of blocks.
pub(super) fn is_ranged(method: &str) -> bool {
    method == "eth_getLogs"
}

fn outcome(method: &str, code: i64, words: &str) -> (Outcome, bool) {
    // A contract's reason can hold any words. 3 is geth's code for a revert with data.
    if code == 3 || words.contains("revert") {
        return (Outcome::Refused, false);
    }
    if says(words, RATE) {
        return (Outcome::RateLimited, false);
    }
    if says(words, ANSWER_SIZE) || says(words, BATCH) || (is_ranged(method) && says(words, RANGE)) {
        return (Outcome::RangeTooLarge, false);
    }
    if says(words, TIMEOUT) {
        return (Outcome::TimedOut, false);
    }
    if says(words, UNREACHABLE) {
        return (Outcome::Unreachable, false);
    }
    let names_a_limit = words.contains("limit") || words.contains("exceed");
    if RATE_CODES.contains(&code) || (is_ranged(method) && names_a_limit) {
        return (Outcome::RateLimited, is_ranged(method));
    }
    (Outcome::Refused, false)
}

fn says(words: &str, patterns: Patterns) -> bool {
    patterns.iter().any(|pattern| pattern.iter().all(|word| words.contains(word)))
}

/// Blocks in a range that the message proposes or allows; a hint, since some count both ends and some one.
fn max_blocks(words: &str) -> Option<u64> {
    /// What stands before the number.
    const BEFORE: [&str; 16] = [
        "max range: ",
        "maximum is set to ",
        "requested blocks is ",
        "limited to a ",
        "limited to ",
        "at most ",
        "up to a ",
        "block range: ",
        "max block range ",
        "range exceeds ",
        "range greater than ",
        "max is ",
        "smaller than size ",
        "(maximum ",
        "distance: ",
        "ranges over ",
    ];
    let proposed = proposed_range(words, "[0x", 16).or_else(|| proposed_range(words, "with the range ", 10));
    let allowed = || BEFORE.iter().find_map(|before| number(words.split_once(before)?.1));
    // Blast: "(6000 > 3000)".
    let compared = || number(words.split_once(" > ")?.1);
    proposed.or_else(allowed).or_else(compared).filter(|blocks| (1..=10_000_000).contains(blocks))
}

/// The length of the range "a, b" or "a-b" after some words, both ends included.
fn proposed_range(words: &str, before: &str, radix: u32) -> Option<u64> {
    let rest = words.split_once(before)?.1;
    let (from, rest) = rest.split_once([',', '-'])?;
    let rest = rest.trim_start().trim_start_matches("0x");
    let end = rest.find(|letter: char| !letter.is_digit(radix)).unwrap_or(rest.len());
    let from = u64::from_str_radix(from.trim(), radix).ok()?;
    u64::from_str_radix(&rest[..end], radix).ok()?.checked_sub(from)?.checked_add(1)
}

/// "10000", "10,000" or "10k" at the start of a text, unless it counts something other than blocks.
fn number(text: &str) -> Option<u64> {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != ',').unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let value: u64 = digits.replace(',', "").parse().ok()?;
    let (value, rest) = rest.strip_prefix('k').map_or((value, rest), |rest| (value.saturating_mul(1_000), rest));
    let unit = rest.trim_start();
    let counts_others = ["byte", "result", "log", "mb", "kb", "second", "request"].iter().any(|other| unit.starts_with(other));
    (!counts_others).then_some(value)
}

/// Infura's way to say how long to wait: `{"rate": {"backoff_seconds": 30.0, …}, …}`.
fn backoff_ms(data: &str) -> Option<u64> {
    let rest = data.split_once("\"backoff_seconds\"")?.1.trim_start().strip_prefix(':')?.trim_start();
    let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse::<u64>().ok()?.checked_mul(1_000)
}

#[cfg(test)]
mod tests;
