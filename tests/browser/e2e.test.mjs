// The real program in a real browser: held-out scenes, a framed flag, steps, a right answer with a source that a tool
// returned; a reload mid-run, a shared link in a fresh profile, the widget on another origin. WebGPU on and off.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, test } from "node:test";
import { drop, freshPage, launch, root, screenshot } from "./support/browser.mjs";
import { startHost } from "./support/host.mjs";
import { questions, startServer } from "./support/server.mjs";

/** Questions that are tried for a right answer: the pocket model does not know all of them. */
const TRIES = 12;
const MINUTE = 60_000;
/** Without the trained model there is nothing to ask. */
const skip = existsSync(`${root}server/mllm/pocket/config.json`) ? false : "this checkout has no trained pocket model";

let server;
let rows;

before(async () => {
  if (skip) return;
  server = await startServer();
  const easy = (row) => row.region && row.hops === 1 && row.flags <= 3;
  rows = (await questions(300)).filter(easy).slice(0, TRIES);
  assert.ok(rows.length > 0, "the data set has one-hop questions about a place in the picture");
});

after(() => server?.close());

async function withPage(options, use) {
  const browser = await launch(options);
  try {
    await use(browser, await freshPage(browser));
  } finally {
    await browser.close();
  }
}

/** Drops a row's picture, frames the flag that is meant and asks. */
async function askRow(page, row, address = "/") {
  await page.goto(server.url + address);
  await page.locator("#app > .app").waitFor();
  await drop(page, row.picture);
  await page.getByRole("button", { name: "Frame a part" }).click();
  const size = row.picture.readUInt32BE(16);
  for (const [name, share] of [["Left edge", row.region.x], ["Top edge", row.region.y], ["Width", row.region.w], ["Height", row.region.h]]) {
    await page.getByLabel(`${name} in pixels`).fill(String(Math.round(share * size)));
    await page.getByLabel(`${name} in pixels`).press("Tab");
  }
  await page.locator("#question").fill(row.question);
  await page.getByRole("button", { name: "Ask", exact: true }).click();
  await page.locator(".turn").waitFor();
}

async function end(page) {
  const over = page.locator('.turn:is([data-status="done"], [data-status="error"])');
  await over.waitFor({ timeout: 2 * MINUTE });
  return over.getAttribute("data-status");
}

const isRight = (text, row) => [row.answer, ...row.aliases].some((right) => text.toLowerCase().includes(right.toLowerCase()));

/** Asks until an answer is right and sourced; leaves the page there. */
async function findRight(page, address) {
  for (const row of rows) {
    await askRow(page, row, address);
    const status = await end(page);
    const sources = await page.locator(".sources li").count();
    if (status === "done" && sources > 0 && isRight(await page.locator(".answer").textContent(), row)) return row;
  }
  return assert.fail(`none of ${rows.length} answers was right and sourced`);
}

for (const gpu of [false, true]) {
  test(`a framed flag leads to a right answer and its source, WebGPU ${gpu ? "on" : "off"}`, { skip, timeout: 20 * MINUTE }, () =>
    withPage({ gpu }, async (browser, page) => {
      const row = await findRight(page, gpu ? "/?pixels=gpu" : "/");
      assert.ok((await page.locator(".step").count()) > 0);
      const id = page.url().split("/").at(-1);
      const log = await (await page.request.get(`${server.url}/api/v1/queries/${id}`)).json();
      const hits = log.state.steps.flatMap((step) => step.result?.hits ?? []).map((hit) => hit.url);
      const { prompt_tokens: read, reused_tokens: reused } = log.state.usage;
      assert.ok(reused > 0.3 * read, `every turn goes on from the one before: ${reused} of ${read} tokens were not read again`);
      const linked = await page.locator(".sources a").evaluateAll((links) => links.map((link) => new URL(link.href).pathname));
      for (const url of linked) assert.ok(hits.includes(url), `${url} was returned by a tool`);
      const source = await page.request.get(server.url + linked[0]);
      assert.equal(source.status(), 200);
      await screenshot(page, `e2e-${gpu ? "gpu" : "cpu"}`);
      assert.deepEqual(page.troubles, []);

      const answer = await page.locator(".answer").textContent();
      await page.getByRole("button", { name: "Share" }).click();
      await page.getByLabel("With the picture").check();
      await page.getByRole("button", { name: "Make the link" }).click();
      const link = await page.getByLabel("The link").inputValue();
      const other = await freshPage(browser);
      await other.goto(link);
      await other.locator('.turn[data-status="done"]').waitFor();
      assert.equal(await other.locator(".answer").textContent(), answer);
      assert.equal(await other.locator(".turn h2").textContent(), row.question);
      await other.locator(".plate img").waitFor();
    }));
}

test("a reload mid-run shows the run and its end", { skip, timeout: 5 * MINUTE }, () =>
  withPage({}, async (_browser, page) => {
    await askRow(page, rows[0]);
    await page.waitForURL(/\/q\//);
    await page.reload();
    await end(page);
    assert.equal(await page.locator(".turn h2").textContent(), rows[0].question);
    assert.ok((await page.locator(".step").count()) > 0);
    await page.locator(".plate img").waitFor();
  }));

test("the widget on another origin asks and answers", { skip, timeout: 5 * MINUTE }, async () => {
  const host = await startHost(server.url, rows[0].picture);
  try {
    await withPage({}, async (_browser, page) => {
      await page.goto(host.url);
      await page.evaluate(() => addEventListener("loupe-answer", (event) => (window.answered = event.detail.text)));
      await page.getByRole("button", { name: "Ask about a picture" }).click();
      const frame = page.frameLocator("mm-search iframe");
      await frame.locator(".plate img").waitFor();
      await frame.locator("#question").fill(rows[0].question);
      await frame.getByRole("button", { name: "Ask", exact: true }).click();
      const done = frame.locator('.turn[data-status="done"]');
      await done.waitFor({ timeout: 2 * MINUTE });
      assert.ok((await page.evaluate(() => window.answered)).length > 0);
    });
  } finally {
    await host.close();
  }
});
