// The stock UI on a server that is running already and that demo/sweep.py has filled.
//   URL=http://127.0.0.1:5000 SWEEP='{"experiment": …}' node --test demo.test.mjs
import { after, before, describe, it } from 'node:test';
import sweep from './steps/sweep.mjs';
import { Ui } from './ui.mjs';

describe(`the sweep in the UI of ${process.env.URL}`, () => {
  let ui;
  before(async () => { ui = await Ui.open(process.env.URL); });
  after(() => ui?.close());
  for (const step of sweep) it(step.name, () => ui.step(() => step.does(ui, JSON.parse(process.env.SWEEP))));
});
