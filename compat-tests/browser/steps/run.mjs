// The page of one run: its tabs, the previews of its artifacts, and changing it.
import { readFileSync } from 'node:fs';

const page = (experiment, run, rest = '') => `/experiments/${experiment}/runs/${run}${rest}`;

// A step per kind of file: where it is, and what its preview shows.
const previews = [
  ['JSON', 'config.json', '"cutoff": 0.25'],
  ['YAML', 'config.yaml', 'grower:'],
  ['plain text', 'logs/train.txt', 'first line of the log'],
  ['Markdown', 'card.md', 'Model card'],
  ['HTML', 'report.html', 'A report in HTML'],
  ['CSV', 'counts.csv', 'virginica'],
  ['a logged table', 'answers.json', 'Iris setosa'],
].map(([kind, file, content]) => ({
  name: `an artifact is previewed: ${kind}`,
  does: async (ui, { sweep, trees }) => {
    await ui.go(page(sweep, trees[0], `/artifacts/${file}`));
    await ui.see(file.split('/').at(-1), content);
  },
}));

export const ofArtifacts = [
  { name: 'the artifacts of a run', does: async (ui, { sweep, trees }) => {
    await ui.go(page(sweep, trees[0], '/artifacts'));
    await ui.see('card.md', 'config.json', 'logs', 'odd näme', 'confusion.png');
  } },
  ...previews,
  { name: 'an artifact is previewed: a picture', does: async (ui, { sweep, trees }) => {
    await ui.go(page(sweep, trees[0], '/artifacts/confusion.png'));
    await ui.see('confusion.png');
    await ui.seePicture();
  } },
  { name: 'a file without a preview can be reached', does: async (ui, { sweep, trees }) => {
    await ui.go(page(sweep, trees[0], '/artifacts'));
    await ui.click('odd näme');
    await ui.click('weights.bin');
    await ui.see('Path:', 'odd näme/weights.bin');
  } },
  { name: 'an artifact is downloaded', does: async (ui, { sweep, trees }) => {
    await ui.go(page(sweep, trees[0], '/artifacts/counts.csv'));
    await ui.see('virginica');
    const [download] = await Promise.all([ui.page.waitForEvent('download'), ui.click(ui.partLike('components_artifactview.tsx_337'))]);
    const text = readFileSync(await download.path(), 'utf8');
    if (!text.includes('virginica,49')) throw new Error(`counts.csv was downloaded as ${JSON.stringify(text)}`);
  } },
];

export default [
  { name: 'the overview of a run', does: async (ui, { sweep, trees }) => {
    await ui.go(page(sweep, trees[0]));
    await ui.see('tree-1', 'Notes on tree 1', 'Finished', 'depth', 'criterion', 'gini', 'loss', 'accuracy', '0.91', 'stage', 'iris-train', 'iris-tree');
  } },
  { name: 'the model metrics of a run', does: async (ui, { sweep, trees }) => {
    await ui.go(page(sweep, trees[0], '/model-metrics'));
    await ui.see('loss', 'accuracy', 'leaves', 'Add chart');
    await ui.page.locator('.js-plotly-plot .main-svg').first().waitFor();
    await ui.seePicture();
  } },
  { name: 'the system metrics of a run', does: async (ui, { sweep, trees }) => {
    await ui.go(page(sweep, trees[0], '/system-metrics'));
    await ui.see('cpu_utilization_percentage');
  } },
  { name: 'the traces of a run', does: async (ui, { sweep, trees }) => {
    await ui.go(page(sweep, trees[0], '/traces'));
    await ui.see('tree-1', 'Traces');
  } },
  ...ofArtifacts,
  { name: 'values that are not numbers', does: async (ui, { sweep, odd }) => {
    await ui.go(page(sweep, odd));
    await ui.see('above', '1.7976931348623157e+308', 'below', '-1.7976931348623157e+308', 'žluťoučký – 木');
    await ui.go(page(sweep, odd, '/model-metrics'));
    await ui.see('holes');
  } },
  { name: 'the page of a parent lists its children', does: async (ui, { sweep, parent }) => {
    await ui.go(page(sweep, parent));
    await ui.see('folds', 'fold-1', 'fold-2');
  } },
  { name: 'a run gets a tag', does: async (ui, { sweep, trees }) => {
    await ui.go(page(sweep, trees[1]));
    await ui.see('depth');
    await ui.click(ui.page.getByRole('button', { name: /tags/i }).first());
    await ui.enter(ui.dialog.locator('input[role=combobox]'), 'seen');
    await ui.dialog.getByPlaceholder('Value').fill('in-a-browser');
    await ui.click(ui.dialog.getByRole('button', { name: 'Add tag' }));
    await ui.click(ui.dialog.getByRole('button', { name: 'Save tags' }));
    await ui.go(page(sweep, trees[1]));
    await ui.see('in-a-browser');
  } },
  { name: 'a run is described', does: async (ui, { sweep, trees }) => {
    await ui.go(page(sweep, trees[1]));
    await ui.see('Notes on tree 2');
    await ui.click(ui.page.getByRole('button', { name: 'Edit description' }));
    await ui.page.locator('textarea:visible').first().fill('Described in the browser');
    await ui.click(ui.button('Save'));
    await ui.go(page(sweep, trees[1]));
    await ui.see('Described in the browser');
  } },
  { name: 'a run is renamed', does: async (ui, { sweep, trees }) => {
    await ui.go(page(sweep, trees[1]));
    await ui.see('tree-2');
    await ui.click(ui.page.getByLabel('Open header dropdown menu').first());
    await ui.click(ui.page.getByRole('menuitem', { name: 'Rename' }));
    await ui.dialog.locator('input').first().fill('shrub');
    await ui.click(ui.dialog.getByRole('button', { name: /Save|Rename/ }));
    await ui.go(page(sweep, trees[1]));
    await ui.see('shrub');
  } },
];
