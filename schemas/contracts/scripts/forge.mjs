// Runs the forge that npm installed. The package's own launcher (node_modules/.bin/forge) always exits
// with 0, so a failed test would pass unnoticed; this one hands forge's exit status on.
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

const architecture = process.arch === "x64" ? "amd64" : process.arch;
const file = process.platform === "win32" ? "forge.exe" : "forge";
const binary = createRequire(import.meta.url).resolve(
  `@foundry-rs/forge-${process.platform}-${architecture}/bin/${file}`,
);
const { status, signal, error } = spawnSync(binary, process.argv.slice(2), {
  cwd: dirname(dirname(fileURLToPath(import.meta.url))),
  stdio: "inherit",
});
if (error) throw error;
if (signal) console.error(`forge was ended by ${signal}`);
process.exitCode = status ?? 1;
