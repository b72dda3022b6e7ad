/** Client of ChronoWatch. The calls and their types are generated from its OpenAPI document. */

export * from './generated/index.js';
export type { Client } from './generated/client/index.js';
export * from './connect.js';
export * from './errors.js';
export * from './lease.js';
export * from './pages.js';
export * from './receiver.js';
export { verify, read, firingOf, TOLERANCE_S, BODY_MAX_BYTES } from './webhooks.js';
export type { Firing, Secret, ToVerify } from './webhooks.js';
