// Prompts: their list, the versions of one, and what is done to them.
const MADE = 'prompt-of-the-browser';

export default [
  { name: 'the list of prompts', does: async ui => {
    await ui.go('/prompts');
    await ui.see('greeting', 'helper', 'Version 2');
    await ui.gone('orchard');
  } },
  { name: 'prompts are searched', does: async ui => {
    await ui.go('/prompts');
    await ui.see('helper');
    await ui.enter(ui.page.locator('input[placeholder*="Search"]:visible').first(), 'greet');
    await ui.gone('helper');
    await ui.see('greeting');
  } },
  { name: 'the versions of a prompt', does: async ui => {
    await ui.go('/prompts/greeting');
    await ui.see('Good day, {{name}}.', 'more polite', 'production', 'Version 1', 'Version 2');
  } },
  { name: 'a prompt of a chat', does: async ui => {
    await ui.go('/prompts/helper');
    await ui.see('You help {{who}}.', 'Where is {{what}}?');
  } },
  { name: 'versions of a prompt are compared', does: async ui => {
    await ui.go('/prompts/greeting');
    await ui.see('Good day');
    await ui.click(ui.page.locator('label:has(input[value=compare]):visible, label:has-text("Compare"):visible').first());
    await ui.see('Version 1', 'Version 2');
  } },
  { name: 'a prompt is made', does: async ui => {
    await ui.go('/prompts');
    await ui.see('greeting');
    await ui.click(ui.part('mlflow.prompts.global.list.create'));
    await ui.dialog.locator('input[type=text]:visible, input:not([type]):visible').first().fill(MADE);
    await ui.dialog.locator('textarea:visible').first().fill('First words to {{name}}');
    await ui.click(ui.dialog.getByRole('button', { name: 'Create' }));
    await ui.go(`/prompts/${MADE}`);
    await ui.see('First words to {{name}}');
  } },
  { name: 'a prompt gets another version', does: async ui => {
    await ui.go(`/prompts/${MADE}`);
    await ui.see('First words');
    await ui.click(ui.part('mlflow.prompts.details.create'));
    await ui.dialog.locator('textarea:visible').first().fill('Second words to {{name}}');
    await ui.click(ui.dialog.getByRole('button', { name: /Create/ }));
    await ui.see('Version 2', 'Second words to {{name}}');
  } },
  { name: 'a prompt gets a tag', does: async ui => {
    await ui.go(`/prompts/${MADE}`);
    await ui.see('Version 2');
    await ui.click(ui.part('mlflow.prompts.details.tags.edit').or(ui.page.getByRole('button', { name: 'Add tags' })).first());
    await addTag(ui, 'voice', 'low');
    await ui.go('/prompts');
    await ui.see('voice');
  } },
  { name: 'a version of a prompt gets a tag', does: async ui => {
    await ui.go(`/prompts/${MADE}`);
    await ui.see('Viewing version 2');
    await ui.click(ui.part('mlflow.prompts.details.version.edit_tags').or(ui.page.getByRole('button', { name: 'Add', exact: true }).last()).first());
    await addTag(ui, 'checked', 'twice');
    await ui.see('checked', 'twice');
  } },
  { name: 'a version of a prompt gets an alias', does: async ui => {
    await ui.go(`/prompts/${MADE}`);
    await ui.see('Viewing version 2');
    await ui.click(ui.partLike('modelversiontablealiasescell.tsx_30'));
    await ui.dialog.locator('input').first().click();
    await ui.page.keyboard.type('evening');
    await ui.page.keyboard.press('Enter');
    await ui.click(ui.part('mlflow.edit-aliases-modal.save-button'));
    await ui.see('@ evening');
    await ui.go(`/prompts/${MADE}`);
    await ui.see('@ evening');
  } },
  { name: 'the versions of a prompt are deleted', does: async ui => {
    await ui.go(`/prompts/${MADE}`);
    await ui.see('Version 2');
    for (let left = 2; left > 0; left -= 1) {
      await ui.click(ui.part('mlflow.prompts.details.delete_version'));
      await ui.click(ui.dialog.getByRole('button', { name: 'Delete' }));
    }
    await ui.page.request.delete(`${ui.url}/api/2.0/mlflow/registered-models/delete`, { data: { name: MADE } });
    await ui.go('/prompts');
    await ui.see('greeting');
    await ui.gone(MADE);
  } },
];

// Fills the dialog that edits tags.
async function addTag(ui, key, value) {
  await ui.dialog.locator('input[role=combobox]').first().click();
  await ui.page.keyboard.type(key);
  await ui.page.keyboard.press('Enter');
  await ui.dialog.locator('input[type=text]').last().fill(value);
  await ui.click(ui.dialog.getByRole('button', { name: 'Add tag' }));
  await ui.click(ui.dialog.getByRole('button', { name: 'Save tags' }));
}
