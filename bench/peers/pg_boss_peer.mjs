// pg-boss on PostgreSQL, doing what the product is asked to do. It looks for jobs every 0.5 s, which is the least it
// takes, and takes as many at once as are due.
import PgBoss from "pg-boss";
import { asked, lots, measure, ran } from "./measured.mjs";

const POLL_S = 0.5;
const BATCH = 1000;

const boss = new PgBoss({ connectionString: asked.dsn, schema: "pgboss", max: 10 });
boss.on("error", (problem) => console.error(problem.message));
await boss.start();
await boss.createQueue("fire");
for (const lot of lots()) {
  await boss.insert(lot.map((at) => ({ name: "fire", data: { at }, startAfter: new Date(at) })));
}
await measure(() =>
  boss.work("fire", { batchSize: BATCH, pollingIntervalSeconds: POLL_S }, async (jobs) => {
    for (const job of jobs) ran(job.data.at);
  }),
);
