// Plants every bug of mutations/mutations.json into a copy of the contracts, one at a time, and demands that a
// test fails for it. Prints the score; exits with 1 when a bug went unnoticed.
//   node scripts/mutate.mjs [--only TEXT]   only bugs whose file or description holds TEXT
//
// A mutation is {file, find, replace, breaks}: `find` occurs exactly once in `file`.
import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { forge } from "./forge.mjs";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const COPIED = ["src", "test", "vectors", "scripts", "foundry.toml"];
const WORKERS = availableParallelism();

// Where a bug of a file shows first. One that nothing here notices is tried on all tests.
const FIRST_TESTS = {
  PaymentVault: ["PaymentVault.debits", "PaymentVault.short", "PaymentVault.balances"],
  PayerBalances: ["PaymentVault.balances", "PaymentVault.short"],
  FeeSchedules: ["FeeSchedules"],
  BoundedSignatures: ["BoundedSignatures", "PaymentVault.short"],
  SpendingLimits: ["PaymentVault.debits"],
  RootProposals: ["RewardDistributor.roots", "RewardDistributor.bonds"],
  RewardDistributor: ["RewardDistributor.claims", "RewardDistributor.bonds"],
  DatanetRegistry: ["DatanetRegistry"],
  ModelRegistry: ["ModelRegistry", "ModelRegistry.parents"],
  Sequenced: ["FeeSchedules"],
  Stoppable: ["RewardDistributor.roots"],
  ExactTransfer: ["RewardDistributor.bonds"],
  OpenToken: ["OpenToken"],
};

const all = JSON.parse(readFileSync(join(ROOT, "mutations/mutations.json"), "utf8"));
const only = process.argv[2] === "--only" ? process.argv[3] : "";
const mutations = all.filter(({ file, breaks }) => `${file} ${breaks}`.includes(only));

/** The file with the bug in it. */
function mutated({ file, find, replace }) {
  const source = readFileSync(join(ROOT, file), "utf8");
  if (source.split(find).length !== 2) throw new Error(`${file} does not hold exactly once: ${find}`);
  return source.replace(find, () => replace);
}

/** A copy of the project to plant bugs in. */
function copy() {
  const folder = mkdtempSync(join(tmpdir(), "headwater-mutate-"));
  for (const name of COPIED) cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  return folder;
}

/** What forge said, and whether a test failed. */
function test(folder, paths) {
  const match = paths.length > 0 ? ["--match-path", `test/{${paths.map((path) => `${path}.t.sol`).join(",")},none}`] : [];
  const commandLine = ["test", "--fail-fast", "--no-match-contract", "GasTest", ...match];
  const env = { ...process.env, FOUNDRY_FUZZ_RUNS: "64", FOUNDRY_INVARIANT_RUNS: "8", HEADWATER_MUTATING: "1" };
  return new Promise((resolve, reject) => {
    const child = spawn(forge, commandLine, { cwd: folder, env });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes) => (output += bytes));
    child.on("error", reject);
    child.on("close", (status) => {
      if (/Compiler run failed|No tests (found|match)/.test(output)) reject(new Error(output));
      else resolve({ failed: status !== 0, output });
    });
  });
}

/** The test that noticed, or null. */
async function hunt(folder, mutation) {
  const path = join(folder, mutation.file);
  const original = readFileSync(path, "utf8");
  writeFileSync(path, mutated(mutation));
  try {
    for (const paths of [FIRST_TESTS[basename(mutation.file, ".sol")] ?? [], []]) {
      const { failed, output } = await test(folder, paths);
      if (failed) return output.match(/^\[FAIL.*?\] (\w+)/m)?.[1] ?? "setUp";
    }
    return null;
  } finally {
    writeFileSync(path, original);
  }
}

async function worker(folder, queue, missed) {
  for (let mutation = queue.shift(); mutation; mutation = queue.shift()) {
    const noticed = await hunt(folder, mutation);
    const place = `${basename(mutation.file)}: ${mutation.breaks}`;
    console.log(noticed ? `caught  ${place}  (${noticed})` : `MISSED  ${place}`);
    if (!noticed) missed.push(mutation);
  }
}

for (const mutation of mutations) mutated(mutation);
const folders = Array.from({ length: WORKERS }, copy);
const [queue, missed] = [[...mutations], []];
try {
  await Promise.all(folders.map((folder) => worker(folder, queue, missed)));
} finally {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
}
console.log(`${mutations.length - missed.length} of ${mutations.length} bugs caught`);
if (missed.length > 0) process.exitCode = 1;
