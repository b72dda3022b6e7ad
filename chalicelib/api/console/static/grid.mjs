// A table of up to 100,000 rows, of which the page holds those that are seen. Rows have one height.
//
// The focus stays on the grid and the row that is meant is named (aria-activedescendant), so no row that leaves the page
// takes the focus along.

import { html, useEffect, useLayoutEffect, useRef, useState } from './ui.mjs';

const SPARE = 8;

export const Grid = ({ rows, columns, label, cursor, onCursor, onOpen, sort, onSort, rowHeight, onNearEnd, gridRef, pool = 0 }) => {
  const box = useRef();
  const [view, setView] = useState({ top: 0, height: 800 });
  const list = rows.list;
  useLayoutEffect(() => {
    const el = box.current;
    const read = () => setView((v) => (v.top === el.scrollTop && v.height === el.clientHeight ? v : { top: el.scrollTop, height: el.clientHeight }));
    const watch = new ResizeObserver(read);
    watch.observe(el);
    el.addEventListener('scroll', read, { passive: true });
    if (gridRef) gridRef.current = el;
    read();
    return () => {
      watch.disconnect();
      el.removeEventListener('scroll', read);
    };
  }, []);

  const head = 36;
  const first = Math.max(0, Math.floor((view.top - head) / rowHeight) - SPARE);
  const last = Math.min(list.length, Math.ceil((view.top + view.height) / rowHeight) + SPARE);
  useEffect(() => {
    if (last >= list.length - 20) onNearEnd?.();
  }, [last, list.length]);

  const at = cursor ? list.findIndex?.((row) => row.id === cursor) : -1;
  const show = (index) => {
    const el = box.current;
    const top = index * rowHeight;
    if (top < el.scrollTop) el.scrollTop = top;
    else if (top + rowHeight + head > el.scrollTop + el.clientHeight) el.scrollTop = top + rowHeight + head - el.clientHeight;
  };
  const move = (index) => {
    if (!list.length) return;
    const to = Math.max(0, Math.min(list.length - 1, index));
    show(to);
    onCursor(list[to]);
  };
  const page = Math.max(1, Math.floor(view.height / rowHeight) - 2);
  const onKeyDown = (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const steps = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: page, PageUp: -page };
    if (e.key in steps) move(at < 0 ? Math.ceil(view.top / rowHeight) : at + steps[e.key]);
    else if (e.key === 'Home') move(0);
    else if (e.key === 'End') move(list.length - 1);
    else if ((e.key === 'Enter' || e.key === 'o') && at >= 0) onOpen(list[at]);
    else return;
    e.preventDefault();
    e.stopPropagation();
  };

  const shown = [];
  for (let index = first; index < last; index += 1) {
    const row = list[index];
    shown.push(html`<div key=${index % (pool || 96)} id=${`row-${index}`} class=${`row${row.id === cursor ? ' on' : ''}${row.gone ? ' gone' : ''}`} role="row"
        aria-rowindex=${index + 2} aria-selected=${row.id === cursor} data-id=${row.id} style=${{ transform: `translateY(${index * rowHeight}px)`, height: `${rowHeight}px` }}
        onClick=${() => { onCursor(row); onOpen(row); }}>
      ${columns.map((column) => html`<div key=${column.key} role="gridcell" class=${`c c-${column.key}`}>${column.cell(row)}</div>`)}
    </div>`);
  }

  return html`<div ref=${box} class="grid" role="grid" tabindex="0" aria-label=${label} aria-rowcount=${rows.next === null || rows.next === undefined ? list.length + 1 : -1}
      aria-activedescendant=${at >= first && at < last && at >= 0 ? `row-${at}` : undefined} onKeyDown=${onKeyDown}>
    <div class="grid-head" role="row" aria-rowindex="1">
      ${columns.map((column) => html`<div key=${column.key} role="columnheader" class=${`c c-${column.key}`}
          aria-sort=${sort.column === column.key ? (sort.descending ? 'descending' : 'ascending') : undefined}>
        <button type="button" onClick=${() => onSort(column.key)} tabindex="-1" title=${`Sort by ${column.label}`}>${column.label}${sort.column === column.key ? html`<span aria-hidden="true" class="arrow">${sort.descending ? '↓' : '↑'}</span>` : ''}</button>
      </div>`)}
    </div>
    <div class="grid-body" role="rowgroup" style=${{ height: `${list.length * rowHeight}px` }}>${shown}</div>
  </div>`;
};
