// The one home of the compiler settings that decide bytecode.
//
// `settings` is applied both by scripts/solc-shim (what forge compiles and tests) and by
// scripts/artifacts.mjs (what is checked in). No metadata is appended to the bytecode, so it depends
// on the sources and these lines only, never on a path or a machine.
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
export const solc = require("solc");

export const settings = {
  evmVersion: "cancun",
  viaIR: false,
  optimizer: { enabled: true, runs: 10_000 },
  metadata: { bytecodeHash: "none", appendCBOR: false },
};

/** For scripts/mutate.mjs, which compiles a hundred times and keeps nothing. */
export const unoptimised = { ...settings, optimizer: { enabled: false } };

/** Standard JSON in, standard JSON out; the settings that decide bytecode are replaced by ours. */
export function compile(input, readImport, ours = settings) {
  const merged = { ...input, settings: { ...input.settings, ...ours } };
  const callbacks = readImport ? { import: readImport } : undefined;
  return JSON.parse(solc.compile(JSON.stringify(merged), callbacks));
}
