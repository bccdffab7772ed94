// The demo of the first page: it is made there, looked at, and cleared in the settings.
let demo;

export default [
  { name: 'the demo is made', does: async (ui) => {
    await ui.go('/');
    await ui.see('New to MLflow?');
    await ui.click(ui.part('mlflow.home.demo-banner.launch'));
    await ui.page.waitForURL(/experiments\/\d+/);
    [, demo] = /experiments\/(\d+)/.exec(ui.page.url());
    await ui.see('MLflow Demo');
  } },
  { name: 'the traces of the demo', does: async (ui) => {
    await ui.go(`/experiments/${demo}/traces?startTimeLabel=ALL`);
    await ui.see('Which chain lube is right for winter commuting?', 'new-wheels-v2');
  } },
  { name: 'the evaluations of the demo', does: async (ui) => {
    await ui.go(`/experiments/${demo}/evaluation-runs`);
    await ui.see('trace-level-evaluation', 'baseline-session-evaluation', 'improved-session-evaluation');
  } },
  { name: 'the judges of the demo', does: async (ui) => {
    await ui.go(`/experiments/${demo}/judges`);
    await ui.see('mlflow-demo.judges.groundedness', 'mlflow-demo.judges.safety');
  } },
  { name: 'the prompts of the demo', does: async (ui) => {
    await ui.go('/prompts/mlflow-demo.prompts.repair-advisor');
    await ui.see('Version 3', 'production');
  } },
  { name: 'the demo is cleared', does: async (ui) => {
    await ui.go('/settings');
    await ui.go('/settings/general');
    await ui.click(ui.part('mlflow.settings.demo.clear-all-button'));
    await ui.click(ui.dialog.getByRole('button', { name: 'Clear' }));
    await ui.go('/experiments');
    await ui.gone('MLflow Demo');
  } },
];
