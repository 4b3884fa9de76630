// Prints every row that ponder stored as `number,log index,canonical text`: `node rows.mjs FOLDER SCHEMA`.
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const PAGE = 50_000;
const [folder, schema] = process.argv.slice(2);
const require = createRequire(join(folder, "node_modules", "ponder", "package.json"));
const { PGlite } = await import(pathToFileURL(require.resolve("@electric-sql/pglite")));
const database = new PGlite(join(folder, ".ponder", "pglite"));

let last = "";
for (;;) {
  const { rows } = await database.query(`SELECT * FROM "${schema}".logs WHERE id > $1 ORDER BY id LIMIT ${PAGE}`, [last]);
  if (rows.length === 0) break;
  const lines = rows.map((r) =>
    [r.block_number, r.log_index, r.block_hash, r.transaction_hash, r.address, r.topics, r.data].join(","),
  );
  process.stdout.write(`${lines.join("\n")}\n`);
  last = rows.at(-1).id;
}
await database.close();
