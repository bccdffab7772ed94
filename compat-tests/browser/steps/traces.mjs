// Traces: their list, one trace with its spans and assessments, sessions, and the traces of runs and models.
const MADE = 'feedback-of-the-browser';

export default [
  { name: 'the list of traces', does: async (ui, { advisor }) => {
    await ui.go(`/experiments/${advisor}/traces`);
    await ui.see('What does plant 0 need?', 'Water it twice', 'talk-1', 'Error', 'season');
  } },
  { name: 'traces are searched', does: async (ui, { advisor }) => {
    await ui.go(`/experiments/${advisor}/traces`);
    await ui.see('plant 3 need');
    await ui.enter(ui.page.getByPlaceholder('Search traces by id'), 'plant 7 need');
    await ui.gone('plant 3 need');
    await ui.see('plant 7 need');
  } },
  { name: 'traces are grouped by session', does: async (ui, { advisor }) => {
    await ui.go(`/experiments/${advisor}/traces`);
    await ui.see('plant 3 need');
    await ui.click(ui.part('mlflow.traces-v4.group-by-session'));
    await ui.see('talk-0', 'talk-1', 'talk-2');
  } },
  { name: 'traces of all times', does: async (ui, { advisor }) => {
    await ui.go(`/experiments/${advisor}/traces`);
    await ui.see('plant 3 need');
    await ui.click(ui.part('mlflow.traces-v4.date-selector.trigger'));
    await ui.click(ui.page.getByText('All', { exact: true }).or(ui.page.getByText('All time')).first());
    await ui.see('plant 3 need');
  } },
  { name: 'a trace', does: async (ui, { advisor, traces }) => {
    await ui.go(`/experiments/${advisor}/traces/${traces[0]}`);
    await ui.see('plant_advisor', 'look_up_plant', 'measure_soil', 'write_answer', 'What does plant 0 need?');
  } },
  { name: 'the spans of a trace', does: async (ui, { advisor, traces }) => {
    await ui.go(`/experiments/${advisor}/traces/${traces[0]}`);
    await ui.see('look_up_plant');
    await ui.click(ui.page.getByText('look_up_plant').last());
    await ui.see('Care sheet of fern');
    await ui.click(ui.page.getByText('plant_advisor').last());
    await ui.click(ui.page.getByRole('tab', { name: 'Events' }));
    await ui.see('soil_measured');
  } },
  { name: 'the timeline of a trace', does: async (ui, { advisor, traces }) => {
    await ui.go(`/experiments/${advisor}/traces/${traces[0]}`);
    await ui.see('look_up_plant');
    await ui.click(ui.part('shared.model-trace-explorer.toggle-show-timeline'));
    await ui.see('look_up_plant', 'measure_soil');
  } },
  { name: 'a trace that failed', does: async (ui, { advisor, withered }) => {
    await ui.go(`/experiments/${advisor}/traces/${withered}`);
    await ui.see('the probe found no soil', 'measure_soil');
  } },
  { name: 'the assessments of a trace', does: async (ui, { advisor, traces }) => {
    await ui.go(`/experiments/${advisor}/traces/${traces[0]}`);
    await ui.see('look_up_plant');
    await openAssessments(ui);
    await ui.see('useful', 'correctness', 'ideal', 'Water it once', 'failed');
  } },
  { name: 'feedback is given', does: async (ui, { advisor, traces }) => {
    await ui.go(`/experiments/${advisor}/traces/${traces[0]}`);
    await ui.see('look_up_plant');
    await openAssessments(ui);
    await ui.see('correctness');
    await ui.click(ui.page.getByRole('button', { name: /Add feedback/ }).first());
    await ui.click(ui.page.getByText('Human feedback').first());
    await ui.part('shared.model-trace-explorer.assessment-name-typeahead.input').fill(MADE);
    await ui.page.keyboard.press('Tab');
    await ui.part('shared.model-trace-explorer.assessment-rationale-input').fill('It rained');
    await ui.click(ui.page.locator('[data-component-id="shared.model-trace-explorer.assessment-create-button"]:visible').filter({ hasText: 'Create' }).first());
    await ui.see(MADE);
    await ui.go(`/experiments/${advisor}/traces/${traces[0]}`);
    await ui.see('look_up_plant');
    await openAssessments(ui);
    await ui.see(MADE);
  } },
  { name: 'a session', does: async (ui, { advisor }) => {
    await ui.go(`/experiments/${advisor}/chat-sessions/talk-1`);
    await ui.see('talk-1', 'Turn 1', 'What does plant 1 need?', 'Water it twice');
  } },
  { name: 'sessions have moved to the traces', does: async (ui, { advisor }) => {
    await ui.go(`/experiments/${advisor}/chat-sessions`);
    await ui.click(ui.page.getByText(/View Sessions in Traces tab/).first());
    await ui.see('talk-0', 'talk-1', 'talk-2');
  } },
  { name: 'the traces of a run', does: async (ui, { advisor, talk }) => {
    await ui.go(`/experiments/${advisor}/runs/${talk}/traces`);
    await ui.see('Who talks in a run?');
    await ui.gone('plant 3 need');
  } },
  { name: 'the traces of a logged model', does: async (ui, { advisor, advisorModel }) => {
    await ui.go(`/experiments/${advisor}/models/${advisorModel}/traces`);
    await ui.see('Which model says this?');
    await ui.gone('plant 3 need');
  } },
  { name: 'the prompts of an experiment', does: async (ui, { advisor }) => {
    await ui.go(`/experiments/${advisor}/prompts`);
    await ui.see('advice');
    await ui.gone('greeting');
  } },
  { name: 'the traces of a prompt', does: async (ui, { advisor }) => {
    await ui.go(`/experiments/${advisor}/prompts/advice`);
    await ui.see('Version 1');
    await ui.click(ui.part('mlflow.prompts.details.mode').getByText('Traces'));
    await ui.see('What does plant 0 need?', 'Water it once');
    await ui.gone('plant 3 need');
  } },
];

async function openAssessments(ui) {
  if (await ui.page.getByRole('button', { name: /Add feedback/ }).count() === 0) await ui.click(ui.part('shared.model-trace-explorer.assessments-pane-toggle'));
}
