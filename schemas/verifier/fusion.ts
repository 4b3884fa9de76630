// From what was found by vector and by words to what was retrieved: `convex/1` and `rrf/2`, in integers. The formulas stand in
// `rag/src/retrieve/fusion.rs`.

import type { Hex } from 'viem';
import type { Body, Candidates } from './receipt.ts';
import { PPM, sum } from './shares.ts';

/** A chunk with its place in each list that it is in. */
export interface Fused {
  chunk_id: Hex;
  vector?: Place;
  words?: Place;
}
export interface Place {
  /** From 1. */
  rank: bigint;
  score: bigint;
}

/** Cosines that the mean is of. */
const COMPARED = 20;
const RRF_K_MAX = 1_000_000n;

/**
 * The best of the candidates, best first: by a reranker's scores where it read them. `undefined` for a method that is not known
 * here, or scores that are not those of what was fused.
 */
export function best(retrieval: Body['retrieval'], found: Candidates): Fused[] | undefined {
  const { top_k, reranked } = retrieval;
  const fused = fuse(retrieval, found, reranked ?? top_k);
  if (!fused || !found.reranked) return fused;
  if (found.reranked.length !== fused.length) return undefined;
  const scores = found.reranked;
  const ranked = fused.map((one, at) => ({ one, score: scores[at] })).sort((a, b) => greater(a.score, b.score));
  return cut(ranked, top_k, () => false);
}

function fuse(retrieval: Body['retrieval'], found: Candidates, limit: bigint): Fused[] | undefined {
  const { method, rrf_k: k, vector_weight_ppm: weight, contrast_ppm: contrast } = retrieval;
  const all = new Map<Hex, Fused>();
  for (const [list, name] of [[found.by_vector, 'vector'], [found.by_words, 'words']] as const) {
    list.forEach(([chunk_id, score], at) => all.set(chunk_id, { chunk_id, ...all.get(chunk_id), [name]: { rank: BigInt(at + 1), score } }));
  }
  const fused = [...all.values()];
  if (method === 'rrf/2' && k !== undefined && k <= RRF_K_MAX) {
    // 1 / (k + rank) and its like, as one fraction
    const score = ({ vector, words }: Fused): [bigint, bigint] => {
      const [a, b] = [vector, words].map((place) => place && k + place.rank);
      return a !== undefined && b !== undefined ? [a + b, a * b] : [1n, (a ?? b)!];
    };
    return cut(fused.map((one) => ({ one, score: score(one) })).sort((a, b) => byFraction(a.score, b.score) || byId(a.one, b.one)), limit, () => false);
  }
  if (method !== 'convex/1' || weight === undefined || contrast === undefined) return undefined;
  const compared = found.by_vector.slice(0, COMPARED).map(([, score]) => score);
  const mean = floor(sum(compared), BigInt(Math.max(compared.length, 1)));
  const trust = least((above(mean, compared[0] ?? mean) * PPM) / contrast, PPM);
  const score = ({ vector, words }: Fused): [bigint, bigint] => {
    const near = vector ? above(mean, vector.score) : 0n;
    const said = words ? least(above(0n, words.score), PPM) : 0n;
    return [weight * trust ** 3n * near + (PPM - weight) * PPM ** 3n * said, 1n];
  };
  const ranked = fused.map((one) => ({ one, score: score(one) }));
  ranked.sort((a, b) => byFraction(a.score, b.score) || byScores(a.one, b.one) || byId(a.one, b.one));
  return cut(ranked, limit, ({ vector, words }) => limit > 1n && (vector?.rank === 1n || words?.rank === 1n));
}

/** The first of them, among which those that have a place whatever their score is. */
function cut(ranked: { one: Fused }[], limit: bigint, hasPlace: (one: Fused) => boolean): Fused[] {
  let left = limit - BigInt(ranked.filter(({ one }) => hasPlace(one)).length);
  const kept = ranked.filter(({ one }) => hasPlace(one) || left-- > 0n).map(({ one }) => one);
  return kept.slice(0, Number(least(limit, BigInt(kept.length))));
}

const least = (a: bigint, b: bigint): bigint => (a < b ? a : b);
/** How far a score is above another; two cosines are 2 apart at most. */
const above = (from: bigint, score: bigint): bigint => (score <= from ? 0n : least(score - from, 2n * PPM));
const floor = (a: bigint, b: bigint): bigint => (a % b < 0n ? a / b - 1n : a / b);
const greater = (a: bigint, b: bigint): number => (a > b ? -1 : a < b ? 1 : 0);
const byFraction = ([a, of]: [bigint, bigint], [b, over]: [bigint, bigint]): number => greater(a * over, b * of);
/** Nothing is less than any score. */
const NOTHING = -(2n ** 64n);
const byScores = (a: Fused, b: Fused): number =>
  greater(a.vector?.score ?? NOTHING, b.vector?.score ?? NOTHING) || greater(a.words?.score ?? NOTHING, b.words?.score ?? NOTHING);
const byId = (a: Fused, b: Fused): number => (a.chunk_id < b.chunk_id ? -1 : 1);
