"""The API's description over HTTP: the OpenAPI document, and a page that shows it without calls to other hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import JSON, Reply
from chalicelib.api.http.requests import Body, Query

HTML = "text/html; charset=utf-8"
SCHEMA_PATH = "/schemas/schedules.json"
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:"


class Docs:
    """The handlers. The document is made when first asked for, and kept as text."""

    def __init__(self, table: Callable[[], Iterable[Operation]]) -> None:
        self._table = table
        self._text: str | None = None
        self._parsed: dict[str, Any] | None = None

    def spec(self, call: Call[Body, Query]) -> Reply:
        """The OpenAPI document."""
        if self._text is None:
            self._text = msgspec.json.encode(self._document()).decode()
        return Reply(200, self._text)

    def schema(self, call: Call[Body, Query]) -> Reply:
        """What an editor needs to complete and check a file of schedules."""
        from chalicelib.api.http import file_schema

        if self._parsed is None:
            self._parsed = self._document()
        return Reply(200, file_schema.schema(self._parsed))

    def _document(self) -> dict[str, Any]:
        from chalicelib.api.http import openapi  # what few ask for, no cold start pays for

        return openapi.document(self._table())

    def page(self, call: Call[Body, Query]) -> Reply:
        """The page."""
        return Reply(200, _PAGE, {"Content-Security-Policy": _POLICY}, HTML)


def operations(table: Callable[[], Iterable[Operation]]) -> list[Operation]:
    """The calls of this noun; ``table`` gives all operations, these included."""
    docs = Docs(table)
    return [
        Operation(
            method="GET",
            path="/api/v1/openapi.json",
            summary="This document",
            tag="operations",
            permission="docs:read",
            handler=docs.spec,
            answers={200: JSON},
        ),
        Operation(
            method="GET",
            path=SCHEMA_PATH,
            summary="JSON Schema of the file that schedules are kept in",
            tag="operations",
            permission="docs:read",
            handler=docs.schema,
            answers={200: JSON},
            open_to_all=True,
            description="For editors: `# yaml-language-server: $schema=ADDRESS` as the first line of the file.",
        ),
        Operation(
            method="GET",
            path="/docs",
            summary="This document as a page",
            tag="operations",
            permission="docs:read",
            handler=docs.page,
            answers={200: "text/html"},
        ),
    ]


# The page builds its nodes with textContent only: nothing of the document is ever read as markup.
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ChronoWatch API</title>
<style>
:root { color-scheme: light dark; --line: #8884; --dim: #888; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin: 2.5rem 0 .5rem; text-transform: capitalize; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .4rem 0; padding: .4rem .8rem; }
summary { cursor: pointer; display: flex; gap: .8rem; align-items: baseline; flex-wrap: wrap; }
code, pre { font: 13px/1.45 ui-monospace, monospace; }
pre { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; padding: .6rem; }
table { border-collapse: collapse; width: 100%; margin: .4rem 0; }
td, th { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--line); }
.method { font-weight: 700; min-width: 4.2rem; }
.dim { color: var(--dim); }
</style>
</head>
<body>
<h1>ChronoWatch API</h1>
<p id="about" class="dim">Loading the document…</p>
<main id="main"></main>
<script>
const el = (tag, attrs, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attrs || {})) node.setAttribute(name, value);
  for (const child of children) if (child != null) node.append(child);
  return node;
};
let spec;
const follow = (node) => node && node.$ref
  ? follow(node.$ref.slice(2).split('/').reduce((at, key) => at[key.replace(/~1/g, '/')], spec)) : node || {};
const named = (schema) => schema.$ref ? schema.$ref.split('/').pop() : null;
const kind = (schema) => {
  if (!schema) return '';
  if (named(schema)) return named(schema);
  if (schema.anyOf) return schema.anyOf.map(kind).join(' or ');
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' · ');
  if (schema.type === 'array') return 'list of ' + (kind(schema.items) || 'anything');
  return schema.type || 'any JSON';
};
const bounds = (schema) => {
  const flat = schema.anyOf ? Object.assign({}, ...schema.anyOf, schema) : schema;
  const said = [];
  for (const key of ['minimum', 'maximum', 'minLength', 'maxLength', 'maxItems', 'default'])
    if (flat[key] !== undefined) said.push(key + ' ' + JSON.stringify(flat[key]));
  return said.join(', ');
};
const note = (schema) =>
  schema.description || ((schema.anyOf || []).find((option) => option.description) || {}).description || '';
const row = (...cells) => el('tr', {}, ...cells.map((cell) => el('td', {}, cell)));
const fields = (schema, seen = []) => {
  const target = follow(schema);
  if (!target.properties) return el('p', {}, el('code', {}, kind(schema)));
  const table = el('table', {});
  const nested = [];
  for (const [name, property] of Object.entries(target.properties)) {
    const star = (target.required || []).includes(name) ? ' (required)' : '';
    table.append(row(el('code', {}, name + star), el('code', {}, kind(property)),
      el('span', {}, note(property), ' ', el('span', { class: 'dim' }, bounds(property)))));
    for (const option of [property, property.items, ...(property.anyOf || []), ...((property.items || {}).anyOf || [])])
      if (option && named(option) && !seen.includes(named(option))) nested.push(option);
  }
  const box = el('div', {}, table);
  for (const option of nested) {
    if (seen.includes(named(option))) continue;
    seen.push(named(option));
    box.append(el('p', { class: 'dim' }, named(option)), fields(option, seen));
  }
  return box;
};
const show = (path, method, operation) => {
  const box = el('details', { id: operation.operationId },
    el('summary', {}, el('code', { class: 'method' }, method.toUpperCase()), el('code', {}, path),
      el('span', { class: 'dim' }, operation.summary)));
  if (operation.description) box.append(el('p', {}, operation.description));
  const parameters = el('table', {});
  for (const given of operation.parameters || []) {
    const parameter = follow(given);
    parameters.append(row(el('code', {}, parameter.name + (parameter.required ? ' (required)' : '')),
      parameter.in, el('code', {}, kind(parameter.schema)),
      el('span', {}, parameter.description || note(parameter.schema), ' ',
        el('span', { class: 'dim' }, bounds(parameter.schema)))));
  }
  box.append(el('h4', {}, 'Parameters'), parameters);
  const body = operation.requestBody && operation.requestBody.content['application/json'];
  if (body) {
    box.append(el('h4', {}, 'Body'), fields(body.schema));
    if (body.example !== undefined) box.append(el('pre', {}, JSON.stringify(body.example, null, 2)));
  }
  box.append(el('h4', {}, 'Answers'));
  for (const [status, given] of Object.entries(operation.responses)) {
    const response = follow(given);
    const [type, media] = Object.entries(response.content || {})[0] || ['', null];
    box.append(el('p', {}, el('b', {}, status), ' ' + response.description + ' ', el('code', { class: 'dim' }, type)));
    if (media && !given.$ref) box.append(fields(media.schema));
  }
  return box;
};
fetch('api/v1/openapi.json').then((answer) => answer.json()).then((found) => {
  spec = found;
  document.getElementById('about').textContent = `${spec.info.description} Version ${spec.info.version}.`;
  const main = document.getElementById('main');
  for (const tag of spec.tags) {
    main.append(el('h2', {}, tag.name));
    for (const [path, methods] of Object.entries(spec.paths))
      for (const [method, operation] of Object.entries(methods))
        if (operation.tags.includes(tag.name)) main.append(show(path, method, operation));
  }
  main.append(el('h2', {}, 'Errors'), fields({ $ref: '#/components/schemas/Problem' }));
}).catch((problem) => {
  document.getElementById('about').textContent = 'The document could not be loaded: ' + problem;
});
</script>
</body>
</html>
"""
