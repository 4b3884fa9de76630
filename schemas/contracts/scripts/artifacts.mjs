// artifacts/*.json: what the Rust crates read, so that building them needs no Solidity tool.
//   node scripts/artifacts.mjs write   compile and write them
//   node scripts/artifacts.mjs check   compile and fail when a checked-in file differs
//
// Compiles src/ alone, always as one input in one order, so the output is the same on every machine.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { compile } from "./compiler.mjs";

const CONTRACTS = ["DatanetRegistry", "ModelRegistry", "PaymentVault", "RewardDistributor", "OpenToken"];
const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** Every src/**\/*.sol as [relative path with forward slashes, bytes], sorted by path. */
function readSources() {
  const paths = [];
  const walk = (folder) => {
    for (const entry of readdirSync(join(ROOT, folder), { withFileTypes: true })) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) walk(path);
      else if (entry.name.endsWith(".sol")) paths.push(path);
    }
  };
  walk("src");
  paths.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return paths.map((path) => [path, readFileSync(join(ROOT, path))]);
}

/** sha256 over path ‖ 0x00 ‖ content ‖ 0x00 of each source in order. */
function digest(sources) {
  const hash = createHash("sha256");
  for (const [path, bytes] of sources) hash.update(path).update("\0").update(bytes).update("\0");
  return hash.digest("hex");
}

function readImport(path) {
  if (!path.startsWith("@openzeppelin/")) return { error: `unexpected import ${path}` };
  return { contents: readFileSync(join(ROOT, "node_modules", path), "utf8") };
}

/** [file name, text] of each artifact. */
function build() {
  const sources = readSources();
  const output = compile(
    {
      language: "Solidity",
      sources: Object.fromEntries(sources.map(([path, bytes]) => [path, { content: bytes.toString("utf8") }])),
      settings: { outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } } },
    },
    readImport,
  );
  const errors = (output.errors ?? []).filter((error) => error.severity === "error");
  if (errors.length > 0) throw new Error(errors.map((error) => error.formattedMessage).join("\n"));
  const sourceDigest = digest(sources);
  return CONTRACTS.map((contractName) => {
    const contract = output.contracts[`src/${contractName}.sol`][contractName];
    const bytecode = contract.evm.bytecode.object;
    if (!/^(?:[0-9a-f]{2})+$/.test(bytecode)) throw new Error(`${contractName}: bytecode is empty or unlinked`);
    const artifact = { contractName, abi: contract.abi, bytecode: `0x${bytecode}`, sourceDigest };
    return [`artifacts/${contractName}.json`, `${JSON.stringify(artifact, null, 2)}\n`];
  });
}

function write() {
  mkdirSync(join(ROOT, "artifacts"), { recursive: true });
  for (const [path, text] of build()) {
    writeFileSync(join(ROOT, path), text);
    console.log(`wrote ${path}`);
  }
}

function check() {
  const expected = build();
  const stale = expected.filter(([path, text]) => {
    const file = join(ROOT, path);
    return !existsSync(file) || readFileSync(file, "utf8") !== text;
  });
  const known = new Set(expected.map(([path]) => path));
  const extra = readdirSync(join(ROOT, "artifacts")).map((name) => `artifacts/${name}`).filter((path) => !known.has(path));
  if (stale.length + extra.length > 0) {
    for (const [path] of stale) console.error(`${path} is not what src/ compiles to`);
    for (const path of extra) console.error(`${path} belongs to no contract`);
    console.error("Run `npm run artifacts` in schemas/contracts and commit the result.");
    process.exitCode = 1;
  } else {
    console.log(`${expected.length} artifacts match src/`);
  }
}

const command = process.argv[2];
if (command === "write") write();
else if (command === "check") check();
else {
  console.error("usage: node scripts/artifacts.mjs write|check");
  process.exitCode = 2;
}
