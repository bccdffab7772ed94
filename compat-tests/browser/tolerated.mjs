// Every answer >= 400 that a step may see, with its reason. Anything else fails the step.
export const tolerated = [
  { method: 'GET', path: /\/mlflow\/users\/current$/, status: 404, reason: 'the UI asks who is signed in; without authentication the stock server has no such route either' },
];

// Texts of the UI that mean a page broke, wherever they appear.
export const broken = /An error occurred while rendering|Something went wrong/i;
