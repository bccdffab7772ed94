// The stock UI in Chromium against a server that seed.py filled, once per database, its artifacts once in S3, and
// some pages of each kind below a prefix behind nginx.
//   npm test                    our server (FERROFLOW_BIN), on SQLite and Postgres
//   TARGET=stock npm test       the stock server, which shows that the steps ask for what MLflow does
// PYTHON names an interpreter with compat-tests/requirements.txt, DATABASES the databases (sqlite,postgres),
// SCREENSHOTS a folder for pictures of what failed, CHROMIUM the browser.
import { spawn } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createInterface } from 'node:readline';
import demo from './steps/demo.mjs';
import evaluation from './steps/evaluation.mjs';
import experiments from './steps/experiments.mjs';
import gateway from './steps/gateway.mjs';
import models from './steps/models.mjs';
import overview from './steps/overview.mjs';
import prompts from './steps/prompts.mjs';
import registry from './steps/registry.mjs';
import run, { ofArtifacts } from './steps/run.mjs';
import runs from './steps/runs.mjs';
import traces from './steps/traces.mjs';
import webhooks from './steps/webhooks.mjs';
import { Ui } from './ui.mjs';

const target = process.env.TARGET || 'ferroflow';
const databases = (process.env.DATABASES || 'sqlite,postgres').split(',');

// Resolves to what serve.py prints, with `stop`.
async function serve(database, ...options) {
  const script = fileURLToPath(new URL('serve.py', import.meta.url));
  const child = spawn(process.env.PYTHON || 'python3', ['-W', 'ignore', script, '--target', target, '--database', database, ...options], { stdio: ['pipe', 'pipe', 'pipe'] });
  let complaints = '';
  child.stderr.on('data', chunk => { complaints += chunk; });
  const exited = new Promise(resolve => { child.once('exit', resolve); });
  const line = await Promise.race([new Promise(resolve => { createInterface(child.stdout).once('line', resolve); }), exited]);
  if (typeof line !== 'string' || !line.startsWith('{')) {
    child.stdin.end();
    throw new Error(`no server to look at: ${line}\n${complaints}`);
  }
  return { ...JSON.parse(line), stop: () => { child.stdin.end(); return exited; } };
}

function walk(name, started, steps) {
  describe(name, () => {
    let server;
    let ui;
    before(async () => {
      server = await started();
      ui = await Ui.open(server.url);
    });
    after(async () => {
      await ui?.close();
      await server?.stop();
    });
    for (const step of steps) {
      it(step.name, () => ui.step(() => step.does(ui, server), step.allow));
    }
  });
}

const everything = [...experiments, ...runs, ...run, ...models, ...registry, ...prompts, ...webhooks, ...traces, ...overview, ...evaluation, ...gateway, ...demo];
for (const database of databases) walk(`the UI of ${target} on ${database}`, () => serve(database), everything);
walk(`the artifacts of a run of ${target} in S3`, () => serve('sqlite', '--store', 's3'), ofArtifacts);
walk(`the UI of ${target} below a prefix`, () => serve('sqlite', '--prefix', '/ml/flow'), [...experiments, ...run, ...registry, ...traces, ...evaluation]);
