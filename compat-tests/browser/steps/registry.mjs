// The model registry: its list, a model, a version, and what is done to them.
const MADE = 'made-in-the-browser';
// The run behind the second version has no files.
const NO_FILES = [{ status: 404, path: 'model-versions/get-artifact' }];
const patiently = ui => ui.page.waitForTimeout(500);

export default [
  { name: 'the list of registered models', does: async ui => {
    await ui.go('/models');
    await ui.see('garden', 'orchard', 'Version 2', 'champion', 'domain');
    // A prompt is no model.
    await ui.gone('greeting');
  } },
  { name: 'registered models are searched', does: async ui => {
    await ui.go('/models');
    await ui.see('orchard');
    await ui.enter(ui.page.getByPlaceholder('Search registered models'), 'gard');
    await ui.gone('orchard');
    await ui.see('garden');
  } },
  { name: 'the page of a registered model', does: async ui => {
    await ui.go('/models/garden');
    await ui.see('All trees of the garden', 'Version 1', 'Version 2', 'champion', 'validated');
  } },
  { name: 'the page of a version', allow: NO_FILES, does: async ui => {
    await ui.go('/models/garden/versions/2');
    await ui.see('Version 2', 'champion', 'validated', 'tree-3', 'Second of its kind');
  } },
  { name: 'the page of a version of a logged model', does: async ui => {
    await ui.go('/models/garden/versions/1');
    await ui.see('Version 1', 'tree-1', 'iris-tree');
  } },
  { name: 'versions are compared', allow: NO_FILES, does: async (ui, { trees }) => {
    const of = value => encodeURIComponent(JSON.stringify(value));
    await ui.go(`/compare-model-versions?name=${of('garden')}&runs=${of({ 1: trees[0], 2: trees[2] })}`);
    await ui.see('Comparing 2 Versions', 'garden', 'accuracy', 'depth');
  } },
  { name: 'a registered model is made', allow: [{ status: 404, path: 'registered-models/get' }], does: async ui => {
    await ui.go('/models');
    await ui.see('garden');
    // A notice of the new registry lies over the page.
    await ui.page.keyboard.press('Escape');
    await ui.click(ui.button('Create Model'));
    await ui.dialog.locator('input').first().fill(MADE);
    await ui.click(ui.dialog.getByRole('button', { name: 'Create' }));
    // The name is looked up before anything is made.
    await ui.page.waitForURL(`**/models/${MADE}`);
    await ui.go(`/models/${MADE}`);
    await ui.see(MADE);
    await ui.gone('does not exist');
  } },
  { name: 'a logged model is registered', does: async (ui, { sweep, model }) => {
    await ui.go(`/experiments/${sweep}/models/${model}`);
    await ui.see('holdout');
    await ui.click(ui.button('Register model'));
    await registerAs(ui, MADE);
    await ui.go(`/models/${MADE}`);
    await ui.see('Version 1');
  } },
  { name: 'the model of a run is registered', does: async (ui, { sweep, trees }) => {
    await ui.go(`/experiments/${sweep}/runs/${trees[3]}`);
    await ui.see('tree-4');
    await ui.click(ui.page.getByRole('button', { name: /Register model/ }).first());
    await registerAs(ui, 'orchard');
    await ui.go('/models/orchard');
    await ui.see('Version 1');
  } },
  { name: 'a registered model is described', does: async ui => {
    await ui.go(`/models/${MADE}`);
    await ui.see('Version 1');
    await ui.click(ui.button('Edit'));
    await ui.page.locator('textarea:visible').first().fill('Described in the browser');
    await ui.click(ui.button('Save'));
    await ui.go(`/models/${MADE}`);
    await ui.see('Described in the browser');
  } },
  { name: 'a registered model is tagged', does: async ui => {
    await ui.go(`/models/${MADE}`);
    await ui.see('Version 1');
    await ui.click('Tags');
    await ui.page.getByPlaceholder('Name', { exact: true }).or(ui.page.getByPlaceholder('tag name')).first().fill('season');
    await ui.page.getByPlaceholder('Value', { exact: true }).or(ui.page.getByPlaceholder('tag value')).first().fill('autumn');
    await ui.click(ui.partLike('editabletagstableview.tsx_127'));
    await ui.see('season', 'autumn');
  } },
  { name: 'an alias is given to a version', does: async ui => {
    await ui.go(`/models/${MADE}`);
    await ui.see('Version 1');
    await ui.click(ui.partLike('modelversiontablealiasescell.tsx_30'));
    await ui.dialog.locator('input').first().click();
    await ui.page.keyboard.type('newcomer');
    await patiently(ui);
    await ui.page.keyboard.press('Enter');
    await patiently(ui);
    await ui.click(ui.dialog.getByRole('button', { name: /Save/ }));
    await ui.go(`/models/${MADE}`);
    await ui.see('newcomer');
  } },
  { name: 'a version changes its stage', does: async ui => {
    await ui.go(`/models/${MADE}/versions/1`);
    await ui.see('Version 1');
    const switchOf = ui.page.getByRole('switch', { name: 'New model registry UI' });
    if (await switchOf.isChecked()) {
      await ui.click(switchOf);
      const leave = ui.page.locator('[role=dialog]:visible').getByRole('button', { name: /Disable/ });
      if (await leave.count()) await ui.click(leave.first());
    }
    await ui.click(ui.page.getByText('None', { exact: true }).first());
    await patiently(ui);
    await ui.click(ui.page.getByText('Transition to').first());
    await patiently(ui);
    await ui.click(ui.dialog.getByRole('button', { name: /OK|Confirm/ }));
    const answer = await ui.page.request.get(`${ui.url}/api/2.0/mlflow/model-versions/get?name=${MADE}&version=1`);
    const { current_stage: stage } = (await answer.json()).model_version;
    if (stage === 'None') throw new Error('the stage is as before');
  } },
  { name: 'a version and its model are deleted', does: async ui => {
    const back = { name: MADE, version: '1', stage: 'None', archive_existing_versions: false };
    await ui.page.request.post(`${ui.url}/api/2.0/mlflow/model-versions/transition-stage`, { data: back });
    for (const page of [`/models/${MADE}/versions/1`, `/models/${MADE}`]) {
      await ui.go(page);
      await ui.see(MADE);
      await ui.click(ui.page.getByLabel('Open header dropdown menu').first());
      await ui.click(ui.page.getByRole('menuitem', { name: 'Delete' }));
      await ui.click(ui.dialog.getByRole('button', { name: 'Delete' }));
    }
    await ui.go('/models');
    await ui.see('garden');
    await ui.gone(MADE);
  } },
];

// Fills the dialog that registers a model, with a name that is there.
async function registerAs(ui, name) {
  await ui.dialog.locator('input[role=combobox], input[type=search]').first().click();
  await ui.page.keyboard.type(name);
  await patiently(ui);
  await ui.page.locator('.du-bois-light-select-item-option:visible, [role=option]:visible').filter({ hasText: name }).first().click();
  await ui.click(ui.dialog.getByRole('button', { name: 'Register' }));
  await ui.dialog.waitFor({ state: 'hidden' });
}
