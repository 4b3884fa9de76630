// Receipts to test with: those that Rust wrote (`fixtures/`), changed ones, and signatures of a test key.

import { readFileSync, readdirSync } from 'node:fs';
import { type Hex, hashTypedData, keccak256, stringToHex } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { type Json, canonical, isObject, parse } from '../json.ts';

export type Members = { [name: string]: Json };
export interface Fixture {
  name: string;
  /** Texts of receipts; several are a run. */
  receipts: string[];
  inclusion?: string;
  valid: boolean;
  /** The level that fails. */
  fails?: string;
}

/** A file is a receipt, a list of receipts (a run), or `{ receipt, inclusion?, valid?, fails? }`. */
export function fixtures(): Fixture[] {
  const names = readdirSync('fixtures').filter((name) => name.endsWith('.json'));
  return names.sort().map((name) => {
    const file = parse(readFileSync(`fixtures/${name}`, 'utf8'));
    if (Array.isArray(file)) return { name, receipts: file.map(canonical), valid: true };
    if (!isObject(file)) throw new Error(`${name} is no fixture`);
    const { receipt = file, inclusion, valid = true, fails } = file;
    return {
      name,
      receipts: [canonical(receipt)],
      valid: valid === true,
      ...(inclusion !== undefined && { inclusion: canonical(inclusion) }),
      ...(typeof fails === 'string' && { fails }),
    };
  });
}

/** The key of the receipts in Rust's tests. */
const signer = privateKeyToAccount(`0x${'07'.repeat(32)}`);

export async function signed(body: Json): Promise<string> {
  const { chain_id, registry, answer_id } = body as { chain_id: bigint; registry: Hex; answer_id: Hex };
  const bodyHash = keccak256(stringToHex(canonical(body)));
  const hash = hashTypedData({
    domain: { name: 'Headwater', version: '1', chainId: chain_id, verifyingContract: registry },
    types: { AnswerReceipt: [{ name: 'answerId', type: 'bytes32' }, { name: 'bodyHash', type: 'bytes32' }] },
    primaryType: 'AnswerReceipt',
    message: { answerId: answer_id, bodyHash },
  });
  return canonical({ body, body_hash: bodyHash, signer: signer.address.toLowerCase(), signature: await signer.sign({ hash }) });
}

export const bodyOf = (receipt: string): Members => (parse(receipt) as { body: Members }).body;

type Path = (string | number)[];

/** Every change of one place that keeps the text JSON, with the path of that place. */
export function* changes(json: Json): Generator<{ path: string; what: string; changed: Json }> {
  for (const path of places(json)) {
    for (const [what, change] of Object.entries(CHANGES)) {
      const changed = structuredClone(json);
      const parent = path.slice(0, -1).reduce<Json>((at, step) => (at as Members)[step], changed) as Members;
      const last = path[path.length - 1];
      const value = change(parent[last]);
      if (value === undefined && what !== 'left out') continue;
      if (value === undefined) {
        if (Array.isArray(parent)) parent.splice(Number(last), 1);
        else delete parent[last];
      } else parent[last] = value;
      yield { path: path.map((step) => (typeof step === 'number' ? '[]' : step)).join('.'), what, changed };
    }
  }
}

const CHANGES: Record<string, (value: Json) => Json | undefined> = {
  'one more': (value) => (typeof value === 'bigint' ? value + 1n : undefined),
  'one less': (value) => (typeof value === 'bigint' ? value - 1n : undefined),
  'another end': (value) => (typeof value === 'string' ? value.slice(0, -1) + (value.endsWith('0') ? '1' : '0') : undefined),
  nothing: (value) => (value === null ? undefined : null),
  something: (value) => (value === null ? 1n : undefined),
  'left out': () => undefined,
  'a member more': (value) => (isObject(value) ? { ...value, more: 0n } : undefined),
  'an item twice': (value) => (Array.isArray(value) && value.length > 0 ? [...value, value[0]] : undefined),
  'another order': (value) => (Array.isArray(value) && canonical(value) !== canonical([...value].reverse()) ? [...value].reverse() : undefined),
};

function* places(json: Json, path: Path = []): Generator<Path> {
  if (path.length > 0) yield path;
  if (Array.isArray(json)) for (const [at, item] of json.entries()) yield* places(item, [...path, at]);
  else if (isObject(json)) for (const name of Object.keys(json)) yield* places(json[name], [...path, name]);
}
