// Completes package-lock.json after `npm install`, so that `npm ci` works anywhere:
// no registry address is kept, and every platform's build of forge and anvil has an entry, also those that
// the registry at hand does not carry (npm leaves them out of the file and then `npm ci` refuses it).
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const PATH = join(dirname(dirname(fileURLToPath(import.meta.url))), "package-lock.json");
const CPU = { amd64: "x64", arm64: "arm64" };

const lock = JSON.parse(readFileSync(PATH, "utf8"));
for (const entry of Object.values(lock.packages)) delete entry.resolved;
for (const tool of ["anvil", "forge"]) {
  const platforms = lock.packages[`node_modules/@foundry-rs/${tool}`].optionalDependencies;
  for (const [name, version] of Object.entries(platforms)) {
    const [os, cpu] = name.split("-").slice(-2);
    const known = lock.packages[`node_modules/${name}`];
    if (known?.version) continue;
    lock.packages[`node_modules/${name}`] = { version, cpu: [CPU[cpu]], dev: true, optional: true, os: [os] };
  }
}
const [root, ...rest] = Object.entries(lock.packages);
rest.sort(([a], [b]) => (a < b ? -1 : 1));
lock.packages = Object.fromEntries([root, ...rest]);
writeFileSync(PATH, `${JSON.stringify(lock, null, 2)}\n`);
