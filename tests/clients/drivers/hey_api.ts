// Create, list, pause and delete with the client of @hey-api/openapi-ts. Argument: the service.
import * as api from './generated';
import { client } from './generated/client.gen';

client.setConfig({ baseUrl: process.argv[2] });

const wanted: api.NewSchedule = {
  type: 'RATE',
  expr: 'rate:5s',
  name: 'made-by-a-client',
  payload: { hello: 'world' },
  target: { type: 'webhook', url: 'http://127.0.0.1:9/hook' },
};

async function main(): Promise<void> {
  const { data: made } = await api.postSchedules({ body: wanted, throwOnError: true });
  if (made.target.type !== 'webhook') throw new Error('not the target that was asked for');
  const { error: refused } = await api.postSchedules({ body: wanted });
  const { data: listed } = await api.getSchedules({ query: { name_prefix: 'made-by', limit: 10 }, throwOnError: true });
  const path = { schedule_id: made.id };
  const body: api.PauseBody = { note: 'enough' };
  const { data: paused } = await api.postSchedulesByScheduleIdPause({ path, body, throwOnError: true });
  const { data: deleted } = await api.deleteSchedulesByScheduleId({ path, throwOnError: true });
  console.log(
    JSON.stringify({
      url: made.target.url,
      payload: made.payload,
      refused: refused?.code,
      listed: listed.items.length === 1 && listed.items[0]?.id === made.id,
      state: paused.state,
      note: paused.note,
      deleted: deleted.id === made.id,
    }),
  );
}

main().catch((problem) => {
  console.error(problem);
  process.exit(1);
});
