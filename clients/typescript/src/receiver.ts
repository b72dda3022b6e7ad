/**
 * The receiver's side: verified, fenced, and once for each execution.
 *
 * A service delivers at least once. A repeated delivery has the same id. A later attempt has a higher fencing token. An
 * older one may still arrive, from a worker that was stopped and went on.
 */

import { Gone, InvalidSignature, NotAFiring, RetryLater } from './errors.js';
import { verify, type Firing, type Headers_, type Secret } from './webhooks.js';

/** What a handler returns that will report by `:complete` or `:fail`. */
export const ACCEPTED: unique symbol = Symbol('accepted');
export type Begun = 'new' | 'done' | 'busy';

/** What a receiver remembers. Each method is one atomic step. */
export interface ReceiverStore {
  /** Begin with an execution. `busy`: the same attempt is being handled; a newer one takes over. */
  begin(executionId: string, token: number): Promise<Begun>;
  /** Whether `token` is as new as any that was seen; it is remembered. */
  admit(scheduleId: string, token: number): Promise<boolean>;
  /** It was handled: later deliveries are not. */
  finish(executionId: string, token: number): Promise<void>;
  /** Its handler failed: the next delivery is handled. */
  forget(executionId: string, token: number): Promise<void>;
}

const BUSY_MS = 900_000;

/** For a receiver of one process. The oldest of what it has seen is forgotten first. */
export class MemoryStore implements ReceiverStore {
  readonly #seen = new Map<string, { done: boolean; token: number; until: number }>();
  readonly #highest = new Map<string, number>();

  constructor(readonly most = 100_000) {}

  async begin(executionId: string, token: number): Promise<Begun> {
    const known = this.#seen.get(executionId);
    if (known?.done) return 'done';
    if (known !== undefined && token <= known.token && Date.now() < known.until) return 'busy';
    this.#put(this.#seen, executionId, { done: false, token, until: Date.now() + BUSY_MS });
    return 'new';
  }

  async admit(scheduleId: string, token: number): Promise<boolean> {
    if (token < (this.#highest.get(scheduleId) ?? 0)) return false;
    this.#put(this.#highest, scheduleId, token);
    return true;
  }

  async finish(executionId: string, token: number): Promise<void> {
    this.#put(this.#seen, executionId, { done: true, token, until: 0 });
  }

  async forget(executionId: string, token: number): Promise<void> {
    const known = this.#seen.get(executionId);
    if (known !== undefined && !known.done && known.token === token) this.#seen.delete(executionId);
  }

  #put<Value>(memory: Map<string, Value>, key: string, value: Value): void {
    memory.delete(key);
    memory.set(key, value);
    const [oldest] = memory.keys();
    if (memory.size > this.most && oldest !== undefined) memory.delete(oldest);
  }
}

export interface ReceiverOptions<Data> {
  secret: Secret;
  store?: ReceiverStore;
  toleranceS?: number;
  onCancel?: (firing: Firing<Data>) => unknown;
}

export interface Answer {
  status: number;
  body: string;
  headers: Record<string, string>;
}

export interface Receiver {
  /** One request, whatever the framework. `body` must be the bytes as they came. Never throws for what came in. */
  receive(headers: Headers_, body: Uint8Array | string): Promise<Answer>;
  /** As a handler of the Fetch API: Next.js, Hono, Deno, Bun, Cloudflare Workers. */
  fetch(request: Request): Promise<Response>;
  /** As a function of AWS Lambda behind API Gateway or a function URL. */
  lambda(event: GatewayEvent): Promise<{ statusCode: number; headers: Record<string, string>; body: string }>;
}

export interface GatewayEvent {
  headers?: Record<string, string | undefined> | null;
  body?: string | null;
  isBase64Encoded?: boolean;
}

/** A receiver of firings whose signature is verified, and of which each is handled once. */
export function receiver<Data = unknown>(
  handler: (firing: Firing<Data>) => unknown,
  { secret, store = new MemoryStore(), toleranceS, onCancel }: ReceiverOptions<Data>,
): Receiver {
  async function once(firing: Firing<Data>): Promise<Answer> {
    const begun = await store.begin(firing.id, firing.fencingToken);
    if (begun === 'done') return answer(204);
    if (begun === 'busy') throw new RetryLater('this execution is being handled', 1);
    let value: unknown;
    try {
      if (firing.isCancellation) value = await onCancel?.(firing);
      else if (await store.admit(firing.scheduleId, firing.fencingToken)) value = await handler(firing);
      else {
        await store.forget(firing.id, firing.fencingToken);
        return answer(409, `${firing.scheduleId} has seen a newer fencing token than ${firing.fencingToken}`);
      }
    } catch (fault) {
      await store.forget(firing.id, firing.fencingToken);
      throw fault;
    }
    // Not done with: the service sends it again when no report came, or a bad one. A plain success would be the report.
    if (value === ACCEPTED) return answer(202, '', { 'X-Chrono-Async': 'true' });
    await store.finish(firing.id, firing.fencingToken);
    if (value === undefined || value === null) return answer(204);
    return answer(200, JSON.stringify(value), { 'Content-Type': 'application/json' });
  }

  async function receive(headers: Headers_, body: Uint8Array | string): Promise<Answer> {
    let firing: Firing<Data>;
    try {
      firing = await verify<Data>({ body, headers, secret, ...(toleranceS === undefined ? {} : { toleranceS }) });
    } catch (refused) {
      if (refused instanceof InvalidSignature) return answer(401, refused.message);
      if (refused instanceof NotAFiring) return answer(400, refused.message);
      throw refused; // the secret itself is wrong: whoever runs this has to know
    }
    try {
      return await once(firing);
    } catch (fault) {
      if (fault instanceof RetryLater) return answer(503, fault.message, { 'Retry-After': String(fault.afterS) });
      if (fault instanceof Gone) return answer(410, fault.message);
      return answer(500, String(fault).slice(0, 500)); // the service tries again, and its journal says why
    }
  }

  return {
    receive,
    async fetch(request) {
      if (request.method !== 'POST') return new Response('POST a firing', { status: 405, headers: { Allow: 'POST' } });
      const { status, body, headers } = await receive(request.headers, new Uint8Array(await request.arrayBuffer()));
      return new Response(status === 204 ? null : body, { status, headers });
    },
    async lambda(event) {
      const text = event.body ?? '';
      let body: Uint8Array | string = text;
      try {
        if (event.isBase64Encoded) body = Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
      } catch {
        return { statusCode: 400, headers: {}, body: 'the body is no base64' };
      }
      const { status, body: said, headers } = await receive(event.headers ?? {}, body);
      return { statusCode: status, headers, body: said };
    },
  };
}

function answer(status: number, body = '', headers: Record<string, string> = {}): Answer {
  return { status, body, headers };
}
