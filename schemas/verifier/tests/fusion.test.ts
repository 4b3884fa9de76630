import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import type { Hex } from 'viem';
import { best } from '../fusion.ts';
import { parse } from '../json.ts';
import type { Body, Candidates } from '../receipt.ts';

/** What Rust makes of candidates: `rag/src/tests/fused.rs` writes the file. */
interface Case {
  retrieval: Body['retrieval'];
  candidates: Candidates;
  best: [chunk: Hex, vectorRank: bigint | null, wordsRank: bigint | null][];
}

test('candidates lead to what they lead to in Rust', () => {
  const cases = parse(readFileSync('tests/fusion.json', 'utf8')) as unknown as Case[];
  assert.ok(cases.length >= 100);
  for (const { retrieval, candidates, best: due } of cases) {
    const found = best(retrieval, candidates)?.map((one) => [one.chunk_id, one.vector?.rank ?? null, one.words?.rank ?? null]);
    assert.deepEqual(found, due, JSON.stringify(retrieval, (_, value) => (typeof value === 'bigint' ? value.toString() : value)));
  }
});
