// The widget on a page of another origin, against the double.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { readFile } from "node:fs/promises";
import { freshPage, launch, root } from "./support/browser.mjs";
import { startDouble } from "./support/double.mjs";
import { startHost } from "./support/host.mjs";
import { answer, question, scene, script } from "./support/script.mjs";

let browser;
let double;
let host;

before(async () => {
  browser = await launch();
  double = await startDouble({ script });
  host = await startHost(double.url, scene);
});

after(async () => {
  await browser?.close();
  await host?.close();
  await double?.close();
});

test("the loader is small", async () => {
  const loader = await readFile(`${root}web/embed/embed.js`);
  assert.ok(gzipSync(loader, { level: 9 }).length <= 4096);
});

test("nothing but the loader is fetched before a click; then the widget takes the picture, asks and answers", async () => {
  const page = await freshPage(browser);
  const fetched = [];
  page.on("request", (request) => {
    if (request.url().startsWith(double.url)) fetched.push(new URL(request.url()).pathname);
  });
  await page.goto(host.url);
  const button = page.getByRole("button", { name: "Ask about a picture" });
  await button.waitFor();
  assert.deepEqual(fetched, ["/embed.js"]);
  await page.evaluate(() => {
    window.heard = [];
    for (const name of ["ready", "answer", "error"]) {
      addEventListener(`loupe-${name}`, (event) => window.heard.push([name, event.detail]));
    }
  });
  await button.click();
  const frame = page.frameLocator("mm-search iframe");
  await frame.locator(".plate img").waitFor();
  assert.equal(await frame.locator(".plate img").getAttribute("alt"), "Two flags on a table");
  assert.equal(await frame.getByLabel("Question", { exact: true }).inputValue(), question);
  await frame.getByRole("button", { name: "Ask", exact: true }).click();
  await frame.locator('.turn[data-status="done"]').waitFor();
  await page.waitForFunction(() => window.heard.some(([name]) => name === "answer"));
  assert.deepEqual(await page.evaluate(() => window.heard), [["ready", {}], ["answer", { text: answer }]]);
  const [height, needed] = await page.evaluate(() => {
    const frame = document.querySelector("mm-search iframe");
    return [frame.offsetHeight, 400];
  });
  assert.ok(height > needed, `the frame grew with its content: ${height}`);
  assert.equal(await page.locator("mm-search iframe").getAttribute("sandbox"), "allow-scripts allow-same-origin allow-forms allow-popups");
  assert.deepEqual(page.troubles, []);
  await page.context().close();
});

test("messages of other origins and other windows change nothing", async () => {
  const page = await freshPage(browser);
  await page.goto(host.url);
  await page.getByRole("button", { name: "Ask about a picture" }).click();
  const frame = page.frameLocator("mm-search iframe");
  await frame.locator(".plate img").waitFor();
  const inner = page.frames().find((frame) => frame.url().includes("/embed"));
  // The widget's own window is not its holder, and its origin is not the host's.
  await inner.evaluate(() => window.postMessage({ mm: { v: 1, type: "question", text: "Injected" } }, "*"));
  await page.evaluate(() => {
    // To the page, its own window is not the widget's.
    window.postMessage({ mm: { v: 1, type: "resize", height: 9000 } }, "*");
  });
  await page.waitForTimeout(200);
  assert.equal(await frame.getByLabel("Question", { exact: true }).inputValue(), question);
  assert.ok((await page.locator("mm-search iframe").boundingBox()).height < 9000);
  await page.context().close();
});
