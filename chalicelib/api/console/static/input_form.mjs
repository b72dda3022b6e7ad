// A form made of the JSON Schema of an input. The service judges what is sent, and its words go to their fields.

import { Field, Pills, Trouble, html, showWrong, useState } from './ui.mjs';

const SCALARS = ['string', 'integer', 'number'];

const kindOf = (schema) => {
  if (schema.enum || 'const' in schema) return 'choice';
  const kinds = [schema.type].flat().filter((kind) => kind !== 'null');
  if (kinds.length !== 1) return 'json';
  if (kinds[0] === 'boolean') return 'choice';
  if (kinds[0] === 'object' && Object.keys(schema.properties || {}).length) return 'object';
  if (kinds[0] === 'array' && SCALARS.includes(schema.items?.type) && !schema.items.enum) return 'lines';
  return SCALARS.includes(kinds[0]) ? kinds[0] : 'json';
};
const choicesOf = (schema) => ('const' in schema ? [schema.const] : schema.enum || [true, false]);

const textOf = (kind, value) => {
  if (value === undefined) return '';
  if (kind === 'lines' && Array.isArray(value)) return value.join('\n');
  return SCALARS.includes(kind) ? String(value) : JSON.stringify(value, null, kind === 'choice' ? 0 : 2);
};

// A schema as fields; `inner` are those of an object. Paths are as the service names places.
export const fieldsOf = (given, path = 'input', name = 'input', required = false) => {
  const schema = typeof given === 'object' ? given : {};
  const kind = kindOf(schema);
  const made = { path, name, kind, schema, required, label: schema.title || name, first: textOf(kind, schema.default) };
  if (kind !== 'object') return made;
  const held = schema.required || [];
  return { ...made, inner: Object.entries(schema.properties).map(([each, of]) => fieldsOf(of, `${path}.${each}`, each, held.includes(each))) };
};
const all = (field) => [field, ...(field.inner || []).flatMap(all)];
export const firstTexts = (field) => Object.fromEntries(all(field).map((each) => [each.path, each.inner ? '' : each.first]));

const numberOf = (text, kind) => {
  const found = Number(text);
  if (!text.trim() || !Number.isFinite(found)) throw Error('must be a number');
  if (kind === 'integer' && !Number.isInteger(found)) throw Error('must be a whole number');
  if (Number.isInteger(found) && !Number.isSafeInteger(found)) throw Error('is too large for a browser: send it by the API');
  return found;
};
const jsonOf = (text) => {
  try {
    return JSON.parse(text);
  } catch (problem) {
    throw Error(`not JSON: ${problem.message}`);
  }
};
const scalarOf = (text, kind) => (kind === 'string' ? text : numberOf(text, kind));
const read = (field, text) => {
  if (field.kind === 'lines') return text.split('\n').filter((line) => line.trim()).map((line) => scalarOf(line, field.schema.items.type));
  return SCALARS.includes(field.kind) ? scalarOf(text, field.kind) : jsonOf(text);
};

// The value of what was typed; what cannot be sent is said in `wrong`. What is empty is left out.
export const valueOf = (field, texts, wrong) => {
  const isRoot = field.path === 'input';
  if (field.inner) {
    const untouched = all(field).every((each) => !texts[each.path]);
    if (untouched && !field.required && !isRoot) return undefined;
    return Object.fromEntries(field.inner.map((each) => [each.name, valueOf(each, texts, wrong)]).filter(([, value]) => value !== undefined));
  }
  const text = texts[field.path] || '';
  try {
    if (text) return read(field, text);
  } catch (problem) {
    wrong[field.path] = problem.message;
  }
  if (!text && field.required) wrong[field.path] = 'is required';
  return undefined;
};

// The errors of a refusal by the fields that show them, and what no field shows.
export const placed = (errors, shown) => {
  const found = {};
  const beside = [];
  for (const { field, message } of errors) {
    let place = field;
    while (place && !shown.includes(place)) place = place.replace(/(^|\.)[^.[\]]*$|\[\d+\]$/, '');
    if (place) found[place] = [found[place], place === field ? message : `${field.slice(place.length)} ${message}`].filter(Boolean).join('; ');
    else beside.push(`${field}: ${message}`);
  }
  return { found, beside };
};

const BOUNDS = [['minimum', 'at least'], ['maximum', 'at most'], ['minLength', 'characters at least:'], ['maxLength', 'characters at most:'], ['minItems', 'items at least:'], ['maxItems', 'items at most:']];
const hintOf = ({ kind, schema }) => {
  const bounds = BOUNDS.filter(([word]) => word in schema).map(([word, said]) => `${said} ${schema[word]}`).join(', ');
  return [schema.description, kind === 'lines' && 'One on each line.', kind === 'json' && 'JSON.', bounds && `${bounds[0].toUpperCase()}${bounds.slice(1)}.`].filter(Boolean).join(' ');
};
const wordOf = (value) => ({ true: 'yes', false: 'no' })[value] || (typeof value === 'string' ? value : JSON.stringify(value));

const Input = ({ field, texts, set, wrong }) => {
  const { path, kind, schema, label, required } = field;
  const why = wrong[path];
  const id = `f-${path.replace(/[^\w-]/g, '_')}`;
  if (field.inner) {
    const rows = field.inner.map((each) => html`<${Input} key=${each.path} field=${each} texts=${texts} set=${set} wrong=${wrong} />`);
    if (path === 'input') return rows;
    return html`<fieldset><legend>${label}${!required && html` <span class="dim">(optional)</span>`}</legend>${schema.description && html`<p class="hint">${schema.description}</p>`}${why && html`<p class="wrong-why" role="alert">${why}</p>`}${rows}</fieldset>`;
  }
  const hint = hintOf(field);
  const rest = {
    id, value: texts[path] || '', onInput: (e) => set(path, e.target.value), placeholder: textOf(kind, schema.examples?.[0]),
    'aria-required': required, 'aria-invalid': Boolean(why), 'aria-describedby': [hint && `${id}-hint`, why && `${id}-why`].filter(Boolean).join(' ') || undefined,
  };
  let control = html`<input type="text" inputmode=${{ integer: 'numeric', number: 'decimal' }[kind]} autocomplete="off" ...${rest} />`;
  if (kind === 'json' || kind === 'lines') control = html`<textarea class=${kind === 'json' ? 'code' : ''} rows="4" spellcheck="false" ...${rest}></textarea>`;
  if (kind === 'choice') control = html`<select ...${rest}><option value="">${required ? 'Choose…' : 'None'}</option>${choicesOf(schema).map((each) => html`<option key=${JSON.stringify(each)} value=${JSON.stringify(each)}>${wordOf(each)}</option>`)}</select>`;
  return html`<${Field} id=${id} label=${required ? label : html`${label} <span class="dim">(optional)</span>`} hint=${hint} error=${why}>${control}<//>`;
};

const RAW = fieldsOf({}, 'input', 'Input, JSON');

// `send` gets the value. What it refuses is said at the fields, and what no field shows below them.
export const InputForm = ({ schema, send, label }) => {
  const form = fieldsOf(schema || {});
  const [raw, setRaw] = useState(!form.inner);
  const [texts, setTexts] = useState(firstTexts(form));
  const [wrong, setWrong] = useState({});
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const field = raw ? RAW : form;
  const say = (found, problem) => {
    setWrong(found);
    setError(problem);
    if (Object.keys(found).length) showWrong();
  };
  const turn = (to) => {
    say({}, null);
    if (to === 'json') setTexts({ ...texts, input: JSON.stringify(valueOf(form, texts, {}), null, 2) });
    setRaw(to === 'json');
  };
  const submit = async (e) => {
    e.preventDefault();
    if (busy) return;
    const bad = {};
    const value = valueOf(field, texts, bad);
    say(bad, null);
    if (Object.keys(bad).length) return;
    setBusy(true);
    try {
      await send(value);
    } catch (problem) {
      setBusy(false);
      const { found, beside } = placed(problem.errors || [], all(field).map((each) => each.path).filter((path) => raw || path !== 'input'));
      if (beside.length) problem.message = beside.join('; ');
      say(found, beside.length || !Object.keys(found).length ? problem : null);
    }
  };
  return html`<form class="form-fields" onSubmit=${submit} novalidate>
    ${form.inner && html`<${Pills} label="Fill in" options=${[['form', 'Fields'], ['json', 'JSON']]} value=${raw ? 'json' : 'form'} onChange=${turn} />`}
    <${Input} key=${field.label} field=${field} texts=${texts} set=${(path, text) => setTexts((old) => ({ ...old, [path]: text }))} wrong=${wrong} />
    ${error && html`<${Trouble} error=${error} />`}
    <div class="form-acts"><button type="submit" class="btn primary" aria-busy=${busy}>${label}</button></div>
  </form>`;
};
