// Checks a receipt with nothing of Headwater's code: stock libraries, and the formats as they are written down. It reads no file,
// clock or key, asks nobody but the node that it is given, and runs in a browser. What was not checked is never called valid.
//
// It does not run anything again: whether the texts give that value table, and a model those likelihoods, is for
// `headwater verify` with the evidence.

import { StandardMerkleTree } from '@openzeppelin/merkle-tree';
import { type Hex, type Transport, concat, createPublicClient, hashTypedData, keccak256, parseAbi, recoverAddress, stringToBytes, stringToHex, toHex } from 'viem';
import { type Json, Malformed, canonical, isObject, parse } from './json.ts';
import { best } from './fusion.ts';
import { type Body, type Inclusion, type Likelihood, type Receipt, type Source, readInclusion, readReceipt } from './receipt.ts';
import { PPM, likelihoodShares, playersOf, sum, supportShares } from './shares.ts';

export type Level = 'form' | 'signature' | 'inclusion' | 'arithmetic' | 'epoch' | 'chain' | 'answer' | 'run';
export type Outcome = 'valid' | 'failed' | 'not checked';
export interface Check {
  of: Level;
  outcome: Outcome;
  /** What was found, or would have been checked. */
  detail: string;
}
export interface Verdict {
  outcome: 'failed' | 'holds as far as it was checked' | 'not checked: receipt/1';
  checks: Check[];
}

/** Whom to believe about the chain. The registry is the auditor's choice: what the receipt says of it proves nothing. */
export interface Chain {
  transport: Transport;
  registry: Hex;
  /** The vault that took the epoch's debits. */
  vault?: Hex;
}
export interface Given {
  /** Text of what `headwater receipt ID --inclusion FILE` writes. */
  inclusion?: string;
  chain?: Chain;
}

const FIRST = 'headwater.receipt/1';
const SOURCES_MAX = 48;
/** Chunks that may stand beside those that candidates lead to. */
const BESIDE_MAX = 4n;
const FILTER_VALUES_MAX = 64;
const LICENCE_BYTES_MAX = 256;
/** Least log-likelihood of a token, in µnat: ln 10⁻⁴. */
const LEAST_TOKEN = -9_210_340n;
const TOKENS_MAX = 2n ** 32n;
/** What computes likelihoods, as Headwater's engine calls it. */
const INSTRUCTION_SETS = ['portable', 'avx2', 'avx2-vnni', 'avx512', 'avx512-vnni', 'avx512-bf16', 'amx-bf16'];
/** Half of the order of secp256k1: a greater s is the other signature of the same message. */
const S_MAX = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n;
const ABI = parseAbi([
  'function versionRoot(bytes32 datanetId, uint64 version) view returns (bytes32)',
  'function ownerOf(bytes32 datanetId) view returns (address)',
  'function lastBatch() view returns (uint64 epoch, uint64 part, bool isLast, bytes32 receiptsRoot)',
]);

class Unproven extends Error {}
function must(holds: boolean, problem: string): asserts holds {
  if (!holds) throw new Unproven(problem);
}

/** Checks the receipt in `text`, level by level. A level that fails keeps no other from being checked, but the form does. */
export async function verify(text: string, given: Given = {}): Promise<Verdict> {
  let document: Json;
  let receipt: Receipt;
  try {
    document = parse(text);
    if (isObject(document) && isObject(document.body) && document.body.schema === FIRST) {
      return { outcome: 'not checked: receipt/1', checks: [skipped('form', `${FIRST}: the format before, which is not read here`)] };
    }
    receipt = readReceipt(document, 'receipt');
  } catch (error) {
    const others = ['signature', 'inclusion', 'arithmetic', 'epoch', 'chain', 'answer'] as const;
    return { outcome: 'failed', checks: [failed('form', error), ...others.map((of) => skipped(of, 'it is no receipt'))] };
  }
  const { body } = receipt;
  const checks = [valid('form', `${body.schema}, every field known and in its one spelling`)];
  // the form has no two spellings, so what was given is what was signed
  const hash = keccak256(stringToHex(canonical((document as { body: Json }).body)));
  checks.push(await level('signature', `the body's hash, signed by ${receipt.signer}`, () => checkSignature(receipt, hash)));
  const found = body.candidates ? 'sources that follow from the candidates, ' : '';
  const members = `${body.sources.length} sources are members of version ${body.version} (${body.version_root}), registered as stated`;
  checks.push(await level('inclusion', members, () => body.sources.forEach((source, at) => checkMember(body, source, at))));
  checks.push(await level('arithmetic', `sums, ranges, ${found}and shares that follow by ${body.method}`, () => checkArithmetic(body)));
  const inclusion = readEpoch(given.inclusion, body, hash, checks);
  if (given.chain) await checkChain(given.chain, receipt, inclusion, checks);
  else checks.push(skipped('chain', "the version's root, its signer and the epoch's root: no node was named"));
  const left = body.candidates ? 'that nothing better was left out of the candidates' : 'that nothing better was left out, for no candidates are stated';
  const { contributors: _, ...others } = body.retrieval.filter ?? {};
  const filtered = Object.keys(others).length > 0 ? ', that the sources are of the documents, licences and times that its filter states' : '';
  checks.push(skipped('answer', `${left}${filtered}, and that the texts or the model give this table: nothing is run again here`));
  return { outcome: checks.some((check) => check.outcome === 'failed') ? 'failed' : 'holds as far as it was checked', checks };
}

/** Checks that receipts, each verified on its own, are one run: each names the one before it, none is there twice. */
export function verifyRun(texts: string[]): Check[] {
  let receipts: Receipt[];
  try {
    receipts = texts.map((text, at) => readReceipt(parse(text), `receipt ${at + 1}`));
  } catch (error) {
    return [skipped('run', `not all are receipts of this form: ${told(error)}`)];
  }
  receipts.sort((a, b) => (a.body.sequence < b.body.sequence ? -1 : 1));
  const gaps: Check[] = [];
  try {
    must(new Set(receipts.map((receipt) => receipt.signer)).size === 1, 'they are signed by several services: each has a run of its own');
    must(new Set(receipts.map((receipt) => receipt.body.answer_id)).size === receipts.length, 'an answer has two receipts');
    receipts.slice(1).forEach(({ body }, at) => {
      const before = receipts[at];
      must(before.body.sequence !== body.sequence, `two receipts have the number ${body.sequence}`);
      const isNext = before.body.sequence + 1n === body.sequence;
      must(!isNext || body.previous === before.body_hash, `receipt ${body.sequence} names another before it than the one that was given`);
      const missing = `receipts ${before.body.sequence + 1n} to ${body.sequence - 1n} were not given: another run may hide there`;
      if (!isNext) gaps.push(skipped('run', missing));
    });
  } catch (error) {
    return [failed('run', error)];
  }
  return [valid('run', 'no answer and no number has two, and each that follows one given here names it'), ...gaps];
}

/** The receipt in a file that holds more, such as evidence; any other text as it is. */
export function receiptIn(text: string): string {
  try {
    const document = parse(text);
    return isObject(document) && isObject(document.receipt) ? canonical(document.receipt) : text;
  } catch {
    return text;
  }
}

// Level by level.

async function checkSignature({ body, body_hash, signer, signature }: Receipt, hash: Hex): Promise<void> {
  must(hash === body_hash, `the body hashes to ${hash}, not to the stated ${body_hash}: it was changed`);
  must(/^0x[0-9a-fA-F]{128}(1b|1c|1B|1C)$/.test(signature), 'the signature is not 0x and 65 bytes of which the last is 27 or 28');
  must(BigInt(`0x${signature.slice(66, 130)}`) <= S_MAX, 'the signature has a high s value; only the low form is accepted');
  const digest = hashTypedData({
    domain: { name: 'Headwater', version: '1', chainId: body.chain_id, verifyingContract: body.registry },
    types: { AnswerReceipt: [{ name: 'answerId', type: 'bytes32' }, { name: 'bodyHash', type: 'bytes32' }] },
    primaryType: 'AnswerReceipt',
    message: { answerId: body.answer_id, bodyHash: hash },
  });
  const recovered = (await recoverAddress({ hash: digest, signature: signature as Hex })).toLowerCase();
  must(recovered === signer, `signed by ${recovered} instead of ${signer}: the key, the chain id or the registry differs`);
}

function checkMember({ version, version_root }: Body, source: Source, at: number): void {
  const { chunk_id, contributor, submission_id, registered, proof } = source;
  const leaf = [chunk_id, contributor, submission_id, registered];
  const isMember = StandardMerkleTree.verify(version_root, ['bytes32', 'address', 'bytes32', 'uint64'], leaf, proof);
  must(isMember, `source ${at} (${chunk_id}) is not proven to be a member of version ${version}, registered as ${registered}`);
  const place = [toHex(source.byte_start, { size: 8 }), toHex(source.byte_end, { size: 8 })];
  const bound = keccak256(concat([stringToHex('headwater/chunk/1'), source.document_sha256, ...place, source.text_sha256]));
  must(bound === chunk_id, `source ${at}: its file, bytes and text are not those of its chunk id`);
}

function checkArithmetic(body: Body): void {
  const { sources, shares, value_table, segments, generation, likelihood } = body;
  must((body.sequence === 1n) === (BigInt(body.previous) === 0n), 'the first receipt has none before it, and every other has one');
  checkRetrieval(body);
  checkCandidates(body);
  must(sources.length <= SOURCES_MAX, `${sources.length} sources; an answer has at most ${SOURCES_MAX}`);
  must(body.retrieved <= BigInt(sources.length), `${body.retrieved} sources were retrieved, and ${sources.length} are listed`);
  const isSource = (index: bigint) => index < BigInt(sources.length);
  must(!generation || segments.length === 0, 'an answer is quoted or generated, not both');
  segments.forEach(({ start, end, source }, at) => must(start <= end && isSource(source), `segment ${at} points outside the answer or its sources`));
  let end = 0n;
  generation?.sentences.forEach((sentence, at) => {
    must(end <= sentence.start && sentence.start < sentence.end, `sentence ${at} is empty or overlaps the one before it`);
    end = sentence.end;
    must(isAscending(sentence.cited) && sentence.cited.every(isSource), `sentence ${at} cites what is no source`);
  });
  if (likelihood) checkLikelihood(sources, likelihood, !body.generation?.generator_sha256);
  const sentences = generation ? generation.sentences.length : segments.length;
  must(value_table.length === (likelihood ? 0 : sentences), `${value_table.length} value rows for ${sentences} sentences`);
  value_table.forEach(({ adds_ppm }, at) => {
    must(adds_ppm.length === sources.length && sum(adds_ppm) <= PPM, `value row ${at} does not give one part per source, of together at most ${PPM}`);
  });
  must(value_table.length === 0 || sum(value_table.map((row) => row.weight_ppm)) === PPM, `segment weights do not sum to ${PPM}`);
  must(sum(shares.map((share) => share.share_ppm)) + body.unattributed_ppm === PPM, `shares and unattributed do not sum to ${PPM}`);
  must(isAscending(shares.map((share) => share.contributor)), 'shares are not ordered by contributor');
  must(body.source_shares_ppm.length === sources.length, `${body.source_shares_ppm.length} source shares for ${sources.length} sources`);
  for (const { contributor, share_ppm } of shares) {
    const own = body.source_shares_ppm.filter((_, at) => sources[at].contributor === contributor);
    must(sum(own) === share_ppm, `the sources of ${contributor} sum to ${sum(own)} instead of ${share_ppm}`);
  }
  must(sum(body.source_shares_ppm) + body.unattributed_ppm === PPM, "a source's share belongs to no listed contributor");
  checkShares(body);
  const declined = body.status === 'declined';
  must(declined === (sentences === 0), 'a declined answer has no sentences, and any other has');
  must(!declined || (body.unattributed_ppm === PPM && body.fee_wei === 0n), 'a declined answer has no shares and no fee');
}

/** Numbers of one way to fuse, and scores that go with ranks, within ±1, none above that of an earlier rank. */
function checkRetrieval({ retrieval, sources }: Body): void {
  const { rrf_k, vector_weight_ppm: weight, contrast_ppm: contrast } = retrieval;
  const byRanks = rrf_k !== undefined && weight === undefined && contrast === undefined;
  const byScores = rrf_k === undefined && weight !== undefined && contrast !== undefined && weight <= PPM && 1n <= contrast && contrast <= PPM;
  must(byRanks || byScores, 'retrieval fuses ranks or scores, and states possible numbers of the one');
  must(retrieval.turns !== 0n && retrieval.reranked !== 0n, 'what was not used is left out, and not stated as 0');
  if (retrieval.filter) checkFilter(retrieval.filter);
  const ofVectors = sources.map((source) => ({ rank: source.vector_rank, score: source.vector_ppm }));
  const ofWords = sources.map((source) => ({ rank: source.lexical_rank, score: source.lexical_ppm }));
  for (const list of [ofVectors, ofWords]) {
    const placed = list.filter((one): one is { rank: bigint; score: bigint } => one.rank !== null && one.score !== undefined);
    const inRange = placed.every(({ score }) => -PPM <= score && score <= PPM);
    const scored = list.filter((one) => one.score !== undefined).length;
    must(inRange && scored === placed.length, 'a source has a score without a rank, or one that is beyond 1');
    const ranked = list.filter((one) => one.rank !== null).length;
    must(!byScores || ranked === placed.length, 'a source was found by its score, and does not state it');
    placed.sort((a, b) => (a.rank < b.rank ? -1 : a.rank > b.rank ? 1 : 0));
    must(placed.slice(1).every(({ score }, at) => score <= placed[at].score), 'a source has a greater score than one of an earlier rank');
  }
}

/** One that states something, in its one form: values that ascend, not without end. */
function checkFilter({ contributors, documents, licences, received_from_ms: from, received_before_ms: before }: NonNullable<Body['retrieval']['filter']>): void {
  const lists = [contributors, documents, licences].filter((list) => list !== undefined);
  must(lists.length > 0 || from !== undefined || before !== undefined, 'a filter states something, or is left out');
  must(lists.every((list) => list.length > 0 && list.length <= FILTER_VALUES_MAX), 'a filter has 1 to 64 values of a kind');
  const sizes = (licences ?? []).map((licence) => stringToBytes(licence).length);
  must(sizes.every((size) => 0 < size && size <= LICENCE_BYTES_MAX), 'a licence in a filter has 1 to 256 bytes');
  const ascends = (list: string[]) => isAscending(list.map((value) => toHex(value)));
  must(isAscending(contributors ?? []) && isAscending(documents ?? []) && ascends(licences ?? []), 'the values of a filter ascend, each once');
  must(from === undefined || before === undefined || from < before, 'a filter begins before it ends');
}

/** Lists within what was asked for, ordered by scores within ±1, to which the sources are due: all that was retrieved, unless a model had no room. */
function checkCandidates({ candidates, retrieval, models, sources, retrieved, generation, segments }: Body): void {
  const isReranked = candidates?.reranked !== undefined;
  const stated = [retrieval.reranked, models.reranker, models.reranker_sha256].every((one) => (one !== undefined) === isReranked);
  must(stated, 'a reranker has a name, a content, a number of chunks and scores, or none of them');
  const isOld = retrieval.filter === undefined && retrieval.turns === undefined;
  must(candidates !== undefined || isOld, 'it states a filter or earlier turns, and no candidates');
  if (!candidates) return;
  for (const list of [candidates.by_vector, candidates.by_words]) {
    const isShort = BigInt(list.length) <= retrieval.candidates && new Set(list.map(([chunk]) => chunk)).size === list.length;
    must(isShort, 'a list of candidates is longer than what was asked for, or has a chunk twice');
    const inOrder = list.every(([, score], at) => -PPM <= score && score <= PPM && (at === 0 || score <= list[at - 1][1]));
    must(inOrder, 'candidates stand by their scores, which are within 1, the greatest first');
  }
  const due = best(retrieval, candidates);
  must(due !== undefined, `retrieval ${JSON.stringify(retrieval.method)} with its numbers is not known here`);
  const isAll = retrieved + (generation?.dropped_sources ?? 0n) >= BigInt(due.length);
  const isMore = retrieved > (due.length === 0 ? 0n : BigInt(due.length) + BESIDE_MAX);
  must(isAll && !isMore, `${retrieved} sources were retrieved, where the candidates lead to ${due.length}`);
  const { contributors, documents } = retrieval.filter ?? {};
  const isLeft = ({ contributor, document_id }: Source) => (contributors ?? [contributor]).includes(contributor) && (documents ?? [document_id]).includes(document_id);
  const isQuoted = (at: number) => segments.some((segment) => segment.source === BigInt(at));
  const isShown = (at: number) => BigInt(at) < retrieved || isQuoted(at);
  must(sources.every((source, at) => !isShown(at) || isLeft(source)), 'the filter leaves out what was retrieved or is quoted');
  sources.forEach((source, at) => {
    const one = BigInt(at) < retrieved ? due[at] : undefined;
    const isDue = !one || one.chunk_id === source.chunk_id;
    const ranks = source.vector_rank === (one?.vector?.rank ?? null) && source.lexical_rank === (one?.words?.rank ?? null);
    const scores = !one || (source.vector_ppm === one.vector?.score && source.lexical_ppm === one.words?.score);
    must(isDue && ranks && scores, `source ${at} (${source.chunk_id}) is not the one that the candidates lead to, or states another rank or score`);
  });
}

function checkLikelihood(sources: Source[], stated: Likelihood, isRemote: boolean): void {
  const { instruction_set: by, tokens, players, needs, table, alone, without } = stated;
  const isKnown = isRemote ? by === 'remote' : INSTRUCTION_SETS.includes(by);
  must(isKnown, 'likelihoods of a model here state an instruction set, and those of another "remote"');
  must(tokens > 0n && tokens <= TOKENS_MAX, 'an answer has tokens, and not without end');
  must(new Set(sources.map((source) => source.chunk_id)).size === sources.length, 'a source is there twice');
  must(JSON.stringify(players) === JSON.stringify(playersOf(sources)), 'the players are not the contributors of the sources in their order');
  const each = [needs, alone, without].every((list) => list.length === sources.length);
  must(each && table.length === 2 ** players.length, 'there is one likelihood for each set of players, and two for each source');
  const own = sources.map((source) => players.findIndex((who) => who.includes(source.contributor)));
  const areOthers = (needed: bigint[], at: number) => needed.every((player) => player < players.length && player !== BigInt(own[at]));
  must(needs.every((needed, at) => isAscending(needed) && areOthers(needed, at)), 'what a source needs are other players, ascending');
  const least = tokens * LEAST_TOKEN;
  const isPossible = [...table, ...alone, ...without].every((value) => least <= value && value <= 0n);
  must(isPossible, 'a likelihood is at most 1, and of each token at least one in ten thousand');
  // the model read the same, and finds it as likely
  const found = new Map<string, bigint>();
  const isSame = (read: (at: number) => boolean, value: bigint): boolean => {
    const prompt = sources.map((_, at) => (read(at) ? '1' : '0')).join('');
    const before = found.get(prompt) ?? value;
    found.set(prompt, before);
    return before === value;
  };
  const bits = needs.map((needed, at) => needed.reduce((bits, player) => bits | (1 << Number(player)), 1 << own[at]));
  const sets = table.every((value, set) => isSame((at) => (set & bits[at]) === bits[at], value));
  const singles = sources.every((_, one) => isSame((at) => at === one, alone[one]) && isSame((at) => at !== one, without[one]));
  must(sets && singles, 'the same sources have two likelihoods');
}

function checkShares(body: Body): void {
  const { method, sources, likelihood, generation } = body;
  must(method === 'support/2' || method === 'likelihood/1', `method ${JSON.stringify(method)} is not known here`);
  const isOfPrompt = body.retrieved === BigInt(sources.length) && /^(full|blocks)$/.test(generation?.mode ?? '') && body.status === 'answered';
  must(method === 'support/2' ? !likelihood : !!likelihood && isOfPrompt, `a receipt of ${method} is of other things than this one states`);
  const due = likelihood ? likelihoodShares(sources, likelihood) : supportShares(body);
  const listed = (shares: Body['shares']) => shares.map((share) => `${share.contributor} ${share.share_ppm}`).join();
  const follow = listed(due.shares) === listed(body.shares) && due.source_shares_ppm.join() === body.source_shares_ppm.join();
  must(follow && due.unattributed_ppm === body.unattributed_ppm, 'the shares are not what the table leads to');
}

/** Checks the receipt's place in its epoch, and returns it where it holds. */
function readEpoch(text: string | undefined, body: Body, hash: Hex, checks: Check[]): Inclusion | undefined {
  if (text === undefined) {
    checks.push(skipped('epoch', 'that the receipt is the one that its epoch counts: nobody gave the proof'));
    return undefined;
  }
  try {
    const inclusion = readInclusion(parse(text), 'inclusion');
    const { epoch, first_sequence: first, last_sequence: last, receipts_root: root, proof } = inclusion;
    must(first <= body.sequence && body.sequence <= last, `epoch ${epoch} has the receipts ${first} to ${last}, and not ${body.sequence}`);
    must(StandardMerkleTree.verify(root, ['bytes32'], [hash], proof), `the receipt is not one of those whose root epoch ${epoch} has`);
    // whoever makes a root can prove anything by it: whose it is only the chain says
    checks.push(valid('epoch', `the receipt is one of those of root ${root}, which is said to be that of epoch ${epoch}`));
    return inclusion;
  } catch (error) {
    checks.push(failed('epoch', error));
    return undefined;
  }
}

/** Asks a node for what is final. What it does not answer is not checked. */
async function checkChain(chain: Chain, { body, signer }: Receipt, inclusion: Inclusion | undefined, checks: Check[]): Promise<void> {
  const { transport, registry, vault } = chain;
  const ask = createPublicClient({ transport });
  const note = (holds: boolean, good: string, bad: string) => checks.push(holds ? valid('chain', good) : failed('chain', new Unproven(bad)));
  if (registry.toLowerCase() !== body.registry) {
    note(false, '', `the receipt is for registry ${body.registry}, not ${registry}`);
    return;
  }
  const final = { address: registry, abi: ABI, blockTag: 'finalized' } as const;
  try {
    const chainId = BigInt(await ask.getChainId());
    if (chainId !== body.chain_id) {
      note(false, '', `the node serves chain ${chainId}; the receipt is for chain ${body.chain_id}`);
      return;
    }
    const root = await ask.readContract({ ...final, functionName: 'versionRoot', args: [body.datanet_id, body.version] });
    const none = /^0x0*$/.test(root);
    const held = none ? 'no finalized root' : `root ${root}`;
    note(!none && root === body.version_root, 'it holds that version root, finalized', `it has ${held} for version ${body.version}`);
    const owner = (await ask.readContract({ ...final, functionName: 'ownerOf', args: [body.datanet_id] })).toLowerCase();
    note(owner === signer, 'the signer owns the Datanet there', `signed by ${signer}, but the Datanet belongs to ${owner} there`);
    if (!inclusion) return;
    const { epoch: wanted, receipts_root: due } = inclusion;
    const batch = `that the vault debited epoch ${wanted} by this root`;
    if (!vault) {
      checks.push(skipped('chain', `${batch}: no vault was named`));
      return;
    }
    const [epoch, , , debited] = await ask.readContract({ ...final, address: vault, functionName: 'lastBatch' });
    const other = `the vault debited epoch ${epoch} by root ${debited}, not ${due}`;
    if (epoch === wanted) note(debited === due, `${batch}, finalized`, other);
    else checks.push(skipped('chain', `${batch}: its last is of epoch ${epoch}; look for BatchDebited with topic ${due}`));
  } catch (error) {
    checks.push(skipped('chain', `the node did not answer: ${String(error).split('\n')[0]}`));
  }
}

async function level(of: Level, detail: string, check: () => void | Promise<void>): Promise<Check> {
  try {
    await check();
    return valid(of, detail);
  } catch (error) {
    return failed(of, error);
  }
}

const valid = (of: Level, detail: string): Check => ({ of, outcome: 'valid', detail });
const skipped = (of: Level, detail: string): Check => ({ of, outcome: 'not checked', detail });
/** What is neither of ours comes from a library that refused what it was given: a failure as well. */
const failed = (of: Level, error: unknown): Check => ({ of, outcome: 'failed', detail: told(error) });
const told = (error: unknown): string => (error instanceof Malformed || error instanceof Unproven ? error.message : `refused: ${error}`);
const isAscending = <T extends bigint | string>(values: T[]): boolean => values.slice(1).every((value, at) => values[at] < value);
