import { onchainTable } from "ponder";

export const logs = onchainTable("logs", (t) => ({
  id: t.text().primaryKey(),
  blockNumber: t.integer().notNull(),
  logIndex: t.integer().notNull(),
  blockHash: t.hex().notNull(),
  transactionHash: t.hex().notNull(),
  address: t.hex().notNull(),
  topics: t.text().notNull(),
  data: t.hex().notNull(),
}));
