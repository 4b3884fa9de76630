// node dist/cli.js RECEIPT.json... [--inclusion FILE] [--rpc URL --registry ADDRESS [--vault ADDRESS]]
//
// Ends with 0 where nothing failed, 1 where something did, 2 where what was asked for could not be checked.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { type Hex, http, isAddress } from 'viem';
import { type Chain, type Check, receiptIn, verify, verifyRun } from './verify.ts';

const USAGE = 'usage: cli RECEIPT.json... [--inclusion FILE] [--rpc URL --registry ADDRESS [--vault ADDRESS]]';
const MARKS = { valid: '✓ valid      ', 'not checked': '– not checked', failed: '✗ failed     ' };

interface Asked {
  files: string[];
  inclusion?: string;
  chain?: Chain;
}

function read(): Asked {
  const text = { type: 'string' } as const;
  const options = { inclusion: text, rpc: text, registry: text, vault: text };
  const { values, positionals: files } = parseArgs({ options, allowPositionals: true });
  const { inclusion, rpc, registry, vault } = values;
  if (files.length === 0 || (files.length > 1 && inclusion !== undefined)) throw new Error(USAGE);
  if ((rpc === undefined) !== (registry === undefined)) throw new Error('--rpc and --registry go together: name the registry that you trust');
  if (vault !== undefined && rpc === undefined) throw new Error('--vault is asked for at a node: name it with --rpc');
  for (const address of [registry, vault]) {
    if (address !== undefined && !isAddress(address)) throw new Error(`${address} is no address, or its checksum is wrong`);
  }
  const chain = rpc !== undefined && { transport: http(rpc), registry: registry as Hex, ...(vault !== undefined && { vault: vault as Hex }) };
  return { files, ...(inclusion !== undefined && { inclusion: readFileSync(inclusion, 'utf8') }), ...(chain && { chain }) };
}

/** What a receipt says must not move the cursor. */
const printable = (line: string): string => line.replace(/\p{C}/gu, '?');

function print(title: string, checks: Check[]): void {
  console.log(printable(title));
  for (const { of, outcome, detail } of checks) console.log(printable(`  ${MARKS[outcome]}  ${of}: ${detail}`));
}

async function main(): Promise<number> {
  const { files, ...given } = read();
  const texts = files.map((file) => receiptIn(readFileSync(file, 'utf8')));
  const done: Check[] = [];
  let isUnchecked = false;
  for (const [at, text] of texts.entries()) {
    const { outcome, checks } = await verify(text, given);
    print(`${files[at]}: ${outcome}`, checks);
    done.push(...checks);
    isUnchecked ||= outcome === 'not checked: receipt/1';
  }
  if (texts.length > 1) {
    const run = verifyRun(texts);
    print(`run of ${texts.length} receipts`, run);
    done.push(...run);
  }
  if (done.some((check) => check.outcome === 'failed')) return 1;
  // of each receipt the root and its owner
  const asked = given.chain ? 2 * files.length : 0;
  const answered = done.filter((check) => check.of === 'chain' && check.outcome === 'valid').length;
  return isUnchecked || answered < asked ? 2 : 0;
}

main().then(
  (code) => (process.exitCode = code),
  (error) => {
    console.error(printable(error instanceof Error ? error.message : String(error)));
    process.exitCode = 2;
  },
);
