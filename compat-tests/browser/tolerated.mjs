// Every answer >= 400 that a step may see, with its reason. Anything else fails the step.
// A missing route that no step meets any more fails the run: a feature that has come takes its line with it.
const missing = (method, path, reason) => ({ method, path, status: 404, reason, missing: true });

export const tolerated = [
  { method: 'GET', path: /\/mlflow\/users\/current$/, status: 404, reason: 'the UI asks who is signed in; without authentication the stock server has no such route either' },
  missing('POST', /\/3\.0\/mlflow\/traces\/search$/, 'traces are not served yet'),
  missing('POST', /\/3\.0\/mlflow\/traces\/metrics$/, 'traces are not served yet'),
  missing('GET', /\/3\.0\/mlflow\/scorers\/list$/, 'scorers are not served yet'),
];

// What the UI's bundle throws, unhandled, when a route answers 404: an error of a minified class without a text.
// It is tolerated only in a step that met a missing route.
export const thrownFor404 = /^page error: [A-Za-z]{1,2}$/;

// Texts of the UI that mean a page broke, wherever they appear.
export const broken = /An error occurred while rendering|Something went wrong/i;
