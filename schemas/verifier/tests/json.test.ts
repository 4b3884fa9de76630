import assert from 'node:assert/strict';
import test from 'node:test';
import { Malformed, canonical, parse } from '../json.ts';

test('names are sorted, and integers keep their digits', () => {
  // as in schemas/src/canonical.rs
  const text = '{ "b" : [1, null, true], "a": {"z": "\\u00e9\\n", "y": -3}, "€": 1, "😀": 2 }';
  assert.equal(canonical(parse(text)), '{"a":{"y":-3,"z":"é\\n"},"b":[1,null,true],"€":1,"😀":2}');
  for (const digits of ['0', '-1', '9007199254740993', '18446744073709551615', '-9223372036854775808']) assert.equal(canonical(parse(digits)), digits);
  assert.equal(canonical(parse('"\\u001F\\u007f\\u2028\\/\\b\\u0022"')), '"\\u001f\u007f\u2028/\\b\\""');
});

test('what is no JSON of integers is refused', () => {
  const refused = [
    '', ' ', '{', '[1', '[1,]', '{"a":1,}', '{a:1}', "{'a':1}", '{"a" 1}', '1 2', '[1]]', 'nul', 'NaN',
    '0.5', '1.0', '1e3', '1E3', '-0', '01', '+1', '-', '.5', '0x1', '1_000',
    '"', '"\n"', '"\\x"', '"\\u12"', '"\\ud800"', '"\ud800"', '{"a":1,"a":1}', '{"a":1,"\\u0061":2}', '[['.repeat(100),
  ];
  for (const text of refused) assert.throws(() => parse(text), Malformed, text);
  assert.deepEqual(Object.keys(parse('{"__proto__":1}') as object), ['__proto__']);
});
