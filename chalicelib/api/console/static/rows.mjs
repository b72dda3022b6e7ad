// The tasks that are loaded, in the order that is shown. What comes in changes rows in place; it moves none of them.
//
// New tasks go in at the top only while the top is shown and nobody points at a row; else they wait, and are counted.

import { get } from './api.mjs';
import { signal } from './signals.mjs';

export const ROWS_MAX = 100000;
const SLICE_MS = 8; // what one piece of a sort may take, so that the page stays at hand
const RUN = 2048;

export const COLUMNS = {
  status: (row) => row.status,
  name: (row) => row.name || '',
  owner: (row) => row.owner,
  id: (row) => row.id,
  created: (row) => row.firing_time_unix_ms,
  duration: (row) => row.duration_ms ?? -1,
  lateness: (row) => row.lateness_ms ?? -1,
  attempt: (row) => row.attempt,
};

const breathe = () =>
  new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });

// Sorted anew, in pieces; equal ones keep their order. `stop` says whether the answer is still wanted.
export const sortInPieces = async (rows, of, descending, stop = () => false) => {
  const sign = descending ? -1 : 1;
  const keys = new Map();
  let began = performance.now();
  const rest = async () => {
    if (performance.now() - began < SLICE_MS) return;
    await breathe();
    began = performance.now();
  };
  let runs = [];
  for (let at = 0; at < rows.length; at += RUN) {
    const run = rows.slice(at, at + RUN);
    for (const row of run) keys.set(row, of(row));
    run.sort((a, b) => {
      const [x, y] = [keys.get(a), keys.get(b)];
      return x < y ? -sign : x > y ? sign : 0;
    });
    runs.push(run);
    await rest();
    if (stop()) return null;
  }
  while (runs.length > 1) {
    const merged = [];
    for (let r = 0; r < runs.length; r += 2) {
      const [left, right] = [runs[r], runs[r + 1]];
      if (!right) {
        merged.push(left);
        continue;
      }
      const out = new Array(left.length + right.length);
      let [i, j, k] = [0, 0, 0];
      while (k < out.length) {
        const takeLeft = j >= right.length || (i < left.length && !(sign > 0 ? keys.get(right[j]) < keys.get(left[i]) : keys.get(right[j]) > keys.get(left[i])));
        out[k++] = takeLeft ? left[i++] : right[j++];
        if (k % 1024 === 0) {
          await rest();
          if (stop()) return null;
        }
      }
      merged.push(out);
    }
    runs = merged;
  }
  return runs[0] || [];
};

export class Rows {
  constructor() {
    this.changed = signal(0);
    this.byId = new Map();
    this.list = [];
    this.fresh = []; // matching tasks that wait to be shown
    this.query = { server: {}, test: () => true };
    this.sort = { column: 'created', descending: true };
    this.next = undefined; // the page token to go on with; null at the end
    this.loading = false;
    this.sorting = false;
    this.loadingAll = false;
    this.error = null;
    this.held = () => false;
    this.turn = 0;
    this.frame = 0;
    this.seen = 0;
  }

  // Show what a search asks. Rows of the one before stay until its answer is there.
  async begin(query, sort) {
    const turn = ++this.turn;
    this.query = query;
    this.loadingAll = false;
    this.error = null;
    this.loading = true;
    this.paint();
    try {
      const page = await this.ask(undefined);
      if (turn !== this.turn) return;
      this.byId = new Map();
      this.list = [];
      this.fresh = [];
      this.sort = { column: 'created', descending: true };
      this.take(page);
      this.loading = false;
      if (sort && (sort.column !== 'created' || !sort.descending)) await this.order(sort);
    } catch (problem) {
      if (turn !== this.turn) return;
      this.error = problem;
    }
    this.loading = false;
    this.paint();
    // A search that few match may leave its first pages empty.
    if (!this.error && this.list.length < 30 && this.next) await this.more(30);
  }

  ask(token) {
    return get('/api/tasks', { ...this.query.server, limit: 100, page_token: token });
  }

  take(page) {
    for (const row of page.items) {
      if (this.byId.has(row.id) || !this.query.test(row)) continue;
      this.byId.set(row.id, row);
      this.list.push(row);
    }
    this.next = page.next_page_token;
  }

  get atEnd() {
    return this.next === null || this.list.length >= ROWS_MAX;
  }

  // Load further pages until `wanted` more rows are there.
  async more(wanted = 1) {
    if (this.loading || this.atEnd || this.error) return;
    const turn = this.turn;
    this.loading = true;
    this.paint();
    const until = this.list.length + wanted;
    let asked = 0;
    try {
      while (turn === this.turn && this.list.length < until && !this.atEnd && (asked < 20 || this.loadingAll)) {
        const page = await this.ask(this.next);
        if (turn !== this.turn) return;
        this.take(page);
        asked += 1;
        this.paint();
      }
    } catch (problem) {
      if (turn === this.turn) this.error = problem;
    }
    if (turn !== this.turn) return;
    this.loading = false;
    if (!this.isDefault) await this.order(this.sort);
    this.paint();
  }

  async all() {
    this.loadingAll = true;
    await this.more(ROWS_MAX);
    this.loadingAll = false;
    this.paint();
  }

  stopAll() {
    this.loadingAll = false;
    this.turn += 1;
    this.loading = false;
    this.paint();
  }

  get isDefault() {
    return this.sort.column === 'created' && this.sort.descending;
  }

  // Sort what is loaded.
  async order(sort) {
    this.sort = sort;
    this.sorting = true;
    const turn = (this.sortTurn = (this.sortTurn || 0) + 1);
    this.paint();
    await breathe();
    const rows = [...this.list];
    const sorted = await sortInPieces(rows, COLUMNS[sort.column], sort.descending, () => turn !== this.sortTurn);
    if (!sorted || turn !== this.sortTurn) return;
    const had = new Set(rows);
    this.list = [...sorted, ...this.list.filter((row) => !had.has(row))];
    this.sorting = false;
    this.paint();
  }

  // What came since the first page was asked for, as if the feed had told it.
  async lookAgain() {
    const turn = this.turn;
    try {
      const page = await this.ask(undefined);
      if (turn === this.turn && !this.loading) this.hear(page.items);
    } catch {
      // The list stays as it is; the next change or page says what is wrong.
    }
  }

  // Changes from the feed.
  hear(tasks) {
    for (const task of tasks) {
      this.seen += 1;
      const known = this.byId.get(task.id);
      if (known) {
        Object.assign(known, task, { name: task.name ?? known.name });
        if (task.error === undefined) delete known.error;
        known.gone = !this.query.test(known);
        known.flash = performance.now();
      } else if (this.query.test(task)) {
        task.flash = performance.now();
        this.byId.set(task.id, task);
        this.fresh.push(task);
      }
    }
    if (this.fresh.length && this.isDefault && !this.held()) this.showFresh();
    else this.paint();
  }

  // Put in what waits, where it belongs in the list's own order.
  showFresh() {
    const fresh = this.fresh.sort((a, b) => b.firing_time_unix_ms - a.firing_time_unix_ms || (a.id < b.id ? 1 : -1));
    this.fresh = [];
    if (this.isDefault) {
      // Nearly all belong at the top; what is older goes where it belongs among what is loaded.
      let at = 0;
      const top = [];
      const list = this.list;
      const last = fresh[fresh.length - 1];
      while (at < list.length && list[at].firing_time_unix_ms > last.firing_time_unix_ms) at += 1;
      const merged = [...fresh, ...list.slice(0, at)].sort((a, b) => b.firing_time_unix_ms - a.firing_time_unix_ms || (a.id < b.id ? 1 : -1));
      top.push(...merged);
      this.list = top.concat(list.slice(at));
      if (this.list.length > ROWS_MAX) for (const row of this.list.splice(ROWS_MAX)) this.byId.delete(row.id);
      this.paint();
      return;
    }
    this.list = [...fresh, ...this.list];
    this.order(this.sort);
  }

  // One rendering a frame, however much has changed.
  paint() {
    if (this.frame) return;
    const draw = () => {
      this.frame = 0;
      this.changed.value += 1;
    };
    this.frame = document.visibilityState === 'visible' ? requestAnimationFrame(draw) : setTimeout(draw, 500);
  }
}
