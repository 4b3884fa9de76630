//! The table in BENCHMARKS.md.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;

use super::Outcome;
use super::attacks::Class;

const BEGIN: &str = "<!-- gaming: begin -->";
const END: &str = "<!-- gaming: end -->";

/// One row per attack and number of accounts.
pub(super) fn markdown(outcomes: &[Outcome]) -> String {
    let mut text =
        String::from("| attack | accounts | gain | least that another keeps | answers changed | held to |\n|---|---|---|---|---|---|\n");
    for Outcome { attack, sybils, gain, worst_other, changed_answers } in outcomes {
        let held = match attack.class {
            Class::KeepsWords | Class::SaysNothing => "1.00",
            Class::Edits => "1.05",
            Class::NotCovered => "not covered",
        };
        // writing to a string does not fail
        let _ = writeln!(text, "| {} | {sybils} | {gain:.2} | {worst_other:.2} | {changed_answers} | {held} |", attack.name);
    }
    text
}

/// Puts the table between its marks.
pub(super) fn write(file: &Path, embedder: &str, outcomes: &[Outcome]) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let (before, rest) = text.split_once(BEGIN).with_context(|| format!("{} has no {BEGIN}", file.display()))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{} has no {END}", file.display()))?;
    let table = markdown(outcomes);
    std::fs::write(file, format!("{before}{BEGIN}\n\nWith {embedder}.\n\n{table}\n{END}{after}"))?;
    Ok(())
}
