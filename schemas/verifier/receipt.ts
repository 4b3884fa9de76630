// The form of `headwater.receipt/2`: every field, what it may be, and nothing else. A spelling is refused that would be another
// text for the same receipt (upper-case hexadecimal, `null` for what is left out): there is one text, and one hash.
// The meaning of the fields stands in `schemas/src/receipt.rs`.

import type { Hex } from 'viem';
import { type Json, Malformed, isObject } from './json.ts';

/** Reads a value, or throws `Malformed` with where it stands. A value that is not there is `undefined`. */
type Read<T> = (value: Json | undefined, at: string) => T;
type Of<R> = R extends Read<infer T> ? T : never;

const refuse = (at: string, problem: string): never => {
  throw new Malformed(`${at} ${problem}`);
};

const text: Read<string> = (value, at) => (typeof value === 'string' ? value : refuse(at, 'is no text'));
const hex = (bytes: number): Read<Hex> => {
  const pattern = new RegExp(`^0x[0-9a-f]{${2 * bytes}}$`);
  const problem = `is not 0x and ${2 * bytes} digits of 0 to f`;
  return (value, at) => (typeof value === 'string' && pattern.test(value) ? (value as Hex) : refuse(at, problem));
};
const integer = (least: bigint, most: bigint): Read<bigint> => {
  return (value, at) =>
    typeof value === 'bigint' && least <= value && value <= most ? value : refuse(at, `is no integer from ${least} to ${most}`);
};
const oneOf = <const T extends string>(...words: T[]): Read<T> => {
  return (value, at) => words.find((word) => word === value) ?? refuse(at, `is none of ${words.join(', ')}`);
};
const list = <T>(item: Read<T>): Read<T[]> => {
  return (value, at) => (Array.isArray(value) ? value.map((one, index) => item(one, `${at}[${index}]`)) : refuse(at, 'is no list'));
};
/** `null` where there is none. */
const orNull = <T>(read: Read<T>): Read<T | null> => (value, at) => (value === null ? null : read(value, at));
/** Left out where there is none. */
const optional = <T>(read: Read<T>): Read<T | undefined> => (value, at) => (value === undefined ? undefined : read(value, at));

const object = <F extends Record<string, Read<unknown>>>(fields: F): Read<{ [K in keyof F]: Of<F[K]> }> => {
  return (value, at) => {
    if (!isObject(value)) return refuse(at, 'is no object');
    const unknown = Object.keys(value).find((name) => !Object.hasOwn(fields, name));
    if (unknown !== undefined) return refuse(`${at}.${unknown}`, 'is no field of this form');
    const read = Object.entries(fields).map(([name, field]) => [name, field(value[name], `${at}.${name}`)]);
    return Object.fromEntries(read) as { [K in keyof F]: Of<F[K]> };
  };
};

const U64_MAX = 2n ** 64n - 1n;
const hash = hex(32);
const address = hex(20);
const u32 = integer(0n, 2n ** 32n - 1n);
const u64 = integer(0n, U64_MAX);
const i64 = integer(-(2n ** 63n), 2n ** 63n - 1n);
/** A u128 as text. */
const wei: Read<bigint> = (value, at) => {
  const amount = typeof value === 'string' && /^(0|[1-9][0-9]{0,38})$/.test(value) ? BigInt(value) : 2n ** 128n;
  return amount < 2n ** 128n ? amount : refuse(at, 'is no amount of wei as text');
};

const source = object({
  chunk_id: hash,
  contributor: address,
  submission_id: hash,
  document_id: hash,
  document_sha256: hash,
  byte_start: u64,
  byte_end: u64,
  text_sha256: hash,
  registered: u64,
  vector_rank: orNull(u64),
  lexical_rank: orNull(u64),
  vector_ppm: optional(i64),
  lexical_ppm: optional(i64),
  proof: list(hash),
});

const generation = object({
  generator_sha256: orNull(text),
  precision: optional(text),
  context_tokens: optional(u64),
  adapter: optional(object({ name: text, sha256: text })),
  prompt: text,
  prompt_hash: hash,
  dropped_sources: u64,
  mode: text,
  sampling: object({
    temperature_ppm: u64,
    top_k: u64,
    top_p_ppm: u64,
    min_p_ppm: u64,
    repetition_penalty_ppm: u64,
    presence_penalty_ppm: i64,
    frequency_penalty_ppm: i64,
    seed: u64,
  }),
  tokens_max: u64,
  stop_hash: orNull(hash),
  constraint_hash: orNull(hash),
  finish: oneOf('stop', 'length'),
  prompt_tokens: u64,
  answer_tokens: u64,
  tokens_hash: orNull(hash),
  invalid_citations: u64,
  sentences: list(object({ start: u64, end: u64, cited: list(u64) })),
});

const likelihood = object({
  instruction_set: text,
  tokens: u64,
  players: list(list(address)),
  needs: list(list(u64)),
  table: list(i64),
  alone: list(i64),
  without: list(i64),
});

const filter = object({
  contributors: optional(list(address)),
  documents: optional(list(hash)),
  licences: optional(list(text)),
  received_from_ms: optional(i64),
  received_before_ms: optional(i64),
});

/** A chunk and its score, in parts per million. */
const candidate: Read<[Hex, bigint]> = (value, at) =>
  Array.isArray(value) && value.length === 2
    ? [hash(value[0], `${at}[0]`), i64(value[1], `${at}[1]`)]
    : refuse(at, 'is no chunk with its score');
const candidates = object({ by_vector: list(candidate), by_words: list(candidate), reranked: optional(list(i64)) });

const body = object({
  schema: oneOf('headwater.receipt/2'),
  answer_id: hash,
  sequence: integer(1n, U64_MAX),
  previous: hash,
  issued_at_ms: i64,
  chain_id: u64,
  registry: address,
  datanet_id: hash,
  version: u64,
  version_root: hash,
  question_hash: hash,
  answer_hash: hash,
  status: oneOf('answered', 'declined'),
  retrieval: object({
    method: text,
    rrf_k: optional(u64),
    vector_weight_ppm: optional(u64),
    contrast_ppm: optional(u64),
    candidates: u64,
    top_k: u64,
    turns: optional(u64),
    filter: optional(filter),
    reranked: optional(u64),
  }),
  quoting: optional(
    object({
      min_cosine_ppm: u32,
      min_coverage_ppm: u32,
      min_score_ppm: u32,
      further_score_ppm: u32,
      max_sentences: u64,
      embedded_sentences: u64,
    }),
  ),
  models: object({ embedder: text, embedder_sha256: text, generator: text, reranker: optional(text), reranker_sha256: optional(text) }),
  candidates: optional(candidates),
  sources: list(source),
  retrieved: u64,
  segments: list(object({ start: u64, end: u64, source: u64, source_byte_start: u64, source_byte_end: u64 })),
  generation: optional(generation),
  method: text,
  value_table: list(object({ weight_ppm: u64, adds_ppm: list(u64) })),
  likelihood: optional(likelihood),
  shares: list(object({ contributor: address, share_ppm: u64 })),
  source_shares_ppm: list(u64),
  unattributed_ppm: u64,
  fee_wei: wei,
  payer: orNull(address),
});

export const readReceipt = object({ body, body_hash: hash, signer: address, signature: text });

/** A receipt's place in its epoch, as `headwater receipt ID --inclusion FILE` writes it. */
export const readInclusion = object({ epoch: u64, first_sequence: u64, last_sequence: u64, receipts_root: hash, proof: list(hash) });

export type Receipt = Of<typeof readReceipt>;
export type Inclusion = Of<typeof readInclusion>;
export type Body = Of<typeof body>;
export type Source = Of<typeof source>;
export type Likelihood = Of<typeof likelihood>;
export type Candidates = Of<typeof candidates>;
