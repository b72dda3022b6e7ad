/** What goes wrong. `code` is the service's: programs decide by it, people read the message. */

import type { Problem } from './generated/types.gen.js';

/** An answer of the service that is no success. */
export class ApiError extends Error {
  override readonly name: string = 'ApiError';
  readonly status: number;
  readonly code: string;
  readonly problem: Partial<Problem>;

  constructor(status: number, problem: Partial<Problem>) {
    const code = problem.code ?? (status === 0 ? 'unreachable' : `http_${status}`);
    super(`${code}: ${problem.detail ?? 'the answer says no more'}`);
    this.status = status;
    this.code = code;
    this.problem = problem;
  }

  /** What finds the call in the service's log. */
  get traceId(): string | undefined {
    return this.problem.trace_id;
  }
}

/** No answer came. The call may have happened. */
export class Unreachable extends ApiError {
  override readonly name = 'Unreachable';

  constructor(cause: unknown) {
    super(0, { detail: cause instanceof Error ? cause.message : String(cause) });
    this.cause = cause;
  }
}

/** A lease was not granted within the time that the caller would wait. */
export class NotAcquired extends Error {
  override readonly name = 'NotAcquired';
}

/** The lease can no longer be counted on: stop touching what it protects. */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost';
}

/** A delivery is not signed with the secret, or was signed too long ago. */
export class InvalidSignature extends Error {
  override readonly name = 'InvalidSignature';
}

/** What was delivered is no firing of a schedule. */
export class NotAFiring extends Error {
  override readonly name = 'NotAFiring';
}

/** Thrown by a handler that cannot take a firing now: it comes again, not before `afterS` seconds. */
export class RetryLater extends Error {
  override readonly name = 'RetryLater';

  constructor(
    reason: string,
    readonly afterS: number,
  ) {
    super(reason);
  }
}

/** Thrown by a handler that wants no more firings: the answer is 410, and the service pauses the schedule. */
export class Gone extends Error {
  override readonly name = 'Gone';
}
