// From a receipt's tables to its shares: `support/2` and `likelihood/1`, to the last digit. Everything is BigInt; division rounds
// towards zero, as Rust's does.

import type { Hex } from 'viem';
import type { Body, Likelihood, Source } from './receipt.ts';

/** Parts per million: shares and what is unattributed sum to this. */
export const PPM = 1_000_000n;
/** Players of a game: its table has a number for each set of them. */
const PLAYERS_MAX = 10;

export interface Shares {
  /** Contributors with a share above zero, by address. */
  shares: { contributor: Hex; share_ppm: bigint }[];
  source_shares_ppm: bigint[];
  unattributed_ppm: bigint;
}

/** What the first of the sources to say a thing earns by it: rows of weights and parts. */
export function supportShares({ sources, value_table }: Body): Shares {
  const worth = sources.map((_, at) => sum(value_table.map((row) => row.weight_ppm * row.adds_ppm[at])));
  const owners = [...new Set(sources.map((source) => source.contributor))].sort(compare);
  const owned = owners.map((owner) => sum(worth.filter((_, at) => sources[at].contributor === owner)));
  const parts = largestRemainder(PPM, [...owned, PPM * PPM - sum(worth)]);
  const players = owners.map((owner) => [owner]);
  return divided(sources, players, parts.slice(0, -1), worth);
}

/** What the sources made likely: of 1 − e^(−gain per token), in proportion to Shapley values above zero. */
export function likelihoodShares(sources: Source[], { tokens, players, table, alone, without }: Likelihood): Shares {
  const [none, all] = [table[0], table[table.length - 1]];
  const pool = PPM - decayPpm(positive((all - none) / tokens));
  const parts = largestRemainder(pool, shapleyValues(players.length, table).map(positive));
  // of a source alone, and of what is lost without it: twice their mean
  const worth = sources.map((_, at) => alone[at] - none + (all - without[at]));
  return divided(sources, players, parts, worth);
}

/** Each player's Shapley value times (number of players)!, in µnat. Sets of players are numbers, a bit for each. */
export function shapleyValues(count: number, table: bigint[]): bigint[] {
  return Array.from({ length: count }, (_, player) => {
    let value = 0n;
    for (let set = 0; set < 1 << count; set++) {
      if ((set >> player) & 1) continue;
      const before = set.toString(2).replaceAll('0', '').length;
      // orders in which just these stand before the player
      value += factorial(before) * factorial(count - before - 1) * (table[set | (1 << player)] - table[set]);
    }
    return value;
  });
}

/** The contributors in the order of their first source, each a player; those beyond the tenth are one with it. */
export function playersOf(sources: Source[]): Hex[][] {
  const order = [...new Set(sources.map((source) => source.contributor))];
  const players = order.slice(0, PLAYERS_MAX).map((contributor) => [contributor]);
  players.at(-1)?.push(...order.slice(PLAYERS_MAX));
  return players;
}

/** 10⁶ · e^(−micro/10⁶), rounded down: a Taylor series of 20 terms and powers of 1/e, in integers of 18 digits. */
export function decayPpm(micro: bigint): bigint {
  const [ONE, PER_E] = [10n ** 18n, 367_879_441_171_442_321n];
  if (micro / PPM > 20n) return 0n;
  let term = ONE;
  let decayed = ONE;
  for (let n = 1n; n <= 20n; n++) {
    term = (-term * (micro % PPM)) / (n * PPM);
    decayed += term;
  }
  for (let nat = 0n; nat < micro / PPM; nat++) decayed = (decayed * PER_E) / ONE;
  const ppm = (decayed * PPM) / ONE;
  return ppm < PPM ? ppm : PPM;
}

/** Hamilton's method: quotas rounded down, the rest to the largest remainders, ties to the earlier. All zero: nobody gets any. */
export function largestRemainder(total: bigint, weights: bigint[]): bigint[] {
  const whole = sum(weights);
  if (whole === 0n) return weights.map(() => 0n);
  const parts = weights.map((weight) => (total * weight) / whole);
  const left = Number(total - sum(parts));
  const remainder = (at: number) => (total * weights[at]) % whole;
  const order = weights.map((_, at) => at).sort((a, b) => compare(remainder(b), remainder(a)) || a - b);
  for (const at of order.slice(0, left)) parts[at] += 1n;
  return parts;
}

/** Each player's part to its sources by their worth, or evenly where none has any; and what that makes for contributors. */
function divided(sources: Source[], players: Hex[][], parts: bigint[], worth: bigint[]): Shares {
  const source_shares_ppm = sources.map(() => 0n);
  players.forEach((who, player) => {
    const own = sources.map((_, at) => at).filter((at) => who.includes(sources[at].contributor));
    // an order that does not depend on that of the sources
    own.sort((a, b) => compare(sources[a].chunk_id, sources[b].chunk_id) || compare(sources[a].registered, sources[b].registered) || a - b);
    const weights = own.map((at) => positive(worth[at]));
    const counted = sum(weights) > 0n ? weights : own.map(() => 1n);
    largestRemainder(parts[player], counted).forEach((part, place) => (source_shares_ppm[own[place]] = part));
  });
  // all are lower-case digits of one length, so the order of texts is that of addresses
  const shares = players.flat().sort(compare).map((contributor) => {
    return { contributor, share_ppm: sum(source_shares_ppm.filter((_, at) => sources[at].contributor === contributor)) };
  });
  return { shares: shares.filter((share) => share.share_ppm > 0n), source_shares_ppm, unattributed_ppm: PPM - sum(parts) };
}

export const sum = (numbers: bigint[]): bigint => numbers.reduce((all, number) => all + number, 0n);
const positive = (number: bigint): bigint => (number > 0n ? number : 0n);
const factorial = (number: number): bigint => (number > 1 ? BigInt(number) * factorial(number - 1) : 1n);
const compare = <T extends bigint | string>(a: T, b: T): number => (a < b ? -1 : a > b ? 1 : 0);
