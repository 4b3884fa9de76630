// JSON as receipts are written in: integers of any size, no floats, nothing given twice. And its canonical text, which is what
// is hashed. `JSON.parse` will not do: it rounds integers beyond 2^53 and takes the last of two members of one name.

export type Json = null | boolean | bigint | string | Json[] | { [name: string]: Json };

/** What was given is not what it has to be: where, and what is wrong. */
export class Malformed extends Error {}

const SPACE = /[ \t\n\r]*/y;
const STRING = /"[^"\\\u0000-\u001f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\u0000-\u001f]*)*"/y;
const INTEGER = /(?:0|-?[1-9][0-9]*)(?![0-9.eE])/y;
const WORD = /(?:null|true|false)/y;
const WORDS: Record<string, Json> = { null: null, true: true, false: false };
/** As deep as serde_json goes. */
const DEPTH_MAX = 128;

export function parse(text: string): Json {
  let at = 0;
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const taken = pattern.exec(text)?.[0];
    at += taken?.length ?? 0;
    return taken;
  };
  const takes = (mark: string): boolean => {
    take(SPACE);
    const found = text.startsWith(mark, at);
    if (found) at += mark.length;
    return found;
  };
  const need = <T>(value: T | undefined | false, what: string): T => {
    if (value === undefined || value === false) throw new Malformed(`not JSON of integers: ${what} is missing at character ${at}`);
    return value;
  };
  const string = (): string | undefined => {
    const taken = take(STRING);
    if (taken === undefined) return undefined;
    const value: string = JSON.parse(taken);
    if (/\p{Surrogate}/u.test(value)) throw new Malformed(`half a character before character ${at}`);
    return value;
  };
  const list = (close: string, item: () => void): void => {
    if (takes(close)) return;
    do item();
    while (takes(','));
    need(takes(close), close);
  };
  const value = (depth: number): Json => {
    if (depth > DEPTH_MAX) throw new Malformed(`nested more than ${DEPTH_MAX} deep`);
    if (takes('[')) {
      const items: Json[] = [];
      list(']', () => items.push(value(depth + 1)));
      return items;
    }
    if (takes('{')) {
      const members: { [name: string]: Json } = Object.create(null);
      list('}', () => {
        take(SPACE);
        const name = need(string(), 'a name');
        if (name in members) throw new Malformed(`two members ${JSON.stringify(name)}`);
        need(takes(':'), 'a colon');
        members[name] = value(depth + 1);
      });
      return members;
    }
    const text = string();
    if (text !== undefined) return text;
    const integer = take(INTEGER);
    if (integer !== undefined) return BigInt(integer);
    return WORDS[need(take(WORD), 'a value')];
  };
  const whole = value(0);
  take(SPACE);
  if (at < text.length) throw new Malformed(`more than one value: it goes on at character ${at}`);
  return whole;
}

/** RFC 8785 (names by UTF-16 code units, no white space), except that integers are written with all their digits. */
export function canonical(value: Json): string {
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (!isObject(value)) return JSON.stringify(value);
  return `{${Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(',')}}`;
}

export function isObject(value: Json | undefined): value is { [name: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
