//! What a command says: to a person, or as JSON; and progress while it works.

mod progress;

use std::io::Write;

use serde::Serialize;
use serde_json::Value;

pub use progress::Progress;

/// A command's result in both forms.
#[derive(Debug, Clone)]
pub struct Report {
    pub text: String,
    pub json: Value,
}

impl Report {
    pub fn new(text: impl Into<String>, json: &impl Serialize) -> Self {
        Self { text: text.into(), json: serde_json::to_value(json).unwrap_or(Value::Null) }
    }
}

/// How a command speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    Person,
    Quiet,
    Json,
}

/// Prints a result. A closed pipe is nobody's error.
pub fn print(voice: Voice, report: &Report) {
    let text = match voice {
        Voice::Person => report.text.clone(),
        Voice::Quiet => return,
        Voice::Json => serde_json::to_string_pretty(&report.json).unwrap_or_default(),
    };
    line(text.trim_end());
}

/// Prints a line to standard output.
pub fn line(text: &str) {
    drop(writeln!(std::io::stdout(), "{text}"));
}

/// Prints words to standard output as they come, without a line's end.
pub fn words(text: &str) {
    let mut stdout = std::io::stdout();
    drop(write!(stdout, "{text}").and_then(|()| stdout.flush()));
}

/// A text that others wrote, without what would steer a terminal.
pub fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

/// Prints a line to standard error.
pub fn notice(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// `1 receipt`, `2 receipts`.
pub fn count(number: impl TryInto<u64>, what: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Wei as tokens of 18 decimals, without trailing zeros.
pub fn tokens(wei: schemas::U256) -> String {
    let unit = schemas::U256::from(10).pow(schemas::U256::from(18));
    let (whole, rest) = wei.div_rem(unit);
    let fraction = format!("{:0>18}", rest.to_string());
    match fraction.trim_end_matches('0') {
        "" => whole.to_string(),
        fraction => format!("{whole}.{fraction}"),
    }
}

/// A share as a bar of `width` characters and a percentage.
pub fn share_bar(share_ppm: u64, width: usize) -> String {
    let filled = usize::try_from(share_ppm).unwrap_or(0) * width / 1_000_000;
    format!("{}{} {:>6.2} %", "█".repeat(filled), "·".repeat(width - filled.min(width)), share_ppm as f64 / 10_000.0)
}

/// Rows under a header, columns aligned.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|name| name.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: Vec<&str>| {
        let cells =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell}{}", " ".repeat(width.saturating_sub(cell.chars().count()))));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut text = line(header.to_vec());
    text.push('\n');
    text.push_str(&line(
        widths
            .iter()
            .map(|width| &"────────────────────────────────────────────────────────────────────────────────"[..3 * (*width).min(80)])
            .collect(),
    ));
    for row in rows {
        text.push('\n');
        text.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_tables_read_well() {
        assert_eq!(tokens(schemas::U256::from(10_000_000_000_000_000u64)), "0.01");
        assert_eq!(tokens(schemas::U256::from(3_000_000_000_000_000_000u64)), "3");
        assert_eq!(tokens(schemas::U256::from(1)), "0.000000000000000001");
        assert_eq!((count(1_usize, "receipt"), count(0_u64, "receipt")), ("1 receipt".into(), "0 receipts".into()));
        assert_eq!(share_bar(500_000, 4), "██··  50.00 %");
        assert_eq!(share_bar(1_000_000, 2), "██ 100.00 %");
        assert_eq!(table(&["a", "bb"], &[vec!["é".into(), "1".into()]]), "a  bb\n─  ──\né  1");
    }
}
