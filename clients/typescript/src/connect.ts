/** A connection: the generated client with retries where they are safe, and errors with their code. */

import { createClient, createConfig, type Client } from './generated/client/index.js';
import { ApiError, Unreachable } from './errors.js';

const RETRIED = new Set([429, 502, 503, 504]);
const SAFE = new Set(['GET', 'HEAD', 'PUT', 'DELETE']);
const RETRY_AFTER_MAX_S = 30;

export interface Connection {
  /** Such as `https://chrono.example.com`. */
  url: string;
  /** Sent as `Authorization: Bearer …`. */
  token?: string;
  /** How often a call is made at most, where repeating it is safe. */
  attempts?: number;
  /** How long one attempt may take. */
  timeoutMs?: number;
  fetch?: typeof fetch;
}

/** A client for `{ client }` of the generated calls. */
export function connect({ url, token, attempts = 4, timeoutMs = 30_000, fetch: given }: Connection): Client {
  if (!/^https?:\/\/[^/]/.test(url)) throw new TypeError(`url: ${url} is no address such as https://chrono.example.com`);
  const once = given ?? fetch;
  const client = createClient(
    createConfig({
      baseUrl: url.replace(/\/+$/, ''),
      ...(token === undefined ? {} : { auth: token }),
      fetch: async (input, init) => patiently(once, new Request(input, init), attempts, timeoutMs),
    }),
  );
  client.interceptors.error.use((error, response) => {
    if (error instanceof ApiError) return error;
    const status = (response as Response | undefined)?.status ?? 0;
    if (status === 0) return new Unreachable(error);
    return new ApiError(status, typeof error === 'object' && error !== null ? error : { detail: String(error) });
  });
  return client;
}

/** A call that is safe to repeat is repeated after a lost answer, 429, 502, 503 and 504, with jitter. */
async function patiently(once: typeof fetch, request: Request, attempts: number, timeoutMs: number): Promise<Response> {
  const safe = SAFE.has(request.method) || request.headers.has('Idempotency-Key');
  for (let attempt = 1; ; attempt++) {
    const last = !safe || attempt >= attempts;
    const signal = AbortSignal.any([request.signal, AbortSignal.timeout(timeoutMs)]);
    let waitS = Math.random() * 0.1 * 2 ** attempt;
    try {
      const response = await once(request.clone(), { signal });
      if (last || !RETRIED.has(response.status)) return response;
      waitS = Math.max(waitS, Math.min(RETRY_AFTER_MAX_S, Number(response.headers.get('Retry-After')) || 0));
      await response.body?.cancel();
    } catch (problem) {
      if (last || request.signal.aborted) throw problem;
    }
    await sleep(waitS * 1000, request.signal);
  }
}

/** Wait; ends early when `signal` is aborted. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return;
  await new Promise<void>((done) => {
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      done();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener('abort', end);
  });
}
