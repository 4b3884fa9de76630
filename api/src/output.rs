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
    /// Nothing came of what was asked for, as the report says.
    pub is_failure: bool,
}

impl Report {
    pub fn new(text: impl Into<String>, json: &impl Serialize) -> Self {
        Self { text: text.into(), json: serde_json::to_value(json).unwrap_or(Value::Null), is_failure: false }
    }
}

/// How a command speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    Person,
    Quiet,
    Json,
}

/// Prints a result as it is: what ends it may be a row of blanks. A closed pipe is nobody's error.
pub fn print(voice: Voice, report: &Report) {
    let text = match voice {
        Voice::Person => report.text.clone(),
        Voice::Quiet => return,
        Voice::Json => serde_json::to_string_pretty(&report.json).unwrap_or_default(),
    };
    words(&ended(text));
}

/// A text whose last line is ended, once. Where CSV's `"\r\n"` is last, a row of one NULL stands behind it, which is an empty line.
fn ended(mut text: String) -> String {
    if text.ends_with("\r\n") || !text.ends_with('\n') {
        text.push('\n');
    }
    text
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

/// The same with nothing that ends a line.
pub fn in_a_line(text: &str) -> String {
    let one = |c: char| match c {
        '\n' | '\r' | '\u{2028}' | '\u{2029}' => '⏎',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(one).collect()
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

/// An amount for people, who think in tokens, and for programs, which read wei.
pub fn open_and_wei(wei: schemas::U256) -> String {
    format!("{} OPEN ({wei} wei)", tokens(wei))
}

/// Unix seconds as a date and time in UTC (RFC 3339). Days to dates as in Howard Hinnant's `civil_from_days`: years begin in March, so
/// that the leap day is a year's last.
pub fn utc(unix_seconds: u64) -> String {
    let (days, second) = (unix_seconds / 86_400 + 719_468, unix_seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months = (5 * day_of_year + 2) / 153;
    let (day, month) = (day_of_year - (153 * months + 2) / 5 + 1, if months < 10 { months + 3 } else { months - 9 });
    let year = 400 * era + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

/// A share as a bar of `width` characters and a percentage.
pub fn share_bar(share_ppm: u64, width: usize) -> String {
    let filled = usize::try_from(share_ppm).unwrap_or(0) * width / 1_000_000;
    format!("{}{} {:>6.2} %", "█".repeat(filled), "·".repeat(width - filled.min(width)), share_ppm as f64 / 10_000.0)
}

/// Rows under a header, columns aligned; a row is a line, whatever its cells hold.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| in_a_line(cell)).collect()).collect();
    let mut widths: Vec<usize> = header.iter().map(|name| name.chars().count()).collect();
    for row in &rows {
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
    let rules: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
    text.push_str(&line(rules.iter().map(String::as_str).collect()));
    for row in &rows {
        text.push('\n');
        text.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected: `date -u -d @SECONDS`.
    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, date) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_796_028_368, "2026-11-30T08:46:08Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (u64::MAX, "584554051223-11-09T07:00:15Z"),
        ] {
            assert_eq!(utc(seconds), date);
        }
    }

    #[test]
    fn a_result_is_printed_to_its_last_blank() {
        for (text, printed) in [
            ("done", "done\n"),
            ("[http]\nport = 1\n", "[http]\nport = 1\n"),
            ("", "\n"),
            // of one column: NULL, and blanks; of two: NULLs
            ("x\r\n", "x\r\n\n"),
            ("x\r\n\r\n\r\n", "x\r\n\r\n\r\n\n"),
            ("x\r\n  \t ", "x\r\n  \t \n"),
            ("x,y\r\n,\r\n,", "x,y\r\n,\r\n,\n"),
            ("x\r\n\"a\n\"", "x\r\n\"a\n\"\n"),
        ] {
            assert_eq!(ended(text.to_owned()), printed, "{text:?}");
        }
    }

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

    #[test]
    fn a_row_is_a_line_whatever_it_holds() {
        let rows = [["a\nb\u{2028}c".to_owned(), "\u{1b}[2J".to_owned()].to_vec(), vec!["x".repeat(100), "last".to_owned()]];
        let text = table(&["one", "two"], &rows);
        let lines: Vec<&str> = text.split('\n').collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[2].starts_with("a⏎b⏎c ") && lines[2].ends_with("\u{fffd}[2J"), "{text}");
        assert_eq!(lines[1].chars().count(), lines[3].chars().count(), "{text}");
    }
}
