// What the peers of npm share: what was asked, when each job ran, and the answer. Its form: procrastinate_peer.py.
const LOT = 1000;

export const asked = JSON.parse(await text(process.stdin));
const instants = asked.instants_unix_ms;
const started = [];

export function ran(at) {
  started.push([at, Math.round((performance.timeOrigin + performance.now()) * 1000) * 1000]);
}

export function* lots() {
  for (let start = 0; start < instants.length; start += LOT) yield instants.slice(start, start + LOT);
}

// All jobs are added: `begin` lets them run, where they do not yet, and the answer is written when they have.
export async function measure(begin) {
  const added = Date.now();
  const before = process.cpuUsage();
  await begin?.();
  const until = instants.reduce((a, b) => Math.max(a, b)) + asked.wait_s * 1000;
  while (started.length < instants.length && Date.now() < until) await sleep(100);
  const used = process.cpuUsage(before);
  await sleep(1000); // what comes twice would come now
  const cpu_s = (used.user + used.system) / 1e6;
  process.stdout.write(JSON.stringify({ started, added_unix_ms: added, cpu_s }) + "\n", () => process.exit(0));
}

function sleep(ms) {
  return new Promise((done) => setTimeout(done, ms));
}

async function text(stream) {
  let all = "";
  for await (const chunk of stream) all += chunk;
  return all;
}
