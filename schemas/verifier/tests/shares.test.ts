import assert from 'node:assert/strict';
import test from 'node:test';
import type { Hex } from 'viem';
import type { Likelihood, Source } from '../receipt.ts';
import { PPM, decayPpm, largestRemainder, likelihoodShares, playersOf, shapleyValues, sum } from '../shares.ts';

const NAT = 1_000_000n;
const account = (n: number): Hex => `0x${(n + 1).toString(16).padStart(2, '0').repeat(20)}`;

/** Worths in nats of the sets of so many players, above −9 without anybody; each has one source. */
function game(count: number, worth: (set: number) => number): Likelihood {
  const players = [...Array(count).keys()];
  const table = [...Array(1 << count).keys()].map((set) => (BigInt(worth(set)) - 9n) * NAT);
  return {
    instruction_set: 'avx2',
    tokens: 1n,
    players: players.map((player) => [account(player)]),
    needs: players.map(() => []),
    table,
    alone: players.map((player) => table[1 << player]),
    without: players.map((player) => table[(table.length - 1) ^ (1 << player)]),
  };
}

const source = (contributor: number, chunk: number): Source =>
  ({ chunk_id: `0x${chunk.toString(16).padStart(64, '0')}`, contributor: account(contributor), registered: BigInt(chunk) }) as Source;
const sources = ({ players }: Likelihood): Source[] => players.map((_, player) => source(player, player));

// The games and numbers of rag/src/attribution/likelihood/tests.rs.
test('values are those of games that are known', () => {
  const thousandths = ({ players, table }: Likelihood) => {
    const orders = [1n, 1n, 2n, 6n][players.length];
    return shapleyValues(players.length, table).map((value) => Number(value / orders / 1000n));
  };
  assert.deepEqual(thousandths(game(2, (set) => (set === 3 ? 6 : 0))), [3000, 3000]);
  assert.deepEqual(thousandths(game(3, (set) => (set & 6 ? 6 : 0))), [0, 3000, 3000]);
  assert.deepEqual(thousandths(game(3, (set) => (set & 1 && set & 6 ? 6 : 0))), [4000, 1000, 1000]);
  assert.deepEqual(thousandths(game(2, (set) => [0, 4, -2, 2][set])), [4000, -2000]);
  const either = (set: number) => (set & 2 && set & 5 ? 8 : 0);
  assert.deepEqual(thousandths(game(3, either)), [1333, 5333, 1333]);
  assert.deepEqual(thousandths(game(3, (set) => either(set & 1 ? set : set & 3))), [4000, 4000, 0]);
});

test('values are the mean over all orders', () => {
  let seed = 1;
  const random = () => (seed = (seed * 48271) % 2147483647);
  for (let round = 0; round < 40; round++) {
    const count = 1 + (random() % 6);
    const given = game(count, () => 0);
    given.table = given.table.map(() => -BigInt(random() % 9_000_000));
    const expected = given.players.map(() => 0n);
    for (const order of orders([...given.players.keys()])) {
      let set = 0;
      for (const player of order) {
        expected[player] += given.table[set | (1 << player)] - given.table[set];
        set |= 1 << player;
      }
    }
    assert.deepEqual(shapleyValues(count, given.table), expected);
    const { shares, source_shares_ppm, unattributed_ppm } = likelihoodShares(sources(given), given);
    assert.equal(sum(shares.map((share) => share.share_ppm)) + unattributed_ppm, PPM);
    assert.equal(sum(source_shares_ppm) + unattributed_ppm, PPM);
  }
});

function orders<T>(items: T[]): T[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((item, at) => orders(items.filter((_, other) => other !== at)).map((rest) => [item, ...rest]));
}

test('shares are of what the sources gained', () => {
  const divided = (of: Likelihood) => {
    const { shares, unattributed_ppm } = likelihoodShares(sources(of), of);
    return [...shares.map((share) => Number(share.share_ppm)), Number(unattributed_ppm)];
  };
  assert.deepEqual(divided(game(2, (set) => (set === 3 ? 1 : 0))), [316_061, 316_060, 367_879]);
  assert.deepEqual(divided(game(2, () => 0)), [1_000_000]);
  assert.deepEqual(divided(game(2, (set) => (set === 3 ? -1 : 0))), [1_000_000]);
  assert.deepEqual(divided(game(2, (set) => [0, 4, -2, 2][set])), [864_665, 135_335]);
});

test('sources of one contributor share what it earned', () => {
  const given = game(1, (set) => (set === 1 ? 9 : 0));
  const three = [source(0, 2), source(0, 1), source(0, 3)];
  [given.alone, given.without] = [[-9n * NAT, 0n, 0n], [0n, 0n, -9n * NAT]];
  const { shares, source_shares_ppm } = likelihoodShares(three, given);
  const whole = shares[0].share_ppm;
  assert.deepEqual(source_shares_ppm, [0n, whole / 3n, whole - whole / 3n]);
  // none adds anything: evenly
  [given.alone, given.without] = [three.map(() => -9n * NAT), three.map(() => 0n)];
  const evenly = likelihoodShares(three, given).source_shares_ppm;
  assert.ok(evenly.every((part) => part === whole / 3n || part === whole / 3n + 1n));
});

test('beyond ten contributors the last are one player', () => {
  const [three, one] = [[3, 1, 3, 2], [...Array(12).keys(), 11, 0]].map((of) => playersOf(of.map((n) => source(n, n))));
  assert.deepEqual(three, [3, 1, 2].map((n) => [account(n)]));
  assert.deepEqual([one.length, one[8], one[9]], [10, [account(8)], [9, 10, 11].map(account)]);
  assert.deepEqual(playersOf([]), []);
  const given = game(2, (set) => [0, 4, 4, 8][set]);
  given.players[1].push(account(7));
  [given.alone, given.without] = [[-5n, -8n, -6n].map((nats) => nats * NAT), [-5n, -1n, -1n].map((nats) => nats * NAT)];
  const { shares, source_shares_ppm, unattributed_ppm } = likelihoodShares([source(0, 1), source(1, 2), source(7, 3)], given);
  const paid = shares.map((share) => share.share_ppm);
  assert.deepEqual([paid, unattributed_ppm], [source_shares_ppm, 335n]);
  // the second adds 1 and loses 0, the third 3 and 0
  assert.deepEqual(paid, [499_833n, 124_958n, 374_874n]);
});

test('decay is the exponential', () => {
  for (let micro = 0; micro < 20_000_000; micro += 9973) {
    const exact = 1e6 * Math.exp(-micro / 1e6);
    const apart = Math.abs(Number(decayPpm(BigInt(micro))) - Math.floor(exact));
    assert.ok(apart <= (exact % 1 < 1e-6 ? 1 : 0), `${micro}`);
  }
  assert.deepEqual([decayPpm(0n), decayPpm(2n ** 64n - 1n), decayPpm(13_815_511n)], [PPM, 0n, 0n]);
});

test('nothing is created or lost by dividing', () => {
  assert.deepEqual(largestRemainder(10n, [1n, 1n, 1n]), [4n, 3n, 3n]);
  assert.deepEqual(largestRemainder(PPM, [2n, 1n]), [666_667n, 333_333n]);
  assert.deepEqual(largestRemainder(5n, [0n, 0n]), [0n, 0n]);
  assert.deepEqual(largestRemainder(7n, []), []);
  const most = 2n ** 128n - 1n;
  assert.equal(sum(largestRemainder(most, [most, most])), most);
});
