// The table of runs, its charts, and comparing.
const json = value => encodeURIComponent(JSON.stringify(value));

async function table(ui, experiment, query = '') {
  await ui.go(`/experiments/${experiment}/runs${query}`);
  await ui.see(/\d+ matching runs?/);
}

async function filter(ui, expression) {
  await ui.enter(ui.page.getByPlaceholder('metrics.rmse < 1').first(), expression);
}

export default [
  { name: 'the table shows runs and their datasets', does: async (ui, { sweep }) => {
    await table(ui, sweep);
    await ui.see('tree-1', 'tree-4', 'folds', 'odd-values', 'iris-train');
  } },
  { name: 'runs are filtered', does: async (ui, { sweep }) => {
    await table(ui, sweep);
    await filter(ui, "metrics.accuracy > 0.925 and params.criterion = 'entropy'");
    await ui.gone('tree-1', 'tree-3', 'odd-values');
    await ui.see('tree-4', '1 matching run');
  } },
  { name: 'a filter that cannot be read is explained', allow: [{ status: 400, path: '/runs/search' }], does: async (ui, { sweep }) => {
    await table(ui, sweep);
    await filter(ui, 'nonsense.key === 1');
    await ui.see(/invalid/i);
  } },
  { name: 'runs are sorted by a metric', does: async (ui, { sweep }) => {
    await table(ui, sweep, '?orderByKey=metrics.%60accuracy%60&orderByAsc=true');
    await ui.see('fold-1', 'tree-4');
    const order = () => ui.page.evaluate(() => [...document.querySelectorAll('.ag-row')].sort((a, b) => a.getAttribute('row-index') - b.getAttribute('row-index')).map(it => it.innerText).filter(it => /tree-\d/.test(it)).map(it => it.match(/tree-\d/)[0]));
    const rises = (await order()).join();
    await ui.click(ui.part('mlflow.experiment_page.sort_select_v2.toggle'));
    await ui.partLike('runssortselectorv2').fill('loss');
    await ui.click(ui.page.getByRole('menuitemcheckbox', { name: 'loss' }).or(ui.page.locator('[role=menu] >> text=loss')).first());
    await ui.see('tree-1');
    if (rises !== 'tree-1,tree-2,tree-3,tree-4') throw new Error(`by accuracy: ${rises}`);
  } },
  { name: 'columns are picked', does: async (ui, { sweep }) => {
    await table(ui, sweep);
    await ui.click(ui.partLike('experimentviewrunscolumnselector'));
    await ui.page.getByPlaceholder('Search columns').first().fill('depth');
    const header = ui.page.locator('[role=columnheader]').filter({ hasText: /^\s*depth\s*$/ });
    const before = await header.count();
    await ui.page.locator('[class*=tree-checkbox]:visible').first().click();
    await ui.page.keyboard.press('Escape');
    await header.first().waitFor({ state: before ? 'detached' : 'visible' });
  } },
  { name: 'runs are grouped by a parameter', does: async (ui, { sweep }) => {
    await table(ui, sweep);
    await ui.click(ui.partLike('experimentviewrunsgroupbyselector'));
    await ui.page.locator('[data-radix-popper-content-wrapper]').getByText('criterion').first().click();
    await ui.page.keyboard.press('Escape');
    await ui.see('gini', 'entropy');
  } },
  { name: 'a parent opens onto its nested runs', does: async (ui, { sweep }) => {
    await table(ui, sweep);
    await ui.see('folds');
    await ui.click(ui.partLike('runnamecellrenderer.tsx_46'));
    await ui.see('fold-1', 'fold-2');
  } },
  { name: 'deleted runs have a view of their own', does: async (ui, { prices }) => {
    await table(ui, prices);
    await ui.see('flat-roof', 'collapsed');
    await ui.gone('torn-down');
    await table(ui, prices, '?lifecycleFilter=Deleted');
    await ui.see('torn-down');
  } },
  { name: 'runs are charted', does: async (ui, { sweep }) => {
    await ui.go(`/experiments/${sweep}/runs?compareRunsMode=CHART`);
    await ui.see('Model metrics', 'accuracy', 'loss', 'Add chart', 'tree-1');
    await ui.page.locator('.js-plotly-plot .main-svg').first().waitFor();
  } },
  { name: 'artifacts of runs are shown side by side', does: async (ui, { sweep }) => {
    await table(ui, sweep);
    await ui.go(`/experiments/${sweep}/runs?compareRunsMode=ARTIFACT`);
    await ui.see('tree-1');
    await filter(ui, "attributes.run_name = 'tree-1'");
    await ui.see('1 matching run', 'Which iris?', 'Iris setosa');
  } },
  { name: 'selected runs are compared', does: async (ui, { sweep }) => {
    await table(ui, sweep);
    await filter(ui, "attributes.run_name LIKE 'tree-%'");
    await ui.see('4 matching runs');
    const boxes = ui.page.locator('input[aria-label*="toggle row selection"]');
    await boxes.nth(0).check({ force: true });
    await boxes.nth(1).check({ force: true });
    await ui.click(ui.button('Compare'));
    await ui.see('Comparing 2 Runs', 'Parallel Coordinates Plot');
  } },
  { name: 'a comparison shows parameters and metrics', does: async (ui, { sweep, trees }) => {
    await ui.go(`/compare-runs?runs=${json(trees.slice(0, 1).concat(trees.slice(0, 1)))}&experiments=${json([sweep])}`);
    await ui.see('Comparing', 'tree-1', 'criterion', 'accuracy', 'Run ID:');
  } },
  { name: 'experiments are compared', does: async (ui, { sweep, prices }) => {
    await ui.go(`/compare-experiments/s?experiments=${json([sweep, prices])}`);
    await ui.see('Displaying Runs from 2 Experiments', 'tree-1', 'flat-roof');
  } },
  { name: 'the page of a metric draws its histories', does: async (ui, { sweep, trees }) => {
    const layout = json({ autosize: true, xaxis: {}, yaxis: {} });
    await ui.go(`/metric?runs=${json(trees.slice(0, 2))}&metric=${json('loss')}&experiments=${json([sweep])}&plot_metric_keys=${json(['loss'])}&plot_layout=${layout}&x_axis=step&y_axis_scale=linear&line_smoothness=1&show_point=false&deselected_curves=[]&last_linear_y_axis_range=[]`);
    await ui.see('loss');
    await ui.page.locator('.js-plotly-plot .scatterlayer .trace').nth(1).waitFor({ state: 'attached' });
  } },
];
