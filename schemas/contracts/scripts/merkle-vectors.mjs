// vectors/standard-merkle-tree.json: what OpenZeppelin's own library says of trees of our leaf types.
// The Rust tree and the Solidity contracts are tested against this file; neither had a part in it.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { StandardMerkleTree } from "@openzeppelin/merkle-tree";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const SIZES = [1, 2, 3, 4, 5, 7, 8, 16, 33];
const ALL_PROOFS_UP_TO = 16;
const CHAIN_ID = "31337";

// keccak256(keccak256(abi.encode(label, index))): the leaf hash of the library is our random source.
const random = (label, index) => StandardMerkleTree.of([[label, String(index)]], ["string", "uint256"]).root;
const address = (label, index) => `0x${random(label, index).slice(-40)}`;
const amount = (label, index) => (BigInt(random(label, index)) % 10n ** 24n).toString();

const DISTRIBUTOR = address("headwater/vector/distributor", 0);
const KINDS = [
  {
    kind: "version",
    leafEncoding: ["bytes32", "address", "bytes32"],
    value: (index) => [
      random("headwater/vector/chunk", index),
      // Contributors repeat, as they do in a Datanet.
      address("headwater/vector/contributor", index % 4),
      random("headwater/vector/submission", index >> 1),
    ],
  },
  {
    kind: "version/2",
    leafEncoding: ["bytes32", "address", "bytes32", "uint64"],
    value: (index) => [
      random("headwater/vector/chunk", index),
      address("headwater/vector/contributor", index % 4),
      random("headwater/vector/submission", index >> 1),
      // One number per submission.
      String(1 + (index >> 1)),
    ],
  },
  {
    kind: "reward",
    leafEncoding: ["uint256", "address", "address", "uint256"],
    value: (index) => [
      CHAIN_ID,
      DISTRIBUTOR,
      address("headwater/vector/account", index),
      amount("headwater/vector/cumulative", index),
    ],
  },
  {
    kind: "receipt",
    leafEncoding: ["bytes32"],
    value: (index) => [random("headwater/vector/receipt", index)],
  },
];

function tree({ kind, leafEncoding, value }, size) {
  const values = Array.from({ length: size }, (_, index) => value(index));
  const merkle = StandardMerkleTree.of(values, leafEncoding);
  const proven = size <= ALL_PROOFS_UP_TO ? values.map((_, index) => index) : [0, 1, size >> 1, size - 2, size - 1];
  const leaves = proven.map((index) => ({
    index,
    leafHash: merkle.leafHash(values[index]),
    proof: merkle.getProof(index),
  }));
  return { kind, size, leafEncoding, root: merkle.root, values, leaves };
}

const library = JSON.parse(readFileSync(join(ROOT, "node_modules/@openzeppelin/merkle-tree/package.json"), "utf8"));
const vectors = {
  format: "standard-v1",
  generator: `${library.name} ${library.version}`,
  trees: KINDS.flatMap((kind) => SIZES.map((size) => tree(kind, size))),
};
mkdirSync(join(ROOT, "vectors"), { recursive: true });
const path = "vectors/standard-merkle-tree.json";
writeFileSync(join(ROOT, path), `${JSON.stringify(vectors, null, 1)}\n`);
console.log(`wrote ${path}: ${vectors.trees.length} trees`);
