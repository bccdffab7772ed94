// Home and the list of experiments.
const NAME = 'made-in-the-browser';
const row = (ui, text) => ui.page.locator('tr, [role=row]').filter({ hasText: text }).first();

export default [
  { name: 'home shows the experiments', does: async ui => {
    await ui.go('/');
    await ui.see('Welcome to MLflow', 'Recent Experiments', 'iris-sweep', 'house-prices');
  } },
  { name: 'the list of experiments shows names and tags', does: async ui => {
    await ui.go('/experiments');
    await ui.see('iris-sweep', 'house-prices', 'Default', 'flowers', 'estates');
  } },
  { name: 'experiments are searched by name', does: async ui => {
    await ui.go('/experiments');
    await ui.see('house-prices');
    await ui.enter(ui.part('mlflow.experiment_list_view.search'), 'iris');
    await ui.gone('house-prices');
    await ui.see('iris-sweep');
  } },
  { name: 'experiments are filtered by tag', does: async ui => {
    await ui.go('/experiments');
    await ui.see('iris-sweep');
    await ui.click(ui.part('mlflow.experiment_list_view.tag_filter.trigger'));
    await ui.page.getByPlaceholder('Key').first().fill('team');
    await ui.page.getByPlaceholder('Value').first().fill('estates');
    await ui.click(ui.part('mlflow.experiment_list_view.tag_filter.apply_filters_button'));
    await ui.gone('iris-sweep');
    await ui.see('house-prices');
  } },
  { name: 'experiments are sorted by name', does: async ui => {
    await ui.go('/experiments');
    await ui.see('iris-sweep');
    const inOrder = (...names) => text => names.every((name, at) => at === 0 || text.indexOf(names[at - 1]) < text.indexOf(name));
    await ui.click(ui.page.getByRole('columnheader', { name: 'Name' }));
    const first = inOrder('house-prices', 'iris-sweep')(await ui.text());
    await ui.click(ui.page.getByRole('columnheader', { name: 'Name' }));
    const turned = first ? ['iris-sweep', 'house-prices'] : ['house-prices', 'iris-sweep'];
    await ui.until(inOrder(...turned), () => 'the second click does not turn the order');
  } },
  { name: 'an experiment is created', allow: [{ status: 404, path: '/experiments/get-by-name' }], does: async ui => {
    await ui.go('/experiments');
    await ui.see('iris-sweep');
    await ui.click(ui.part('mlflow.experiment_list_view.new_experiment_button'));
    await ui.page.getByPlaceholder('Input an experiment name').fill(NAME);
    await ui.click(ui.dialog.getByRole('button', { name: 'Create' }));
    await ui.see(NAME);
  } },
  { name: 'a taken name is refused', does: async ui => {
    await ui.go('/experiments');
    await ui.see(NAME);
    await ui.click(ui.part('mlflow.experiment_list_view.new_experiment_button'));
    await ui.page.getByPlaceholder('Input an experiment name').fill(NAME);
    await ui.page.waitForTimeout(700);
    await ui.dialog.getByRole('button', { name: 'Create' }).click();
    await ui.see(/already exist/i);
  } },
  { name: 'an experiment gets a tag', does: async ui => {
    await ui.go('/experiments');
    await ui.see(NAME);
    await ui.click(row(ui, NAME).getByRole('button', { name: /tags/i }).first());
    await ui.enter(ui.dialog.locator('input[role=combobox]'), 'colour');
    await ui.dialog.getByPlaceholder('Value').fill('violet');
    await ui.click(ui.dialog.getByRole('button', { name: 'Add tag' }));
    await ui.click(ui.dialog.getByRole('button', { name: 'Save tags' }));
    await ui.go('/experiments');
    await ui.see('violet');
  } },
  { name: 'an experiment is renamed', allow: [{ status: 404, path: '/experiments/get-by-name' }], does: async ui => {
    await ui.go('/experiments');
    await ui.click(ui.page.getByRole('link', { name: NAME }));
    await ui.click(ui.page.getByLabel('Open header dropdown menu').first());
    await ui.click(ui.page.getByRole('menuitem', { name: 'Edit experiment' }));
    await ui.dialog.locator('input[type=text]:visible, input:not([type]):visible').first().fill(`${NAME}-renamed`);
    await ui.click(ui.dialog.getByRole('button', { name: /Save|Update/ }).first());
    await ui.go('/experiments');
    await ui.see(`${NAME}-renamed`);
  } },
  { name: 'an experiment is deleted', does: async ui => {
    await ui.go('/experiments');
    await ui.see(NAME);
    await row(ui, NAME).locator('input[type=checkbox]').check({ force: true });
    await ui.click(ui.part('mlflow.experiment_list_view.bulk_delete_button'));
    await ui.click(ui.dialog.getByRole('button', { name: 'Delete' }));
    await ui.gone(NAME);
    await ui.go('/experiments');
    await ui.see('iris-sweep');
    await ui.gone(NAME);
  } },
  { name: 'the note of an experiment is changed', does: async (ui, { sweep }) => {
    await ui.go(`/experiments/${sweep}/runs`);
    await ui.see('Which tree knows its irises?');
    await ui.click(ui.part('mlflow.experiment.metadata_editor.edit_button'));
    await ui.page.locator('textarea:visible').first().fill('Noted in the browser');
    await ui.click(ui.button('Save'));
    await ui.go(`/experiments/${sweep}/runs`);
    await ui.see('Noted in the browser');
  } },
];
