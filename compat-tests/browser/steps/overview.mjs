// The overview of an experiment with traces: usage, quality, tool calls.
export default [
  { name: 'usage', does: async (ui, { advisor }) => {
    await ui.go(`/experiments/${advisor}/overview/usage`);
    await ui.see('Token Usage', 'Latency', 'Errors', /Overall error rate: [1-9]/);
  } },
  { name: 'quality', does: async (ui, { advisor }) => {
    await ui.go(`/experiments/${advisor}/overview/quality`);
    await ui.see('Quality Summary', 'useful', 'correctness');
  } },
  { name: 'tool calls', does: async (ui, { advisor }) => {
    await ui.go(`/experiments/${advisor}/overview/tool-calls`);
    await ui.see('Total Tool Calls', 'measure_soil');
  } },
];
