// One insert for each event: the least that an application does with one.
import { ponder } from "ponder:registry";
import { logs } from "ponder:schema";

for (const name of ["VersionCommitted", "Debited", "Claimed", "Transfer"] as const) {
  ponder.on(`Storm:${name}`, async ({ event, context }: any) => {
    await context.db.insert(logs).values({
      id: event.id,
      blockNumber: Number(event.block.number),
      logIndex: event.log.logIndex,
      blockHash: event.block.hash,
      transactionHash: event.transaction.hash,
      address: event.log.address,
      topics: event.log.topics.filter((topic: string | null) => topic !== null).join("/"),
      data: event.log.data,
    });
  });
}
