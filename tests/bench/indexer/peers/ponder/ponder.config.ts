// What ponder needs to index Storm; the benchmark names the chain and the contract in the environment.
import { readFileSync } from "node:fs";
import { createConfig } from "ponder";

const { STORM_ABI, STORM_ADDRESS, STORM_START, STORM_END, STORM_RPC, STORM_ENDPOINTS } = process.env;

export default createConfig({
  database: { kind: "pglite" },
  // Ponder's limit on requests per second is one per endpoint: the same one many times lifts it.
  chains: {
    anvil: { id: 31337, rpc: Array(Number(STORM_ENDPOINTS)).fill(STORM_RPC), disableCache: true, pollingInterval: 200 },
  },
  contracts: {
    Storm: {
      chain: "anvil",
      abi: JSON.parse(readFileSync(STORM_ABI!, "utf8")),
      address: STORM_ADDRESS as `0x${string}`,
      startBlock: Number(STORM_START),
      ...(STORM_END ? { endBlock: Number(STORM_END) } : {}),
    },
  },
});
