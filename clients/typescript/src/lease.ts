/**
 * A lease that is held while work runs: renewed in the background, and honest about its loss.
 *
 * It counts from the moment *before* it asked, and stops a margin before its ttl is over. The service counts from when
 * it decided, which is later. Nothing can protect from a pause between looking at `held` and acting on it: for that the
 * resource checks `fencingToken`.
 */

import { ApiError, LeaseLost, NotAcquired, Unreachable } from './errors.js';
import { sleep } from './connect.js';
import type { Client } from './generated/client/index.js';
import { postLeasesAcquire, postLeasesRelease, postLeasesRenew } from './generated/sdk.gen.js';
import type { AcquireBody } from './generated/types.gen.js';

export interface LeaseOptions {
  ttlMs?: number;
  /** Give up after so long; undefined waits for ever, 0 asks once. */
  waitMs?: number;
  holderId?: string;
  marginMs?: number;
  metadata?: AcquireBody['metadata'];
}

const HOLD_MAX_MS = 20_000;
const RENEWALS_PER_TTL = 3;
const PAUSE_MS = 500;

/** Elapsed time. A clock that stands still while the machine sleeps is joined by one that does not. */
class Elapsed {
  readonly #steady = performance.now();
  readonly #wall = Date.now();

  ms(): number {
    return Math.max(performance.now() - this.#steady, Date.now() - this.#wall);
  }
}

export class Lease {
  readonly #lost = new AbortController();
  #believed: { since: Elapsed; forMs: number };

  constructor(
    readonly name: string,
    readonly holderId: string,
    readonly fencingToken: number,
    since: Elapsed,
    forMs: number,
  ) {
    this.#believed = { since, forMs };
  }

  /** Aborted when the lease can no longer be counted on: hand it to what the work waits for. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /** Whether it may be counted on now. A lost lease stays lost. */
  get held(): boolean {
    if (this.#believed.since.ms() >= this.#believed.forMs) this.lose('its ttl has passed');
    return !this.#lost.signal.aborted;
  }

  /** How long it may be counted on from now. */
  get leftMs(): number {
    return Math.max(0, this.#believed.forMs - this.#believed.since.ms());
  }

  /** Throws LeaseLost where it is lost: call it before each write. */
  throwIfLost(): void {
    if (!this.held) throw this.#lost.signal.reason;
  }

  /** @internal */
  renewed(since: Elapsed): void {
    if (this.held) this.#believed = { since, forMs: this.#believed.forMs };
  }

  /** @internal */
  lose(why: string): void {
    if (!this.#lost.signal.aborted) this.#lost.abort(new LeaseLost(`the lease ${this.name} was lost: ${why}`));
  }
}

/**
 * Hold a lease while `work` runs, and give it back. Throws NotAcquired when `waitMs` is over, and LeaseLost when the
 * lease was lost while `work` ran.
 */
export async function withLease<Value>(
  client: Client,
  name: string,
  work: (lease: Lease) => Promise<Value> | Value,
  options: LeaseOptions = {},
): Promise<Value> {
  const { ttlMs = 15_000, holderId = `node:${process.pid}:${crypto.randomUUID().slice(0, 13)}` } = options;
  const marginMs = options.marginMs ?? Math.min(ttlMs / 10, 1000);
  if (!(marginMs > 0 && marginMs < ttlMs)) throw new RangeError('marginMs must be above 0 and below ttlMs');
  const lease = await acquired(client, name, holderId, ttlMs, marginMs, options);
  const ended = new AbortController();
  const renewing = renew(client, lease, ttlMs, ended.signal);
  try {
    const value = await work(lease);
    lease.throwIfLost();
    return value;
  } finally {
    ended.abort();
    await renewing;
    const body = { name, holder_id: holderId, fencing_token: lease.fencingToken };
    await postLeasesRelease({ client, body, signal: AbortSignal.timeout(2000) }).catch(() => undefined); // it runs out
  }
}

async function acquired(
  client: Client,
  name: string,
  holderId: string,
  ttlMs: number,
  marginMs: number,
  { waitMs, metadata }: LeaseOptions,
): Promise<Lease> {
  const began = new Elapsed();
  for (;;) {
    const since = new Elapsed();
    const left = waitMs === undefined ? HOLD_MAX_MS : Math.max(0, waitMs - began.ms());
    const hold = Math.min(HOLD_MAX_MS, Math.round(left));
    const body = { name, holder_id: holderId, ttl_ms: ttlMs, wait_ms: hold, ...(metadata && { metadata }) };
    try {
      const { data } = await postLeasesAcquire({ client, body, throwOnError: true });
      if (data.acquired && data.fencing_token != null) {
        const lease = new Lease(name, holderId, data.fencing_token, since, ttlMs - marginMs);
        if (since.ms() <= ttlMs / 2 || (await once(client, lease, ttlMs))) return lease; // else it was granted long ago
      } else if (waitMs !== undefined && began.ms() >= waitMs) {
        throw new NotAcquired(`the lease ${name} is held by ${data.holder_id}; place ${data.queue_position} in the queue`);
      }
    } catch (problem) {
      const passes =
        problem instanceof Unreachable || (problem instanceof ApiError && (problem.status >= 500 || problem.status === 429));
      if (!passes || (waitMs !== undefined && began.ms() >= waitMs)) throw problem;
    }
    await sleep(PAUSE_MS * (0.5 + Math.random()));
  }
}

async function renew(client: Client, lease: Lease, ttlMs: number, ended: AbortSignal): Promise<void> {
  let pause = ttlMs / RENEWALS_PER_TTL;
  while (!ended.aborted && lease.held) {
    await sleep(Math.min(pause, lease.leftMs + 1), ended);
    if (ended.aborted || !lease.held) return;
    pause = (await once(client, lease, ttlMs)) ? ttlMs / RENEWALS_PER_TTL : Math.min(250, ttlMs / 10);
  }
}

/** One renewal; false: it was not renewed, and may be tried again while the lease is held. */
async function once(client: Client, lease: Lease, ttlMs: number): Promise<boolean> {
  const since = new Elapsed();
  const body = { name: lease.name, holder_id: lease.holderId, fencing_token: lease.fencingToken, ttl_ms: ttlMs };
  try {
    await postLeasesRenew({ client, body, signal: AbortSignal.timeout(ttlMs / RENEWALS_PER_TTL), throwOnError: true });
  } catch (problem) {
    if (problem instanceof ApiError && problem.code === 'lease_not_held') lease.lose('another took it');
    return false;
  }
  lease.renewed(since);
  return lease.held;
}
