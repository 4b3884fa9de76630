// Prints the times in the report of `headwater --json demo --exit`, read from standard input.
import { readFileSync } from "node:fs";

const text = readFileSync(0, "utf8");
const report = text.trim() === "" ? {} : JSON.parse(text);
if (!report.timings) {
  process.stderr.write(text); // the demo failed and has said why
  process.exit(1);
}
const line = (name, seconds) => console.log(`${name.padEnd(16)}${seconds.toFixed(1).padStart(7)} s`);
for (const { step, seconds } of report.timings) line(step, seconds);
line("first answer", report.first_answer_seconds);
line("in all", report.seconds);
