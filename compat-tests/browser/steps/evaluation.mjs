// Evaluation: datasets, runs, judges, and the review queue.
const MADE = 'dataset-of-the-browser';

export default [
  { name: 'evaluation datasets', does: async (ui, { advisor }) => {
    await ui.go(`/experiments/${advisor}/datasets`);
    await ui.see('plant-questions');
  } },
  { name: 'the records of an evaluation dataset', does: async (ui, { advisor, dataset }) => {
    await ui.go(`/experiments/${advisor}/datasets/${dataset}`);
    await ui.see('plant-questions', '6 records', 'Question 0?', 'Answer 0');
  } },
  { name: 'an evaluation dataset is made', does: async (ui, { advisor }) => {
    await ui.go(`/experiments/${advisor}/datasets`);
    await ui.see('plant-questions');
    await ui.click(ui.button('Create dataset'));
    await ui.dialog.locator('input:visible').first().fill(MADE);
    await ui.click(ui.dialog.getByRole('button', { name: /^Create/ }));
    await ui.go(`/experiments/${advisor}/datasets`);
    await ui.see(MADE);
  } },
  { name: 'evaluation runs', does: async (ui, { advisor }) => {
    await ui.go(`/experiments/${advisor}/evaluation-runs`);
    await ui.see('same_answer/mean', 'words/mean', 'evening-talk');
  } },
  { name: 'an evaluation run', does: async (ui, { advisor, evaluation }) => {
    await ui.go(`/experiments/${advisor}/evaluation-runs/${evaluation}`);
    await ui.see('Overview', 'Traces');
    await ui.click(ui.page.getByRole('tab', { name: 'Traces' }));
    await ui.see('same_answer');
  } },
  { name: 'judges', does: async (ui, { advisor }) => {
    await ui.go(`/experiments/${advisor}/judges`);
    await ui.see('friendly', 'about_plants', 'Version 1');
  } },
  { name: 'the form of a new judge', does: async (ui, { advisor }) => {
    await ui.go(`/experiments/${advisor}/judges`);
    await ui.see('friendly');
    await ui.click(ui.part('mlflow.experiment-scorers.new-scorer-button.primary_button'));
    await ui.see('LLM');
  } },
  { name: 'the review queues', does: async (ui, { advisor }) => {
    await ui.go(`/experiments/${advisor}/review-queue`);
    await ui.see('sunday-review', 'Manage questions');
  } },
  { name: 'the items of a review queue', does: async (ui, { advisor, queue }) => {
    await ui.go(`/experiments/${advisor}/review-queue?selectedQueueId=${queue}`);
    await ui.see('sunday-review', 'What does plant');
  } },
  { name: 'the questions of reviews', does: async (ui, { advisor }) => {
    await ui.go(`/experiments/${advisor}/review-queue`);
    await ui.see('Manage questions');
    await ui.click(ui.part('mlflow.experiment-review-queue.sidebar.manage-questions'));
    await ui.see('mood', 'better_answer');
  } },
];
