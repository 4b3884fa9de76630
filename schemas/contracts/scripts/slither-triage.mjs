// Compares slither's findings with the answers in SLITHER.md, both ways: a finding without an answer fails,
// and so does an answer to a finding that is gone.
//   node scripts/slither-triage.mjs REPORT.json
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** `check` and where, without line numbers, so that an answer outlives an edit above it. */
function key({ check, elements }) {
  const place = elements.find(({ type }) => type === "function" || type === "event" || type === "contract");
  const fields = place?.type_specific_fields;
  const where = fields?.parent ? `${fields.parent.name}.${fields.signature}` : (place?.name ?? "?");
  return `${check} | ${where}`;
}

const report = JSON.parse(readFileSync(process.argv[2], "utf8"));
if (!report.success) throw new Error(`slither failed: ${report.error}`);
const findings = new Map();
for (const finding of report.results.detectors ?? []) findings.set(key(finding), finding);

// Rows of the table: | `check` | `where` | answer |
const row = /^\| `([^`]+)` \| `([^`]+)` \| (.+) \|$/gm;
const answers = new Set();
for (const [, check, where] of readFileSync(join(ROOT, "SLITHER.md"), "utf8").matchAll(row)) {
  answers.add(`${check} | ${where}`);
}

const open = [...findings.keys()].filter((name) => !answers.has(name)).sort();
const gone = [...answers].filter((name) => !findings.has(name)).sort();
for (const name of open) {
  const { impact, description } = findings.get(name);
  console.error(`new finding (${impact}): ${name}\n${description.trim()}\n`);
}
for (const name of gone) console.error(`answered in SLITHER.md, but no longer found: ${name}`);
console.log(`slither: ${findings.size} findings, ${open.length} without an answer, ${gone.length} answers too many`);
if (open.length + gone.length > 0) process.exitCode = 1;
