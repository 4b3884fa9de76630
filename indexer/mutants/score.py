"""Plants known bugs in a copy of the indexer and counts how many its simulation catches.

Every bug stands behind a switch in one build, so that all of them cost one compilation:

    score.py                 copies, plants, builds, runs every bug, prints the score
    score.py plant FOLDER    plants in the sources under FOLDER (an indexer/src) and ends
    score.py run BINARY [BUG..]   runs every bug, or these, with a test binary that was built from planted sources

A bug is caught when a test fails or does not end. Without any bug everything has to pass.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCHEDULES = os.environ.get("HEADWATER_SIMULATE", "60")
TIMEOUT_S = 900
# The tests of some seconds first: most bugs need no others.
SLOW = ["r03_deep", "r16_killed", "r20_odd", "random_schedules"]
SUITES = [
    ["follow::", *(word for name in SLOW for word in ("--skip", name))],
    ["follow::tests::schedules"],
    ["follow::tests::foreign::random", *(f"follow::tests::reorganisations::{name}" for name in SLOW[:3])],
]

SWITCH = '''
/// Whether a bug is switched on; only in copies that are made to be wrong.
pub(crate) fn planted(name: &str) -> bool {
    std::env::var("HEADWATER_PLANTED").is_ok_and(|on| on == name)
}
'''


def on(name):
    return f'crate::planted("{name}")'


# Name, file, text that occurs once, what stands there instead.
BUGS = [
    ("orphan-logs-kept", "follow.rs",
     "if self.store.count::<LogRow>(Some(&orphans)).await? > 0 {",
     "if !{on} && self.store.count::<LogRow>(Some(&orphans)).await? > 0 {"),
    ("numbers-of-orphans-counted", "follow.rs",
     "let orphans = format!(",
     "if {on} { self.sequences.restore(&self.store).await?; self.cursor = cursor; }\n        let orphans = format!("),
    ("blocks-before-logs", "follow/cold.rs",
     "if !self.logs.is_empty() {\n            store.append_batches",
     "if {on} { store.append(&self.blocks).await?; if !self.logs.is_empty() { store.append_batches::<LogRow>(self.logs).await?; } return Ok(()); }\n"
     "        if !self.logs.is_empty() {\n            store.append_batches"),
    ("heights-instead-of-hashes", "decide.rs",
     "if held.hash_at(head.number) == Some(head.hash) {",
     "if held.hash_at(head.number) == Some(head.hash) || ({on} && held.hash_at(head.number).is_some()) {"),
    ("receipts-root-ignored", "follow/fetch.rs",
     "if receipts.root() != header.receipts_root {",
     "if !{on} && receipts.root() != header.receipts_root {"),
    ("headers-not-hashed", "follow/fetch.rs",
     "if header.sealed {",
     "if header.sealed || {on} {"),
    ("bloom-filter-ignored", "follow/hot.rs",
     "if !self.filter.may_be_in(&header.logs_bloom) {",
     "if !{on} && !self.filter.may_be_in(&header.logs_bloom) {"),
    ("numbers-not-rewound", "follow/hot.rs",
     "let mut sequences = below.map_or_else(",
     "let below = if {on} { self.window.last() } else { below };\n        let mut sequences = below.map_or_else("),
    ("digest-not-rewound", "follow/hot.rs",
     "let mut digest = below.map(",
     "let mut digest = below.filter(|_| !{on}).or(self.window.last().filter(|_| {on})).map("),
    ("one-block-undone-too-few", "follow/hot.rs",
     "self.window.truncate(keep);",
     "self.window.truncate(keep + usize::from({on} && depth > 0));"),
    ("position-not-derived-after-errors", "follow.rs",
     "if !std::mem::replace(&mut self.resumed, false) {",
     "if !std::mem::replace(&mut self.resumed, false) && !({on} && self.cursor.is_some()) {"),
    ("position-kept-by-a-dropped-step", "follow.rs",
     "std::mem::replace(&mut self.resumed, false)",
     "(if {on} { self.resumed } else { std::mem::replace(&mut self.resumed, false) })"),
    ("one-reading-is-enough-to-halt", "follow.rs",
     "Some(again) if again.hash == found && (",
     "Some(again) if {on} || again.hash == found && ("),
    ("order-of-logs-unchecked", "follow/cold.rs",
     "if before.is_some_and(|before| before >= log.position()) {",
     "if !{on} && before.is_some_and(|before| before >= log.position()) {"),
    ("gaps-in-numbers-accepted", "follow/sequences.rs",
     "if found != *last + 1 {",
     "if !{on} && found != *last + 1 {"),
    ("window-kept-when-an-event-is-missing", "follow.rs",
     "self.window.clear();\n        }\n        let (cursor, tip)",
     "if !{on} { self.window.clear(); }\n        }\n        let (cursor, tip)"),
    ("finalized-on-another-branch-accepted", "follow/hot.rs",
     ".filter(|block| block.header.hash == finalized.hash)",
     ".filter(|block| block.header.hash == finalized.hash || {on})"),
    ("window-off-the-tables-kept", "follow/hot.rs",
     "if !continues {",
     "if !continues && !{on} {"),
    ("first-block-after-the-tables-lost", "follow/hot.rs",
     "self.window.retain(|block| block.header.number >= first);",
     "self.window.retain(|block| block.header.number >= first + u64::from({on}));"),
    ("unconfirmed-blocks-forgotten", "follow.rs",
     "self.store.reload::<BlockRow>().await?;",
     "if !{on} { self.store.reload::<BlockRow>().await?; }"),
    ("unconfirmed-logs-forgotten", "follow.rs",
     "self.store.reload::<LogRow>().await?;",
     "if !{on} { self.store.reload::<LogRow>().await?; }"),
    ("order-unchecked-in-the-window", "follow/hot.rs",
     "check_logs(&logs, &[SegmentBlock::new(header, Verified::Logs)])?;",
     "if !{on} { check_logs(&logs, &[SegmentBlock::new(header, Verified::Logs)])?; }"),
    ("unlinked-ranges-accepted", "follow/cold.rs",
     "&& parent != tip.id.hash",
     "&& parent != tip.id.hash && !{on}"),
]


def plant(folder):
    lib = folder / "lib.rs"
    lib.write_text(lib.read_text() + SWITCH)
    for name, file, old, new in BUGS:
        path = folder / file
        text = path.read_text()
        if text.count(old) != 1:
            sys.exit(f"{name}: {old!r} occurs {text.count(old)} times in {file}; the list has to follow the sources")
        path.write_text(text.replace(old, new.replace("{on}", on(name))))


def build():
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    tree = target / "mutants"
    shutil.rmtree(tree, ignore_errors=True)
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout.decode().split("\0")
    for file in filter(None, files):
        (tree / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / file, tree / file)
    plant(tree / "indexer/src")
    command = ["cargo", "test", "--workspace", "--lib", "--no-run", "--message-format=json", "--target-dir", str(target)]
    lines = subprocess.run(command, cwd=tree, check=True, stdout=subprocess.PIPE).stdout.decode().splitlines()
    for message in map(json.loads, filter(lambda line: line.startswith("{"), lines)):
        if message.get("executable") and message["target"]["name"] == "indexer":
            return message["executable"]
    sys.exit("cargo did not name the test binary")


def failing(binary, bug):
    """The first suite that fails with the bug, and how; None if all pass."""
    environment = {**os.environ, "HEADWATER_PLANTED": bug, "HEADWATER_SIMULATE": SCHEDULES, "RUST_BACKTRACE": "0"}
    for suite in SUITES:
        try:
            ended = subprocess.run([binary, *suite], env=environment, capture_output=True, timeout=TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            return f"{suite[0]} does not end"
        if ended.returncode != 0:
            failed = [line.split()[1].split("::")[-1] for line in ended.stdout.decode().splitlines() if line.endswith("... FAILED")]
            return ", ".join(failed) or f"exit status {ended.returncode}"
    return None


def score(binary):
    if broken := failing(binary, ""):
        sys.exit(f"without any bug, this fails: {broken}")
    caught = 0
    only = sys.argv[3:] or [name for name, *_ in BUGS]
    for name in only:
        how = failing(binary, name)
        caught += how is not None
        print(f"{'caught' if how else 'MISSED':7} {name}{': ' + how if how else ''}", flush=True)
    print(f"{caught} of {len(only)} planted bugs are caught by {SCHEDULES} schedules and the named reorganisations")
    return caught == len(only)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["plant", folder]:
            plant(Path(folder))
        case ["run", binary, *_]:
            sys.exit(not score(binary))
        case []:
            sys.exit(not score(build()))
        case _:
            sys.exit(__doc__)
