/** Verifying what a ChronoWatch service sends: Standard Webhooks, HMAC-SHA256, by Web Crypto. */

import { InvalidSignature, NotAFiring } from './errors.js';

export const TOLERANCE_S = 300;
export const BODY_MAX_BYTES = 256 * 1024;
const CANCELLATION = 'chronowatch.cancellations.v1';

/** `whsec_…`, or several of them while one is rotated. */
export type Secret = string | readonly string[];
export type Headers_ = Headers | Readonly<Record<string, string | readonly string[] | undefined>>;

/** One firing. `id` is the same for every attempt, `fencingToken` higher for each; `data` is the schedule's payload. */
export interface Firing<Data = unknown> {
  id: string;
  scheduleId: string;
  time: string;
  attempt: number;
  fencingToken: number;
  data: Data;
  /** The whole CloudEvent. */
  event: Readonly<Record<string, unknown>>;
  /** Whether it says that an execution which was accepted is cancelled. */
  isCancellation: boolean;
}

export interface ToVerify {
  /** The bytes as they came. */
  body: Uint8Array | string;
  headers: Headers_;
  secret: Secret;
  toleranceS?: number;
  nowS?: number;
}

/** The firing in `body`. Throws InvalidSignature and NotAFiring. */
export async function verify<Data = unknown>(given: ToVerify): Promise<Firing<Data>> {
  const { headers, secret, toleranceS = TOLERANCE_S, nowS = Date.now() / 1000 } = given;
  const body = bytesOf(given.body);
  const id = headerOf(headers, 'webhook-id');
  const stamp = headerOf(headers, 'webhook-timestamp');
  const sent = headerOf(headers, 'webhook-signature').split(/\s+/).filter(Boolean);
  if (!id || !stamp || sent.length === 0) throw new InvalidSignature('the request is not signed');
  if (!/^[0-9]+$/.test(stamp) || Math.abs(nowS - Number(stamp)) > toleranceS)
    throw new InvalidSignature('the timestamp is too far from this clock');
  const signed = joined(new TextEncoder().encode(`${id}.${stamp}.`), body);
  const signatures = sent.filter((each) => each.startsWith('v1,')).map((each) => bytesOfBase64(each.slice(3)));
  let matches = false;
  for (const each of typeof secret === 'string' ? [secret] : secret) {
    const how = { name: 'HMAC', hash: 'SHA-256' };
    const key = await crypto.subtle.importKey('raw', keyOf(each), how, false, ['verify']);
    for (const one of signatures) {
      if (one !== undefined && (await crypto.subtle.verify('HMAC', key, one, signed))) matches = true;
    }
  }
  if (!matches) throw new InvalidSignature('the signature does not match');
  const firing = read<Data>(body);
  if (firing.id !== id) throw new InvalidSignature("the signed id is another than the firing's");
  return firing;
}

/** The firing in `body`, unverified. Throws NotAFiring. */
export function read<Data = unknown>(body: Uint8Array | string): Firing<Data> {
  const bytes = bytesOf(body);
  if (bytes.length > BODY_MAX_BYTES) throw new NotAFiring(`the body has more than ${BODY_MAX_BYTES / 1024} KiB`);
  let event: unknown;
  try {
    event = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw new NotAFiring('the body is not JSON');
  }
  return firingOf<Data>(event);
}

/** The firing that a CloudEvent is. Throws NotAFiring. */
export function firingOf<Data = unknown>(given: unknown): Firing<Data> {
  if (!isObject(given) || given['specversion'] !== '1.0') throw new NotAFiring('it is no CloudEvent');
  const isCancellation = given['type'] === CANCELLATION && isObject(given['data']);
  const data = given['data'];
  const numbers = isCancellation && isObject(data) ? data : given;
  const attempt = numbers['attempt'];
  const token = isCancellation ? numbers['fencing_token'] : numbers['fencingtoken'];
  const { id, subject, time } = given;
  const wanted = { id: text(id), subject: text(subject), time: text(time), attempt: whole(attempt), token: whole(token) };
  for (const [name, right] of Object.entries(wanted)) {
    if (!right) throw new NotAFiring(`it has no ${name}: it is ${String(given['type'] ?? 'of no type')}`);
  }
  return {
    id: id as string,
    scheduleId: subject as string,
    time: time as string,
    attempt: attempt as number,
    fencingToken: token as number,
    data: data as Data,
    event: given,
    isCancellation,
  };
}

function headerOf(headers: Headers_, name: string): string {
  if (headers instanceof Headers) return headers.get(name) ?? '';
  const found = Object.entries(headers).find(([each]) => each.toLowerCase() === name)?.[1];
  return typeof found === 'string' ? found : (found?.join(' ') ?? '');
}

function keyOf(secret: string): Uint8Array<ArrayBuffer> {
  if (!secret.startsWith('whsec_')) throw new TypeError('a secret begins with whsec_');
  const key = bytesOfBase64(secret.slice('whsec_'.length));
  if (key === undefined || key.length === 0) throw new TypeError('what follows whsec_ must be base64');
  return key;
}

function bytesOfBase64(given: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(given), (each) => each.charCodeAt(0));
  } catch {
    return undefined;
  }
}

function bytesOf(given: Uint8Array | string): Uint8Array {
  return typeof given === 'string' ? new TextEncoder().encode(given) : given;
}

function joined(one: Uint8Array, two: Uint8Array): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(one.length + two.length);
  all.set(one);
  all.set(two, one.length);
  return all;
}

const isObject = (given: unknown): given is Record<string, unknown> =>
  typeof given === 'object' && given !== null && !Array.isArray(given);
const text = (given: unknown): boolean => typeof given === 'string';
const whole = (given: unknown): boolean => Number.isSafeInteger(given);
