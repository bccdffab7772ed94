// What a data scientist looks at after a sweep: the table, its order, the charts, a comparison, a run with its picture.
const json = value => encodeURIComponent(JSON.stringify(value));

export default [
  { name: 'the sweep stands in the list of experiments', does: async (ui, { name }) => {
    await ui.go('/experiments');
    await ui.see(name);
  } },
  { name: 'the table shows the twenty runs', does: async (ui, { experiment }) => {
    await ui.go(`/experiments/${experiment}/runs?orderByKey=metrics.%60accuracy%60&orderByAsc=false`);
    await ui.enter(ui.page.getByPlaceholder('metrics.rmse < 1').first(), "tags.stage = 'sweep'");
    await ui.see('20 matching runs', 'forest-', 'boosted-');
  } },
  { name: 'a run opens onto its folds', does: async (ui, { experiment }) => {
    await ui.go(`/experiments/${experiment}/runs`);
    await ui.see('boosted-19');
    await ui.click(ui.partLike('runnamecellrenderer.tsx_46'));
    await ui.see(/-fold-[012]/);
  } },
  { name: 'the losses are charted', does: async (ui, { experiment }) => {
    await ui.go(`/experiments/${experiment}/runs?compareRunsMode=CHART`);
    await ui.see('Model metrics', 'loss', 'cv_accuracy');
    await ui.page.locator('.js-plotly-plot .scatterlayer .trace').nth(1).waitFor({ state: 'attached' });
  } },
  { name: 'two runs are compared', does: async (ui, { experiment, best, runs }) => {
    const other = runs.find(id => id !== best);
    await ui.go(`/compare-runs?runs=${json([best, other])}&experiments=${json([experiment])}`);
    await ui.see('Comparing 2 Runs', 'cv_accuracy', 'max_depth', 'loss');
  } },
  { name: 'the best run shows its curves', does: async (ui, { experiment, best }) => {
    await ui.go(`/experiments/${experiment}/runs/${best}/model-metrics`);
    await ui.see('accuracy', 'loss');
    await ui.page.locator('.js-plotly-plot .scatterlayer .trace').first().waitFor({ state: 'attached' });
  } },
  { name: 'the best run shows its confusion matrix', does: async (ui, { experiment, best }) => {
    await ui.go(`/experiments/${experiment}/runs/${best}/artifacts/confusion_matrix.png`);
    await ui.see('confusion_matrix.png');
    await ui.seePicture();
  } },
  { name: 'the models of the sweep are listed', does: async (ui, { experiment }) => {
    await ui.go(`/experiments/${experiment}/models`);
    await ui.see('model', 'boosted-19');
  } },
];
