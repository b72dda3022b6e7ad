// The console begins here.

import { render } from './preact.mjs';
import { Audit } from './audit.mjs';
import { Keys } from './api_keys.mjs';
import { start } from './feed.mjs';
import { Insights } from './insights.mjs';
import { Leases } from './leases.mjs';
import { Policies } from './policies.mjs';
import { route } from './router.mjs';
import { Schedules } from './schedules.mjs';
import { begin } from './session.mjs';
import { Shell, SignIn } from './shell.mjs';
import { session } from './state.mjs';
import { Tasks } from './tasks.mjs';
import { Ticks } from './ticks.mjs';
import { Button, Empty, Loading, Trouble, html, useEffect, useLoad, useSig } from './ui.mjs';
import { Upcoming } from './upcoming.mjs';

// A view that is fetched when it is first looked at: most visits do without it.
const Workflows = () => {
  const { value, error, again } = useLoad(() => import('./workflows.mjs'), []);
  if (error) return html`<section class="page"><${Trouble} error=${error} again=${again} /></section>`;
  return value ? html`<${value.Workflows} />` : html`<section class="page"><${Loading} /></section>`;
};

const SHOWN = { tasks: Tasks, schedules: Schedules, upcoming: Upcoming, insights: Insights, leases: Leases, ticks: Ticks, policies: Policies, audit: Audit, keys: Keys, workflows: Workflows };

const App = () => {
  const s = useSig(session);
  const at = useSig(route);
  useEffect(() => {
    if (s.state === 'in') start();
  }, [s.state]);
  if (s.state === 'unknown') return html`<p class="boot" role="status">Loading the console…</p>`;
  if (s.state === 'out') return html`<${SignIn} />`;
  if (s.state === 'away') return html`<main class="signin"><${Empty} title="The service does not answer"><p>${s.why}</p><${Button} kind="primary" icon="retry" onClick=${begin}>Try again<//><//></main>`;
  const View = SHOWN[at.view];
  return html`<${Shell}>${View ? html`<${View} />` : html`<section class="page"><${Empty} title="There is no such page"><a class="btn primary" href="#/tasks">To the tasks</a><//></section>`}<//>`;
};

const root = document.getElementById('app');
root.textContent = '';
render(html`<${App} />`, root);
begin();
