// The webhooks in the settings.
const MADE = 'hook-of-the-browser';

export default [
  { name: 'the list of webhooks', does: async ui => {
    await ui.go('/settings/webhooks');
    await ui.see('notify', 'https://93.184.216.34/hook', 'Disabled');
  } },
  { name: 'a webhook is made', does: async ui => {
    await ui.go('/settings/webhooks');
    await ui.see('notify');
    await ui.click(ui.part('mlflow.settings.webhooks.create-button'));
    const fields = ui.dialog.locator('input[type=text]:visible, input[type=url]:visible, input:not([type]):visible');
    await fields.nth(0).fill(MADE);
    await fields.nth(1).fill('https://93.184.216.34/made');
    await ui.dialog.getByText('Model version created', { exact: true }).first().click();
    await ui.click(ui.dialog.getByRole('button', { name: /Create|Save/ }).last());
    await ui.see(MADE);
    const answer = await ui.page.request.get(`${ui.url}/api/2.0/mlflow/webhooks`);
    const { webhooks } = await answer.json();
    const made = webhooks.find(it => it.name === MADE);
    if (!made.events.some(it => it.entity === 'MODEL_VERSION')) throw new Error(`events: ${JSON.stringify(made.events)}`);
    await ui.page.request.delete(`${ui.url}/api/2.0/mlflow/webhooks/${made.webhook_id}`, { data: {} });
    await ui.go('/settings/webhooks');
    await ui.see('notify');
    await ui.gone(MADE);
  } },
];
