// Runs the forge that npm installed. The package's own launcher (node_modules/.bin/forge) always exits
// with 0, so a failed test would pass unnoticed; this one hands forge's exit status on.
//   node scripts/forge.mjs ARGUMENTS…   runs it in this project
//   node scripts/forge.mjs --where      prints the folder that it is in
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

const architecture = process.arch === "x64" ? "amd64" : process.arch;
const file = process.platform === "win32" ? "forge.exe" : "forge";
/** The native binary. */
export const forge = createRequire(import.meta.url).resolve(
  `@foundry-rs/forge-${process.platform}-${architecture}/bin/${file}`,
);

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv[2] === "--where") console.log(dirname(forge));
  else run(process.argv.slice(2));
}

function run(commandLine) {
  const { status, signal, error } = spawnSync(forge, commandLine, {
    cwd: dirname(dirname(fileURLToPath(import.meta.url))),
    stdio: "inherit",
  });
  if (error) throw error;
  if (signal) console.error(`forge was ended by ${signal}`);
  process.exitCode = status ?? 1;
}
