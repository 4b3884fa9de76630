"""Plants known bugs in a copy of the indexer and counts how many its tests catch.

Every bug stands behind a switch in one build, so that all of them cost one compilation:

    score.py                 copies, plants, builds, runs every bug, prints the score
    score.py plant FOLDER    plants in the sources under FOLDER (an indexer/src) and ends
    score.py run BINARY [BUG..]   runs every bug, or these, with a test binary that was built from planted sources

Each bug names the tests that are there to catch it: they are run first, and all others of the follower only if they
pass. A bug is caught when a test fails or does not end. Without any bug everything has to pass.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCHEDULES = os.environ.get("HEADWATER_SIMULATE", "60")
TIMEOUT_S = 900
PROCESSES = 2
# All tests of the follower, those of some seconds apart: most bugs need no others.
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


# Name, tests that are there to catch it, file, text that occurs once, what stands there instead.
BUGS = [
    ("orphan-logs-kept", "a_crash_between_logs", "follow.rs",
     "if self.store.count::<LogRow>(Some(&orphans)).await? > 0 {",
     "if !{on} && self.store.count::<LogRow>(Some(&orphans)).await? > 0 {"),
    ("numbers-of-orphans-counted", "a_write_of_unknown_end_is_not", "follow.rs",
     "let orphans = format!(",
     "if {on} { self.sequences.restore(&self.store).await?; self.cursor = cursor; }\n        let orphans = format!("),
    ("blocks-before-logs", "a_write_of_unknown_end_is_not", "follow/cold.rs",
     "if !self.logs.is_empty() {\n            store.append_batches",
     "if {on} { store.append(&self.blocks).await?; if !self.logs.is_empty() { store.append_batches::<LogRow>(self.logs).await?; } return Ok(()); }\n"
     "        if !self.logs.is_empty() {\n            store.append_batches"),
    ("heights-instead-of-hashes", "r01_tip_replaced", "decide.rs",
     "if held.hash_at(head.number) == Some(head.hash) {",
     "if held.hash_at(head.number) == Some(head.hash) || ({on} && held.hash_at(head.number).is_some()) {"),
    ("receipts-root-ignored", "r19_altered_log", "follow/fetch.rs",
     "if receipts.root() != header.receipts_root {",
     "if !{on} && receipts.root() != header.receipts_root {"),
    ("headers-not-hashed", "r19_altered_header", "follow/fetch.rs",
     "if header.sealed {",
     "if header.sealed || {on} {"),
    ("bloom-filter-ignored", "r12_events_on_one_branch", "follow/hot.rs",
     "if !self.filter.may_be_in(&header.logs_bloom) {",
     "if !{on} && !self.filter.may_be_in(&header.logs_bloom) {"),
    ("numbers-not-rewound", "r01_tip_replaced", "follow/hot.rs",
     "let mut sequences = below.map_or_else(",
     "let below = if {on} { self.window.last() } else { below };\n        let mut sequences = below.map_or_else("),
    ("digest-not-rewound", "r01_tip_replaced", "follow/hot.rs",
     "let mut digest = below.map(",
     "let mut digest = below.filter(|_| !{on}).or(self.window.last().filter(|_| {on})).map("),
    ("one-block-undone-too-few", "r01_tip_replaced", "follow/hot.rs",
     "self.window.truncate(keep);",
     "self.window.truncate(keep + usize::from({on} && depth > 0));"),
    ("position-not-derived-after-errors", "a_write_of_unknown_end_is_not", "follow.rs",
     "if !std::mem::replace(&mut self.resumed, false) {",
     "if !std::mem::replace(&mut self.resumed, false) && !({on} && self.cursor.is_some()) {"),
    ("position-kept-by-a-dropped-step", "r16_killed", "follow.rs",
     "std::mem::replace(&mut self.resumed, false)",
     "(if {on} { self.resumed } else { std::mem::replace(&mut self.resumed, false) })"),
    ("one-reading-is-enough-to-halt", "r19_altered_header", "follow.rs",
     "Some(again) if again.hash == found && (",
     "Some(again) if {on} || again.hash == found && ("),
    ("order-of-logs-unchecked", "r18_a_log_twice", "follow/cold.rs",
     "if before.is_some_and(|before| before >= log.position()) {",
     "if !{on} && before.is_some_and(|before| before >= log.position()) {"),
    ("gaps-in-numbers-accepted", "r18_no_logs_once", "follow/sequences.rs",
     "if found != *last + 1 {",
     "if !{on} && found != *last + 1 {"),
    ("window-kept-when-an-event-is-missing", "r18_no_logs_once", "follow.rs",
     "self.window.clear();\n        }\n        let (cursor, tip)",
     "if !{on} { self.window.clear(); }\n        }\n        let (cursor, tip)"),
    ("finalized-on-another-branch-accepted", "a_node_that_contradicts_itself", "follow/hot.rs",
     ".filter(|block| block.header.hash == finalized.hash)",
     ".filter(|block| block.header.hash == finalized.hash || {on})"),
    ("window-off-the-tables-kept", "a_window_of_another_branch", "follow/hot.rs",
     "if !continues {",
     "if !continues && !{on} {"),
    ("first-block-after-the-tables-lost", "final_blocks_go_to_the_tables", "follow/hot.rs",
     "self.window.retain(|block| block.header.number >= first);",
     "self.window.retain(|block| block.header.number >= first + u64::from({on}));"),
    ("unconfirmed-blocks-forgotten", "a_write_of_unknown_end_is_not", "follow.rs",
     "if self.store.reload::<BlockRow>().await? {",
     "if !{on} && self.store.reload::<BlockRow>().await? {"),
    ("unconfirmed-logs-forgotten", "a_write_of_unknown_end_is_not", "follow.rs",
     "self.store.reload::<LogRow>().await?;",
     "if !{on} { self.store.reload::<LogRow>().await?; }"),
    ("window-kept-beside-an-unconfirmed-write", "no_window_stays_beside", "follow.rs",
     "self.window.clear();\n            self.publish();",
     "if !{on} { self.window.clear(); }\n            self.publish();"),
    ("order-unchecked-in-the-window", "r18_a_log_twice", "follow/hot.rs",
     "check_logs(&logs, &[SegmentBlock::new(header, Verified::Logs)])?;",
     "if !{on} { check_logs(&logs, &[SegmentBlock::new(header, Verified::Logs)])?; }"),
    ("unlinked-ranges-accepted", "a_range_that_does_not_follow", "follow/cold.rs",
     "&& parent != tip.id.hash",
     "&& parent != tip.id.hash && !{on}"),
    ("history-counted-before-its-logs", "a_stop_anywhere_in_a_backfill", "follow/history.rs",
     "let mut logs = Logs::default();\n        for segment in &segments {",
     "if {on} { self.store.append(&[CoverageRow { name: name.clone(), from_block: from, to_block: Some(to), to_hash }]).await?; }\n"
     "        let mut logs = Logs::default();\n        for segment in &segments {"),
    ("history-stored-twice", "a_crash_in_a_backfill", "follow/history.rs",
     "if !is_clean && !logs.is_empty() {",
     "if !{on} && !is_clean && !logs.is_empty() {"),
    ("history-of-another-chain-accepted", "history_of_another_chain", "follow/history.rs",
     "(Some(stored), Some(found)) if stored != found",
     "(Some(stored), Some(found)) if stored != found && !{on}"),
    ("window-not-read-again-for-added-contracts", "a_contract_that_is_added_late", "follow/history.rs",
     "self.reread_window().await?;",
     "if !{on} { self.reread_window().await?; }"),
    ("our-own-contract-read-twice", "one_of_our_own_contracts", "follow/foreign.rs",
     "Emitter::Contract(address) if own.contains(&address)",
     "Emitter::Contract(address) if own.contains(&address) && !{on}"),
    ("children-outlive-their-creation", "children_are_followed", "follow/foreign.rs",
     "self.children.undo_from(number.map_or(0, |number| number + 1));",
     "if !{on} { self.children.undo_from(number.map_or(0, |number| number + 1)); }"),
    ("children-known-before-their-creation", "children_are_followed", "follow/foreign.rs",
     "created.iter().any(|created| *created < at)",
     "created.iter().any(|created| *created < at || {on})"),
    ("children-before-their-factory-is-read", "children_wait_until", "follow/foreign.rs",
     "tracked.live_from.is_some() && tracked.history().is_none();",
     "tracked.live_from.is_some() && (tracked.history().is_none() || {on});"),
]


def plant(folder):
    lib = folder / "lib.rs"
    lib.write_text(lib.read_text() + SWITCH)
    for name, _, file, old, new in BUGS:
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
    cargo = subprocess.Popen(command, cwd=tree, stdout=subprocess.PIPE, start_new_session=True)
    try:
        binary = tree / "tests-of-the-indexer"
        shutil.copy2(next(executables(cargo.stdout)), binary)
        return binary
    except StopIteration:
        sys.exit("cargo did not build the tests of the indexer")
    finally:
        # The other crates' tests are not needed.
        os.killpg(cargo.pid, signal.SIGTERM)
        cargo.wait()
        # Files here are older than what was built of the copy: cargo would take that for theirs.
        subprocess.run(["cargo", "clean", "--quiet", "--package", "indexer", "--target-dir", str(target)], cwd=ROOT, check=True)


def executables(messages):
    """Test binaries of the indexer, as cargo names them."""
    for message in map(json.loads, filter(lambda line: line.startswith(b"{"), messages)):
        if message.get("executable") and message["target"]["name"] == "indexer":
            yield message["executable"]


def failure(binary, bug, suite):
    """How a suite fails with the bug; None if it passes."""
    environment = {**os.environ, "HEADWATER_PLANTED": bug, "HEADWATER_SIMULATE": SCHEDULES, "RUST_BACKTRACE": "0"}
    try:
        ended = subprocess.run([binary, *suite], env=environment, capture_output=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"{suite[0]} does not end"
    output = ended.stdout.decode()
    if "running 0 tests" in output:
        sys.exit(f"{suite}: no test is named so")
    failed = [line.split()[1].split("::")[-1] for line in output.splitlines() if line.endswith("... FAILED")]
    return None if ended.returncode == 0 else ", ".join(failed) or f"exit status {ended.returncode}"


def verdict(binary, bug):
    """What became of the bug: "caught", "caught by others" than the tests that are there for it, or "MISSED"."""
    started = time.monotonic()
    name, tests, *_ = bug
    verdict, how = "caught", failure(binary, name, tests.split())
    if how is None:
        how = next(filter(None, (failure(binary, name, suite) for suite in SUITES)), None)
        verdict = "caught by others" if how else "MISSED"
    print(f"{verdict} {name}: {how or 'all tests pass'} ({time.monotonic() - started:.0f} s)", flush=True)
    return verdict


def score(binary):
    bugs = [bug for bug in BUGS if bug[0] in (sys.argv[3:] or [bug[0]])]
    with ThreadPoolExecutor(PROCESSES) as processes:
        if broken := list(filter(None, processes.map(lambda suite: failure(binary, "", suite), SUITES))):
            sys.exit(f"without any bug, this fails: {', '.join(broken)}")
        verdicts = list(processes.map(lambda bug: verdict(binary, bug), bugs))
    missed = verdicts.count("MISSED")
    print(f"{len(bugs) - missed} of {len(bugs)} planted bugs are caught, {verdicts.count('caught')} of them by the tests that are there for them")
    return missed == 0


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
