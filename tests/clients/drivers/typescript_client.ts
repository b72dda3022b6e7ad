// Drives the TypeScript client as its package installs it. Arguments: the service, a secret, and signed deliveries.
import {
  ACCEPTED,
  ApiError,
  Gone,
  LeaseLost,
  NotAcquired,
  RetryLater,
  Unreachable,
  connect,
  deleteSchedulesByScheduleId,
  getLeasesByName,
  getSchedules,
  getSchedulesByScheduleId,
  items,
  postLeasesBreak,
  postSchedules,
  receiver,
  verify,
  withLease,
  type Firing,
  type NewSchedule,
} from 'chronowatch';

interface Delivery {
  headers: Record<string, string>;
  body: string;
}

const [url, secret, given] = process.argv.slice(2) as [string, string, string];
const [first, again, stale, newer, later, latest] = JSON.parse(given) as Delivery[];
const client = connect({ url });
const failed = (call: Promise<unknown>): Promise<unknown> => call.then(() => 'no error').catch((problem) => problem);

async function schedules(): Promise<unknown> {
  const body: NewSchedule = { type: 'RATE', expr: 'rate:1h', name: 'typed', target: { type: 'log' } };
  const headers = { 'Idempotency-Key': 'typed-1' };
  const { data: made } = await postSchedules({ client, body, headers, throwOnError: true });
  const { data: same } = await postSchedules({ client, body, headers, throwOnError: true });
  await postSchedules({ client, body: { ...body, name: 'other' }, throwOnError: true });
  const taken = await failed(postSchedules({ client, body, throwOnError: true }));
  const names: (string | null | undefined)[] = [];
  const page = (page_token?: string) => getSchedules({ client, query: { limit: 1, page_token }, throwOnError: true });
  for await (const each of items(page)) names.push(each.name);
  const path = { schedule_id: made.id };
  await deleteSchedulesByScheduleId({ client, path, throwOnError: true });
  const { error, response } = await getSchedulesByScheduleId({ client, path });
  const away = await failed(getSchedules({ client: connect({ url: 'http://127.0.0.1:9', attempts: 2 }), throwOnError: true }));
  return {
    same: same.id === made.id,
    taken: taken instanceof ApiError && [taken.status, taken.code, (taken.traceId ?? '').length],
    names: names.sort(),
    gone: [response?.status, (error as unknown as ApiError).code],
    away: away instanceof Unreachable,
  };
}

async function leases(): Promise<unknown> {
  const tokens = await withLease(client, 'night', async (lease) => {
    const other = await failed(withLease(client, 'night', () => 0, { waitMs: 0, holderId: 'other' }));
    return [lease.held, lease.fencingToken, other instanceof NotAcquired];
  });
  const after = await getLeasesByName({ client, path: { name: 'night' }, throwOnError: true });
  const lost = await failed(
    withLease(
      client,
      'short',
      async (lease) => {
        await postLeasesBreak({ client, body: { name: 'short' }, throwOnError: true });
        await new Promise((done) => lease.signal.addEventListener('abort', done));
        return lease.held;
      },
      { ttlMs: 1500 },
    ),
  );
  return { tokens, released: !after.data.held, lost: lost instanceof LeaseLost };
}

async function receiving(): Promise<unknown> {
  const seen: unknown[] = [];
  let mood: 'well' | 'fails' | 'busy' | 'gone' | 'later' = 'fails';
  const ours = receiver<{ n: number }>(
    (firing: Firing<{ n: number }>) => {
      if (mood === 'fails') throw new Error('oh');
      if (mood === 'busy') throw new RetryLater('soon', 7);
      if (mood === 'gone') throw new Gone('never');
      if (mood === 'later') return ACCEPTED;
      seen.push([firing.data.n, firing.fencingToken]);
      return { took: firing.data.n };
    },
    { secret },
  );
  const post = async (each: Delivery, extra: Record<string, string> = {}): Promise<unknown> => {
    const headers = { ...each.headers, ...extra };
    const answer = await ours.fetch(new Request('http://here/', { method: 'POST', headers, body: each.body }));
    return answer.status;
  };
  const statuses = [await post(first)];
  mood = 'busy';
  const busy = await ours.receive(first.headers, first.body);
  statuses.push(busy.status, busy.headers['Retry-After']);
  mood = 'gone';
  statuses.push(await post(first));
  mood = 'well';
  statuses.push(await post(newer), await post(again), await post(stale));
  statuses.push(await post(first, { 'webhook-signature': 'v1,AAAA' }), await post({ ...first, body: first.body + ' ' }));
  statuses.push((await ours.fetch(new Request('http://here/'))).status);
  const gateway = await ours.lambda({ headers: again.headers, body: btoa(again.body), isBase64Encoded: true });
  const broken = await ours.lambda({ headers: again.headers, body: '?', isBase64Encoded: true });
  mood = 'later';
  const accepted = await ours.receive(later.headers, later.body);
  const resumed = await ours.receive(latest.headers, latest.body);
  const alone = await verify<{ n: number }>({ ...first, secret: ['whsec_AAAA', secret] });
  return { statuses, seen, gateway: [gateway.statusCode, broken.statusCode], accepted: [accepted.status, accepted.headers, resumed.status], alone: [alone.attempt, alone.data.n] };
}

console.log(JSON.stringify({ schedules: await schedules(), leases: await leases(), receiving: await receiving() }));
