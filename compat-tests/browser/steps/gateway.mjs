// The gateway's configuration, and the registry of MCP servers.
export default [
  { name: 'the endpoints of the gateway', does: async ui => {
    await ui.go('/gateway');
    await ui.see('leaf-endpoint', 'Quick start');
  } },
  { name: 'an endpoint of the gateway', does: async (ui, { endpoint }) => {
    await ui.go(`/gateway/endpoints/${endpoint}`);
    await ui.see('leaf-endpoint', 'gpt-4o-mini', 'greenhouse-key');
    for (const tab of ['Guardrails', 'Usage', 'Logs']) await ui.click(ui.page.getByRole('tab', { name: tab }));
  } },
  { name: 'the form of a new endpoint', does: async ui => {
    await ui.go('/gateway/endpoints/create');
    await ui.see('Create endpoint', 'Usage Tracking');
  } },
  { name: 'the usage of the gateway', allow: [{ status: 404, path: 'users/list' }], does: async ui => {
    await ui.go('/gateway/usage');
    await ui.see('Requests', 'Token Usage');
  } },
  { name: 'budgets', does: async ui => {
    await ui.go('/gateway/budgets');
    await ui.see('$25', 'Daily');
  } },
  { name: 'the keys of providers', does: async ui => {
    await ui.go('/settings/llm-connections');
    await ui.see('greenhouse-key', 'OpenAI');
  } },
  { name: 'MCP servers', does: async ui => {
    await ui.go('/mcp-registry');
    await ui.see('io.example/greenhouse', 'Opens the windows of the greenhouse');
  } },
  { name: 'an MCP server', does: async (ui, { mcp }) => {
    await ui.go(`/mcp-registry/${encodeURIComponent(mcp)}`);
    await ui.see(mcp, '2.1.0', 'summer', 'https://example.com/greenhouse');
  } },
  { name: 'the playground', does: async (ui, { advisor }) => {
    await ui.go(`/experiments/${advisor}/playground`);
    await ui.see('Playground', 'Select an endpoint', 'Submit');
  } },
];
