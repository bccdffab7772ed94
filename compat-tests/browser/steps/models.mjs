// Logged models: their table and the page of one.
const page = ({ sweep, model }, rest = '') => `/experiments/${sweep}/models/${model}${rest}`;

export default [
  { name: 'the table of logged models', does: async (ui, { sweep }) => {
    await ui.go(`/experiments/${sweep}/models`);
    await ui.see('iris-tree', 'rented-tree', 'Ready', 'tree-1');
  } },
  { name: 'logged models are charted', does: async (ui, { sweep }) => {
    await ui.go(`/experiments/${sweep}/models`);
    await ui.see('iris-tree');
    await ui.click(ui.page.locator('label:has(input[value=CHART]), [aria-label="Chart view"]').first());
    await ui.see('holdout');
  } },
  { name: 'the overview of a logged model', does: async (ui, ids) => {
    await ui.go(page(ids));
    await ui.see('iris-tree', 'holdout', '0.75', 'max_depth', 'tree-1');
  } },
  { name: 'the files of a logged model', does: async (ui, ids) => {
    await ui.go(page(ids, '/artifacts'));
    await ui.see('MLmodel', 'requirements.txt');
    await ui.click('requirements.txt');
    await ui.see('scikit-learn');
    await ui.click('MLmodel');
    await ui.see('python_function');
  } },
  { name: 'a logged model is described', does: async (ui, ids) => {
    await ui.go(page(ids));
    await ui.see('holdout');
    await ui.click(ui.page.getByRole('button', { name: 'Edit description' }));
    await ui.page.locator('textarea:visible').first().fill('A model seen in the browser');
    await ui.click(ui.button('Save'));
    await ui.go(page(ids));
    await ui.see('A model seen in the browser');
  } },
];
