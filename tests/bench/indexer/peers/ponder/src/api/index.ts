// Ponder does not start without it; the live test asks it for the newest block that has a row.
import { db } from "ponder:api";
import { logs } from "ponder:schema";
import { Hono } from "hono";
import { max } from "ponder";

const app = new Hono();
app.get("/newest", async (context) => {
  const [row] = await db.select({ newest: max(logs.blockNumber) }).from(logs);
  return context.json({ newest: row?.newest ?? 0 });
});

export default app;
