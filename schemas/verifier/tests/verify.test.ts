import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import test from 'node:test';
import { type Hex, custom, decodeFunctionData, encodeFunctionResult, keccak256, parseAbi, toHex } from 'viem';
import { StandardMerkleTree } from '@openzeppelin/merkle-tree';
import { type Json, canonical, parse } from '../json.ts';
import { readReceipt } from '../receipt.ts';
import { PPM, likelihoodShares, supportShares } from '../shares.ts';
import { type Level, type Verdict, receiptIn, verify, verifyRun } from '../verify.ts';
import { type Members, bodyOf, changes, fixtures, signed } from './receipts.ts';

const FIXTURES = fixtures();
/** The body of a snapshot in rag/src/tests, signed here: numbers below are of it. */
const SUPPORT = bodyOf(FIXTURES.find(({ name }) => name === 'snapshot.json')!.receipts[0]);

const failing = ({ checks }: Verdict): Level[] => checks.filter((check) => check.outcome === 'failed').map((check) => check.of);
const outcomes = ({ checks }: Verdict) => Object.fromEntries(checks.map((check) => [check.of, check.outcome]));
const why = ({ checks }: Verdict): string => checks.filter((check) => check.outcome === 'failed').map((check) => check.detail).join('; ');

/** With the shares that follow from what the body states. */
function settled(body: Members): Members {
  const { body: read } = readReceipt({ body, body_hash: toHex(0, { size: 32 }), signer: toHex(0, { size: 20 }), signature: '' }, 'made');
  return { ...body, ...(read.likelihood ? likelihoodShares(read.sources, read.likelihood) : supportShares(read)) } as unknown as Members;
}

/** The answer of `SUPPORT`, divided by how likely its three contributors made it: the second's first source repeats the first's. */
function likely(): Members {
  const sources = SUPPORT.sources as Members[];
  const players = [...new Set(sources.map((source) => source.contributor as string))];
  const own = sources.map((source) => players.indexOf(source.contributor as string));
  const needs = sources.map((_, at) => (at === 1 ? [0n] : []));
  // of any sources, by a sum that no two sets share
  const worth = (read: (at: number) => boolean) => -80_000_000n + sources.reduce((all, _, at) => all + (read(at) ? 3_000_000n + (1n << BigInt(at)) : 0n), 0n);
  const isIn = (set: number) => (at: number) => ((set >> own[at]) & 1) === 1 && (at !== 1 || (set & 1) === 1);
  const likelihood: Members = {
    instruction_set: 'avx2',
    tokens: 24n,
    players: players.map((player) => [player]),
    needs,
    table: [0, 1, 2, 3, 4, 5, 6, 7].map((set) => worth(isIn(set))),
    alone: sources.map((_, one) => worth((at) => at === one)),
    without: sources.map((_, one) => worth((at) => at !== one)),
  };
  return settled({ ...SUPPORT, method: 'likelihood/1', value_table: [], likelihood });
}

/** `SUPPORT` with what its sources were chosen from: all that was found. */
function found(): Members {
  const listed = (rank: string, score: string): Json[] => {
    const placed = (SUPPORT.sources as Members[]).filter((source) => source[rank] !== null);
    placed.sort((a, b) => Number(a[rank]) - Number(b[rank]));
    return placed.map((source) => [source.chunk_id, source[score]]);
  };
  return { ...SUPPORT, candidates: { by_vector: listed('vector_rank', 'vector_ppm'), by_words: listed('lexical_rank', 'lexical_ppm') } };
}

function declined(): Members {
  const generation = { ...(SUPPORT.generation as Members), sentences: [] };
  return settled({ ...SUPPORT, status: 'declined', generation, value_table: [], fee_wei: '0' });
}

test('fixtures are what they say', async () => {
  assert.ok(FIXTURES.length > 0);
  for (const { name, receipts, inclusion, valid, fails } of FIXTURES) {
    for (const receipt of receipts) {
      const verdict = await verify(receipt, inclusion === undefined ? {} : { inclusion });
      assert.equal(verdict.outcome, valid ? 'holds as far as it was checked' : 'failed', `${name}: ${why(verdict)}`);
      if (fails !== undefined) assert.deepEqual(failing(verdict), [fails], `${name}: ${why(verdict)}`);
      if (!valid) continue;
      const epoch = inclusion === undefined ? 'not checked' : 'valid';
      const expected = { form: 'valid', signature: 'valid', inclusion: 'valid', arithmetic: 'valid', epoch, chain: 'not checked', answer: 'not checked' };
      assert.deepEqual(outcomes(verdict), expected, name);
    }
    if (receipts.length > 1) assert.equal(verifyRun(receipts)[0].outcome, 'valid', name);
  }
});

test('what is made here from them holds', async () => {
  for (const body of [SUPPORT, found(), likely(), declined()]) {
    const verdict = await verify(await signed(body));
    assert.equal(verdict.outcome, 'holds as far as it was checked', why(verdict));
  }
});

test('whatever is changed and not signed again fails', async () => {
  const valid = FIXTURES.filter((fixture) => fixture.valid).flatMap((fixture) => fixture.receipts);
  let count = 0;
  for (const receipt of [...valid, await signed(likely()), await signed(found())]) {
    for (const { path, what, changed } of changes(parse(receipt))) {
      const levels = failing(await verify(canonical(changed)));
      assert.ok(levels[0] === 'form' || levels[0] === 'signature', `${path}, ${what}: ${levels}`);
      count += 1;
    }
  }
  assert.ok(count > 1000, `${count}`);
});

/** What its signer can change and sign again without that this verifier sees it: nobody but who runs it again can tell. */
const SIGNERS_WORD = `answer_hash answer_id chain_id datanet_id fee_wei generation.answer_tokens generation.dropped_sources
  generation.generator_sha256 generation.invalid_citations generation.mode generation.prompt generation.prompt_hash generation.prompt_tokens
  generation.sampling.frequency_penalty_ppm generation.sampling.min_p_ppm generation.sampling.presence_penalty_ppm
  generation.sampling.repetition_penalty_ppm generation.sampling.seed generation.sampling.temperature_ppm generation.sampling.top_k
  generation.sampling.top_p_ppm generation.sentences.[].cited.[] generation.sentences.[].end generation.sentences.[].start
  generation.stop_hash generation.tokens_hash generation.tokens_max issued_at_ms models.embedder models.embedder_sha256 models.generator payer
  question_hash registry retrieval.candidates retrieval.contrast_ppm retrieval.method retrieval.top_k retrieval.vector_weight_ppm retrieved
  sources.[].document_id sources.[].lexical_ppm sources.[].lexical_rank sources.[].vector_ppm sources.[].vector_rank value_table
  value_table.[].adds_ppm.[] version`;

test('what is changed and signed again fails, unless it is the signer’s word', async () => {
  const unseen = new Set<string>();
  for (const { path, changed } of changes(SUPPORT)) {
    const receipt = await signed(changed).catch(() => undefined);
    if (receipt !== undefined && failing(await verify(receipt)).length === 0) unseen.add(path);
  }
  assert.deepEqual([...unseen].sort(), SIGNERS_WORD.split(/\s+/).sort());
});

/** Of what was found only the lists are. */
const FOLLOWS = `retrieval.method retrieved sources.[].lexical_ppm sources.[].lexical_rank sources.[].vector_ppm sources.[].vector_rank`;

test('what follows from the candidates is not the signer’s word', async () => {
  const follows = FOLLOWS.split(/\s+/);
  for (const { path, what, changed } of changes(found())) {
    if (!follows.includes(path)) continue;
    const receipt = await signed(changed).catch(() => undefined);
    assert.ok(receipt === undefined || failing(await verify(receipt)).length > 0, `${path}, ${what}`);
  }
});

type Change = (body: Members) => void;
const at = (json: Json, ...path: (string | number)[]): Members => path.reduce((json, step) => (json as Members)[step], json) as Members;
const game = (body: Members) => body.likelihood as { [name: string]: Json[] };

test('signed lies fail where they are told', async () => {
  const lies: [what: string, of: () => Members, change: Change, level: Level, why: RegExp][] = [
    ['a forged proof', () => SUPPORT, (b) => (at(b, 'sources', 0, 'proof')[0] = b.answer_hash), 'inclusion', /source 0 .* not proven/],
    ['no proof', () => SUPPORT, (b) => (at(b, 'sources', 1).proof = []), 'inclusion', /source 1 .* not proven/],
    ['an earlier registration', () => SUPPORT, (b) => (at(b, 'sources', 0).registered = 0n), 'inclusion', /registered as 0/],
    ['another contributor', declined, (b) => (at(b, 'sources', 0).contributor = b.registry), 'inclusion', /source 0/],
    ['another root', () => SUPPORT, (b) => (b.version_root = b.answer_hash), 'inclusion', /source 0/],
    ['another file', () => SUPPORT, (b) => (at(b, 'sources', 2).document_sha256 = b.answer_hash), 'inclusion', /source 2: its file/],
    ['a share moved', () => SUPPORT, (b) => {
      at(b, 'shares', 0).share_ppm = 719_218n;
      at(b, 'shares', 1).share_ppm = 91_593n;
      b.source_shares_ppm = [91_593n, 719_218n, 0n, 0n, 0n, 0n, 0n];
    }, 'arithmetic', /not what the table leads to/],
    ['a share moved between sources', () => SUPPORT, (b) => (b.source_shares_ppm = [91_592n, 719_218n, 1n, 0n, 0n, 0n, 0n]), 'arithmetic', /not what the table/],
    ['all attributed', () => SUPPORT, (b) => (b.unattributed_ppm = 0n), 'arithmetic', /do not sum/],
    ['shares in another order', () => SUPPORT, (b) => (b.shares as Json[]).reverse(), 'arithmetic', /not ordered/],
    ['a contributor twice', () => SUPPORT, (b) => {
      at(b, 'shares', 0).share_ppm = 0n;
      (b.shares as Json[]).unshift({ ...at(b, 'shares', 0), share_ppm: 719_219n });
    }, 'arithmetic', /not ordered/],
    ['a contributor with nothing', () => SUPPORT, (b) => (b.shares as Json[]).push({ contributor: `0x${'ff'.repeat(20)}`, share_ppm: 0n }), 'arithmetic', /not what the table/],
    ['a share of no contributor', () => SUPPORT, (b) => {
      b.unattributed_ppm = 280_781n;
      b.shares = [at(b, 'shares', 0)];
    }, 'arithmetic', /no listed contributor/],
    ['a row left out', () => SUPPORT, (b) => (b.value_table as Json[]).pop(), 'arithmetic', /2 value rows for 3 sentences/],
    ['a row of other length', () => SUPPORT, (b) => (at(b, 'value_table', 0).adds_ppm as Json[]).pop(), 'arithmetic', /value row 0/],
    ['more than the whole of a row', () => SUPPORT, (b) => (at(b, 'value_table', 0, 'adds_ppm')[2] = 1n), 'arithmetic', /value row 0/],
    ['weights beyond the whole', () => SUPPORT, (b) => (at(b, 'value_table', 0).weight_ppm = 549_551n), 'arithmetic', /weights/],
    ['a share left out', () => SUPPORT, (b) => (b.source_shares_ppm as Json[]).pop(), 'arithmetic', /6 source shares/],
    ['the first that follows one', () => SUPPORT, (b) => (b.previous = b.answer_hash), 'arithmetic', /none before it/],
    ['a second that follows none', () => SUPPORT, (b) => (b.sequence = 2n), 'arithmetic', /none before it/],
    ['more found than listed', () => SUPPORT, (b) => (b.retrieved = 8n), 'arithmetic', /8 sources were retrieved/],
    ['ranks and scores', () => SUPPORT, (b) => (at(b, 'retrieval').rrf_k = 60n), 'arithmetic', /ranks or scores/],
    ['a contrast of nothing', () => SUPPORT, (b) => (at(b, 'retrieval').contrast_ppm = 0n), 'arithmetic', /ranks or scores/],
    ['a score beyond 1', () => SUPPORT, (b) => (at(b, 'sources', 0).vector_ppm = 1_000_001n), 'arithmetic', /beyond 1/],
    ['a score without a rank', () => SUPPORT, (b) => (at(b, 'sources', 5).lexical_ppm = 5n), 'arithmetic', /without a rank/],
    ['no score', () => SUPPORT, (b) => delete at(b, 'sources', 0).vector_ppm, 'arithmetic', /does not state it/],
    ['the better behind', () => SUPPORT, (b) => (at(b, 'sources', 6).vector_ppm = 900_000n), 'arithmetic', /earlier rank/],
    ['a source in the place of another', found, (b) => (b.sources as Json[]).reverse(), 'arithmetic', /./],
    ['a candidate left out of the sources', found, (b) => (b.retrieved = 6n), 'arithmetic', /where the candidates lead to 7/],
    ['candidates of another source', found, (b) => (at(b, 'candidates').by_words as Json[]).pop(), 'arithmetic', /source 4 .* not the one/],
    ['candidates in another order', found, (b) => (at(b, 'candidates').by_vector as Json[]).reverse(), 'arithmetic', /the greatest first/],
    ['a candidate twice', found, (b) => (at(b, 'candidates').by_words as Json[]).push(at(b, 'candidates', 'by_words', 0)), 'arithmetic', /a chunk twice/],
    ['more candidates than were asked for', found, (b) => (at(b, 'retrieval').candidates = 6n), 'arithmetic', /longer than what was asked for/],
    ['a way to fuse of its own', found, (b) => (at(b, 'retrieval').method = 'convex/9'), 'arithmetic', /not known here/],
    ['no candidates, and sources', found, (b) => {
      b.candidates = { by_vector: [], by_words: [] };
      for (const source of b.sources as Members[]) {
        [source.vector_rank, source.lexical_rank] = [null, null];
        delete source.vector_ppm;
        delete source.lexical_ppm;
      }
    }, 'arithmetic', /lead to 0/],
    ['a filter that leaves them out', found, (b) => (at(b, 'retrieval').filter = { contributors: [b.registry] }), 'arithmetic', /the filter leaves out/],
    ['a filter and no candidates', found, (b) => {
      at(b, 'retrieval').filter = { licences: ['MIT'] };
      delete b.candidates;
    }, 'arithmetic', /no candidates/],
    ['a filter of nothing', found, (b) => (at(b, 'retrieval').filter = {}), 'arithmetic', /states something/],
    ['an empty list in a filter', found, (b) => (at(b, 'retrieval').filter = { licences: [] }), 'arithmetic', /1 to 64/],
    ['values in another order', found, (b) => (at(b, 'retrieval').filter = { licences: ['b', 'a'] }), 'arithmetic', /ascend/],
    ['a licence without end', found, (b) => (at(b, 'retrieval').filter = { licences: ['x'.repeat(257)] }), 'arithmetic', /256 bytes/],
    ['a time that ends before it begins', found, (b) => (at(b, 'retrieval').filter = { received_from_ms: 5n, received_before_ms: 5n }), 'arithmetic', /begins before/],
    ['no turns', found, (b) => (at(b, 'retrieval').turns = 0n), 'arithmetic', /not stated as 0/],
    ['a reranker without scores', found, (b) => (at(b, 'retrieval').reranked = 20n), 'arithmetic', /or none of them/],
    ['scores of no reranker', found, (b) => (at(b, 'candidates').reranked = [0n]), 'arithmetic', /or none of them/],
    ['a candidate of three', found, (b) => (at(b, 'candidates', 'by_words', 0) as unknown as Json[]).push(1n), 'form', /by_words\[0\] is no chunk/],
    ['sentences that overlap', () => SUPPORT, (b) => (at(b, 'generation', 'sentences', 1).start = 64n), 'arithmetic', /sentence 1/],
    ['a sentence that cites nothing there', () => SUPPORT, (b) => (at(b, 'generation', 'sentences', 0).cited = [7n]), 'arithmetic', /cites what is no source/],
    ['quoted and generated', () => SUPPORT, (b) => (b.segments = [{ start: 0n, end: 1n, source: 0n, source_byte_start: 0n, source_byte_end: 1n }]), 'arithmetic', /not both/],
    ['an unknown method', () => SUPPORT, (b) => (b.method = 'support/3'), 'arithmetic', /not known here/],
    ['the method of no table', () => SUPPORT, (b) => (b.method = 'likelihood/1'), 'arithmetic', /other things/],
    ['declined with a fee', declined, (b) => (b.fee_wei = '1'), 'arithmetic', /no fee/],
    ['answered with nothing', declined, (b) => (b.status = 'answered'), 'arithmetic', /has no sentences/],
    ['declined with sentences', () => SUPPORT, (b) => (b.status = 'declined'), 'arithmetic', /has no sentences/],
    ['a likelihood of its own', likely, (b) => (game(b).table[1] = -32_000_000n), 'arithmetic', /not what the table/],
    ['a table cut short', likely, (b) => game(b).table.pop(), 'arithmetic', /each set of players/],
    ['a source without a likelihood', likely, (b) => game(b).alone.pop(), 'arithmetic', /two for each source/],
    ['a source without needs', likely, (b) => game(b).needs.pop(), 'arithmetic', /two for each source/],
    ['likelier than certain', likely, (b) => (game(b).table[7] = 1n), 'arithmetic', /at most 1/],
    ['less likely than can be', likely, (b) => (game(b).table[0] = -(2n ** 63n)), 'arithmetic', /at most 1/],
    ['no tokens', likely, (b) => (at(b, 'likelihood').tokens = 0n), 'arithmetic', /has tokens/],
    ['tokens without end', likely, (b) => (at(b, 'likelihood').tokens = 2n ** 64n - 1n), 'arithmetic', /has tokens/],
    ['an instruction set of its own', likely, (b) => (at(b, 'likelihood').instruction_set = 'x'), 'arithmetic', /instruction set/],
    ['a player left out', likely, (b) => game(b).players.pop(), 'arithmetic', /the players/],
    ['players in another order', likely, (b) => game(b).players.reverse(), 'arithmetic', /the players/],
    ['a player twice', likely, (b) => (game(b).players[1] as Json[]).push((game(b).players[0] as Json[])[0]), 'arithmetic', /the players/],
    ['a need of oneself', likely, (b) => (game(b).needs[0] = [0n]), 'arithmetic', /other players/],
    ['a need of nobody', likely, (b) => (game(b).needs[0] = [3n]), 'arithmetic', /other players/],
    ['a need twice', likely, (b) => (game(b).needs[1] = [0n, 0n]), 'arithmetic', /other players/],
    ['a source twice', likely, (b) => (b.sources as Json[]).push(structuredClone(at(b, 'sources', 0))), 'arithmetic', /twice/],
    ['two likelihoods of nothing', likely, (b) => {
      // the second player has another source, so without the first it has that alone
      game(b).needs[2] = [0n];
      game(b).needs[4] = [0n];
    }, 'arithmetic', /two likelihoods/],
    ['another likelihood of an only source', likely, (b) => (game(b).alone[5] = -78_000_000n), 'arithmetic', /two likelihoods/],
    ['a mode of its own', likely, (b) => (at(b, 'generation').mode = 'x'), 'arithmetic', /other things/],
    ['likelihoods of no model', likely, (b) => delete b.generation, 'arithmetic', /instruction set/],
    ['likelihoods of what the model did not read', likely, (b) => (b.retrieved = 6n), 'arithmetic', /other things/],
    ['no likelihoods', likely, (b) => delete b.likelihood, 'arithmetic', /value rows/],
    ['the number 0', () => SUPPORT, (b) => (b.sequence = 0n), 'form', /sequence/],
    ['a field more', () => SUPPORT, (b) => (at(b, 'sources', 0).paid = 1n), 'form', /sources\[0\]\.paid is no field/],
    ['a field less', () => SUPPORT, (b) => delete b.payer, 'form', /payer/],
    ['null for what is left out', () => SUPPORT, (b) => (b.quoting = null), 'form', /quoting/],
    ['upper-case digits', () => SUPPORT, (b) => (b.version_root = (b.version_root as string).toUpperCase().replace('X', 'x')), 'form', /version_root/],
    ['a number as text', () => SUPPORT, (b) => (b.version = '1'), 'form', /version/],
    ['wei as a number', () => SUPPORT, (b) => (b.fee_wei = 1n), 'form', /fee_wei/],
    ['wei with a nought before it', () => SUPPORT, (b) => (b.fee_wei = '01'), 'form', /fee_wei/],
    ['more wei than there are', () => SUPPORT, (b) => (b.fee_wei = (2n ** 128n).toString()), 'form', /fee_wei/],
    ['beyond 64 bits', () => SUPPORT, (b) => (b.version = 2n ** 64n), 'form', /version/],
    ['below nothing', () => SUPPORT, (b) => (b.unattributed_ppm = -1n), 'form', /unattributed/],
    ['a status of its own', () => SUPPORT, (b) => (b.status = 'paid'), 'form', /status/],
    ['a format of its own', () => SUPPORT, (b) => (b.schema = 'headwater.receipt/3'), 'form', /schema/],
  ];
  for (const [what, of, change, level, reason] of lies) {
    const body = structuredClone(of()) as Members;
    change(body);
    const verdict = await verify(await signed(body));
    assert.deepEqual(failing(verdict), [level], `${what}: ${why(verdict)}`);
    assert.match(why(verdict), reason, what);
  }
});

test('signatures are of this body, chain and registry, in their one form', async () => {
  const receipt = parse(await signed(SUPPORT)) as { body: Members; body_hash: string; signer: string; signature: string };
  const { signature } = receipt;
  const s = BigInt(`0x${signature.slice(66, 130)}`);
  const high = (0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n - s).toString(16).padStart(64, '0');
  const otherV = signature.endsWith('1b') ? '1c' : '1b';
  const bad: [string, Members][] = [
    ['another signer', { signer: SUPPORT.registry }],
    ['high s', { signature: `${signature.slice(0, 66)}${high}${otherV}` }],
    ['another v', { signature: signature.slice(0, -2) + otherV }],
    ['v as 0 or 1', { signature: signature.slice(0, -2) + (signature.endsWith('1b') ? '00' : '01') }],
    ['no 0x', { signature: signature.slice(2) }],
    ['too short', { signature: signature.slice(0, -2) }],
    ['nothing', { signature: '' }],
    ['noughts', { signature: `0x${'0'.repeat(128)}1b` }],
    ['another hash', { body_hash: SUPPORT.answer_hash }],
  ];
  // signed for another chain or registry, and stated for this one
  for (const [name, value] of [['chain_id', 1n], ['registry', `0x${'ab'.repeat(20)}`]] as const) {
    const elsewhere = parse(await signed({ ...SUPPORT, [name]: value })) as Members;
    bad.push([name, { ...elsewhere, body: SUPPORT }], [name, { body: elsewhere.body, body_hash: elsewhere.body_hash }]);
  }
  for (const [what, other] of bad) assert.deepEqual(failing(await verify(canonical({ ...receipt, ...other }))), ['signature'], what);
  const upper = canonical({ ...receipt, signature: `0x${signature.slice(2).toUpperCase()}` });
  assert.deepEqual(failing(await verify(upper)), [], 'as Rust reads it');
});

test('no digit of a number is lost', async () => {
  const body = { ...SUPPORT, chain_id: 2n ** 64n - 1n, issued_at_ms: -(2n ** 63n), sequence: 9007199254740993n, previous: SUPPORT.answer_hash };
  const receipt = await signed(body);
  assert.deepEqual(failing(await verify(receipt)), []);
  assert.ok(receipt.includes('18446744073709551615') && receipt.includes('9007199254740993'));
  assert.deepEqual(failing(await verify(receipt.replace('9007199254740993', '9007199254740992'))), ['signature']);
  assert.deepEqual(failing(await verify(receipt.replace('9007199254740993', '9007199254740993.0'))), ['form']);
});

test('what is no receipt fails in its form, and nothing else is called checked', async () => {
  for (const text of ['', '{}', '[]', 'null', '{"body":{}}', (await signed(SUPPORT)).slice(1)]) {
    const expected = { form: 'failed', signature: 'not checked', inclusion: 'not checked', arithmetic: 'not checked', epoch: 'not checked', chain: 'not checked', answer: 'not checked' };
    assert.deepEqual(outcomes(await verify(text)), expected, text);
  }
  const first = await verify('{"body":{"schema":"headwater.receipt/1"}}');
  assert.deepEqual([first.outcome, outcomes(first)], ['not checked: receipt/1', { form: 'not checked' }]);
  const receipt = await signed(SUPPORT);
  assert.equal(receiptIn(canonical({ receipt: parse(receipt), answer: '…' })), receipt);
  assert.equal(receiptIn('{'), '{');
});

test('a receipt is one of its epoch', async () => {
  const receipts = await run(5);
  const hashes = receipts.map((receipt) => [(parse(receipt) as Members).body_hash as string]);
  const tree = StandardMerkleTree.of(hashes, ['bytes32']);
  const inclusion: Members = { epoch: 3n, first_sequence: 1n, last_sequence: 5n, receipts_root: tree.root, proof: tree.getProof(1) };
  const of = async (change: Members, receipt = receipts[1]) => {
    const verdict = await verify(receipt, { inclusion: canonical({ ...inclusion, ...change }) });
    return [outcomes(verdict).epoch, why(verdict)];
  };
  assert.deepEqual(await of({}), ['valid', '']);
  const lies: [Members, RegExp][] = [
    [{ first_sequence: 3n }, /has the receipts 3 to 5, and not 2/],
    [{ last_sequence: 1n }, /has the receipts/],
    [{ receipts_root: hashes[0][0] }, /not one of those/],
    [{ proof: tree.getProof(2) }, /not one of those/],
    [{ proof: [] }, /not one of those/],
    [{ paid: true }, /is no field/],
    [{ proof: ['0x00'] }, /digits/],
  ];
  for (const [change, reason] of lies) {
    const [outcome, problem] = await of(change);
    assert.equal(outcome, 'failed');
    assert.match(problem, reason);
  }
  // another receipt under the same number
  assert.equal((await of({}, await signed({ ...bodyOf(receipts[1]), issued_at_ms: 1n })))[0], 'failed');
});

async function run(count: number): Promise<string[]> {
  const receipts: string[] = [];
  let previous = toHex(0, { size: 32 });
  for (let n = 1; n <= count; n++) {
    receipts.push(await signed({ ...SUPPORT, sequence: BigInt(n), answer_id: keccak256(toHex(n)), previous }));
    previous = (parse(receipts[n - 1]) as Members).body_hash as Hex;
  }
  return receipts;
}

test('receipts are one run', async () => {
  const [one, two, three, four] = await run(4);
  const of = (...receipts: string[]) => verifyRun(receipts).map((check) => check.outcome);
  assert.deepEqual(of(one, two, three, four), ['valid']);
  assert.deepEqual(of(three, one, two), ['valid']);
  assert.deepEqual(of(one, two, four), ['valid', 'not checked'], 'one is not there');
  const twin = await signed({ ...bodyOf(two), issued_at_ms: 1n });
  assert.deepEqual(of(one, two, twin), ['failed'], 'a number twice');
  assert.deepEqual(of(twin, three), ['failed'], 'the next names the other');
  const again = await signed({ ...bodyOf(two), sequence: 4n, previous: (parse(three) as Members).body_hash });
  assert.deepEqual(of(one, two, three, again), ['failed'], 'an answer twice');
  assert.deepEqual(of(one, one), ['failed']);
  assert.deepEqual(of(one, '{}'), ['not checked']);
  const stranger = canonical({ ...(parse(two) as Members), signer: SUPPORT.registry });
  assert.deepEqual(of(one, stranger), ['failed'], 'two services');
});

const ABI = parseAbi([
  'function versionRoot(bytes32 datanetId, uint64 version) view returns (bytes32)',
  'function ownerOf(bytes32 datanetId) view returns (address)',
  'function lastBatch() view returns (uint64 epoch, uint64 part, bool isLast, bytes32 receiptsRoot)',
]);

test('the chain is asked for what is final', async () => {
  const receipt = await signed(SUPPORT);
  const { body_hash: hash, signer } = parse(receipt) as { body_hash: Hex; signer: Hex };
  const [registry, vault] = [SUPPORT.registry as Hex, `0x${'cc'.repeat(20)}` as Hex];
  const inclusion = canonical({ epoch: 3n, first_sequence: 1n, last_sequence: 1n, receipts_root: keccak256(keccak256(hash)), proof: [] });
  const truth = { chain: 31337, root: SUPPORT.version_root as Hex, owner: signer, epoch: 3n, debited: keccak256(keccak256(hash)) };
  const node = (said: typeof truth) =>
    custom({
      request: async ({ method, params }: { method: string; params?: unknown }) => {
        if (method === 'eth_chainId') return toHex(said.chain);
        const [{ to, data }, block] = params as [{ to: Hex; data: Hex }, string];
        assert.deepEqual([method, block], ['eth_call', 'finalized']);
        const { functionName, args } = decodeFunctionData({ abi: ABI, data });
        if (functionName === 'lastBatch') {
          assert.equal(to, vault);
          return encodeFunctionResult({ abi: ABI, functionName, result: [said.epoch, 1n, true, said.debited] });
        }
        assert.deepEqual([to, args[0], args[1] ?? 1n], [registry, SUPPORT.datanet_id, 1n]);
        return encodeFunctionResult({ abi: ABI, functionName, result: functionName === 'ownerOf' ? said.owner : said.root });
      },
    }, { retryCount: 0 });
  const of = async (said: Partial<typeof truth>, other: { registry?: Hex; vault?: Hex; inclusion?: string } = {}, text = receipt) => {
    const chain = { transport: node({ ...truth, ...said }), registry, ...other };
    const { checks } = await verify(text, { inclusion, ...other, chain });
    return checks.filter((check) => check.of === 'chain').map((check) => check.outcome);
  };
  assert.deepEqual(await of({}), ['valid', 'valid', 'not checked'], 'no vault was named');
  assert.deepEqual(await of({}, { vault }), ['valid', 'valid', 'valid']);
  assert.deepEqual(await of({ debited: hash }, { vault }), ['valid', 'valid', 'failed']);
  assert.deepEqual(await of({ epoch: 4n }, { vault }), ['valid', 'valid', 'not checked']);
  assert.deepEqual(await of({}, { vault, inclusion: '{}' }), ['valid', 'valid'], 'a root of no epoch is not asked for');
  assert.deepEqual(await of({ root: toHex(0, { size: 32 }) }), ['failed', 'valid', 'not checked']);
  const none = toHex(0, { size: 32 });
  const ofNothing = await signed(settled({ ...declined(), version_root: none, sources: [], retrieved: 0n }));
  assert.deepEqual(failing(await verify(ofNothing)), [], 'declined with no sources: any root will do');
  assert.deepEqual(await of({ root: none }, {}, ofNothing), ['failed', 'valid'], 'a root of noughts is none');
  assert.deepEqual(await of({ owner: registry }), ['valid', 'failed', 'not checked']);
  assert.deepEqual(await of({ chain: 1 }), ['failed']);
  assert.deepEqual(await of({}, { registry: vault }), ['failed']);
  const dead = custom({ request: async () => { throw new Error('nobody is there'); } }, { retryCount: 0 });
  const { outcome, checks } = await verify(receipt, { chain: { transport: dead, registry } });
  assert.deepEqual([outcome, checks.find((check) => check.of === 'chain')?.outcome], ['holds as far as it was checked', 'not checked']);
});

test('the library needs nothing of Node', () => {
  for (const name of readdirSync('.').filter((name) => name.endsWith('.ts') && name !== 'cli.ts')) {
    assert.doesNotMatch(readFileSync(name, 'utf8'), /from 'node:|\b(process|Buffer|require)\b/, name);
  }
  assert.equal(PPM, 1_000_000n);
});
