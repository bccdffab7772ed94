// A browser on one server, and the little language that the steps are written in.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { broken, tolerated } from './tolerated.mjs';

const CHROMIUM = process.env.CHROMIUM || '/usr/bin/chromium';
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage'];
const PATIENCE = 20_000;
// What a page waits for. The browser never says that the script of a worker has been read.
const ANSWERED = /ajax-api|graphql|get-artifact/;
// Notices that the UI shows once per browser and that would lie over the pages.
const DISMISSED = {
  'mlflow.assistant.fab.autoOpenedOnFirstLoad_v1': 'true',
  'mlflow.assistant.panelOpen_v1': 'false',
  'mlflow.detectIssues.guidanceShown_v1': 'true',
  '_mlflow_model_registry_promo_modal_dismissed': 'true',
};

export class Ui {
  static async open(url) {
    const profile = mkdtempSync(join(tmpdir(), 'ferroflow-chromium-'));
    const context = await chromium.launchPersistentContext(profile, { executablePath: CHROMIUM, args: FLAGS, headless: true, viewport: { width: 1600, height: 1000 } });
    await context.addInitScript(pairs => { try { for (const [key, value] of Object.entries(pairs)) localStorage.setItem(key, value); } catch { /* a frame without storage */ } }, DISMISSED);
    return new Ui(url, context, profile);
  }

  constructor(url, context, profile) {
    Object.assign(this, { url, context, profile, page: context.pages()[0], problems: [], allowed: [], pending: new Set() });
    this.page.setDefaultTimeout(PATIENCE);
    this.page.on('pageerror', error => { if (!/ResizeObserver/.test(error.message)) this.problems.push(`page error: ${error.message}`); });
    this.page.on('request', request => { if (this.isOurs(request) && ANSWERED.test(request.url())) this.pending.add(request); });
    this.page.on('requestfinished', request => this.pending.delete(request));
    this.page.on('requestfailed', request => this.requestFailed(request));
    this.page.on('response', response => this.responded(response));
  }

  async close() {
    await this.context.close();
    // The browser's last processes may still write there (ENOTEMPTY).
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 250 });
  }

  isOurs(request) { return request.url().startsWith(this.url); }

  requestFailed(request) {
    this.pending.delete(request);
    const why = request.failure()?.errorText ?? '';
    // Leaving a page aborts what it still waits for.
    if (this.isOurs(request) && why !== 'net::ERR_ABORTED') this.problems.push(`${request.method()} ${request.url()}: ${why}`);
  }

  responded(response) {
    const request = response.request();
    if (!this.isOurs(request) || response.status() < 400) return;
    const path = new URL(response.url()).pathname;
    const known = tolerated.some(it => it.method === request.method() && it.status === response.status() && it.path.test(path));
    if (!known && !this.allowed.some(it => it.status === response.status() && path.endsWith(it.path))) {
      this.problems.push(`${response.status()} ${request.method()} ${path}${new URL(response.url()).search}`);
    }
  }

  // Runs one step; `allow` lists error answers that the step provokes: [{ status, path }].
  async step(body, allow = []) {
    Object.assign(this, { problems: [], allowed: allow });
    try {
      await body(this);
      await this.settle();
      if (broken.test(await this.text())) this.problems.push('the page shows that it broke');
    } catch (error) {
      this.problems.unshift(`${error.message.split('\n').slice(0, 4).join(' ')} on ${this.page.url()}`);
      if (process.env.SCREENSHOTS) await this.page.screenshot({ path: join(process.env.SCREENSHOTS, `${Date.now()}.png`) });
    }
    if (this.problems.length > 0) throw new Error([...new Set(this.problems)].join('\n'));
  }

  async go(path) {
    if (this.page.url().startsWith(this.url)) await this.page.evaluate(() => localStorage.clear());
    await this.page.goto('about:blank');
    this.pending.clear();
    await this.page.goto(`${this.url}/#${path}`);
  }

  // Waits until no request of ours has been under way for a moment.
  async settle() {
    const end = Date.now() + PATIENCE / 4;
    for (let quiet = 0; quiet < 5 && Date.now() < end; quiet = this.pending.size === 0 ? quiet + 1 : 0) await this.page.waitForTimeout(60);
  }

  // What a reader sees: the text of the page and of its frames, and what stands in input fields.
  async text() {
    const read = frame => frame.evaluate(() => [document.body?.innerText, ...[...document.querySelectorAll('input, textarea')].map(field => field.value)].join('\n')).catch(() => '');
    return (await Promise.all(this.page.frames().map(read))).join('\n').replaceAll('\u00a0', ' ');
  }

  async until(holds, failure) {
    const end = Date.now() + PATIENCE;
    while (!holds(await this.text())) {
      if (Date.now() > end) throw new Error(failure(await this.text()));
      await this.page.waitForTimeout(150);
    }
  }

  async see(...wanted) {
    const missing = text => wanted.filter(it => (it instanceof RegExp ? !it.test(text) : !text.includes(it)));
    await this.until(text => missing(text).length === 0, text => `not visible: ${missing(text).join(' | ')}`);
  }

  async gone(...unwanted) {
    const left = text => unwanted.filter(it => text.includes(it));
    await this.until(text => left(text).length === 0, text => `still visible: ${left(text).join(' | ')}`);
  }

  async seePicture() {
    await this.page.waitForFunction(() => [...document.images].some(it => it.naturalWidth > 1 && /get-artifact|artifacts|blob:|data:image\/png/.test(it.src)));
  }

  // A part of the UI by the id that its own telemetry gives it.
  part(id) { return this.page.locator(`[data-component-id="${id}"]:visible`).first(); }
  partLike(id) { return this.page.locator(`[data-component-id*="${id}"]:visible`).first(); }
  button(name) { return this.page.getByRole('button', { name, exact: true }).first(); }
  get dialog() { return this.page.locator('[role=dialog]:visible').last(); }

  async click(target) {
    await (typeof target === 'string' ? this.page.getByText(target, { exact: true }).first() : target).click();
    await this.settle();
  }

  async enter(field, value) {
    await field.fill(value);
    await this.page.keyboard.press('Enter');
    await this.settle();
  }
}
