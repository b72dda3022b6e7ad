// graphile-worker on PostgreSQL, doing what the product is asked to do. It looks for jobs every 50 ms and not every 2 s,
// and runs 20 at once. Several jobs are added by one statement.
import { Logger, makeWorkerUtils, run } from "graphile-worker";
import { asked, lots, measure, ran } from "./measured.mjs";

const POLL_MS = 50;
const CONCURRENCY = 20;

const logger = new Logger(() => (level, message) => {
  if (level === "warning" || level === "error") console.error(message);
});
await run({
  connectionString: asked.dsn,
  concurrency: CONCURRENCY,
  maxPoolSize: CONCURRENCY + 2,
  pollInterval: POLL_MS,
  noHandleSignals: true,
  logger,
  taskList: { fire: async (payload) => ran(payload.at) },
});
const tools = await makeWorkerUtils({ connectionString: asked.dsn, logger });
for (const lot of lots()) {
  await tools.addJobs(lot.map((at) => ({ identifier: "fire", payload: { at }, runAt: new Date(at) })));
}
await measure();
