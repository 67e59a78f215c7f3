// How the client looks and reads: accessibility by axe, nothing wider than the page, pictures of every layout in
// target/screenshots.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { AxeBuilder } from "@axe-core/playwright";
import { drop, frame, freshPage, launch, screenshot } from "./support/browser.mjs";
import { startDouble } from "./support/double.mjs";
import { question, scene, script } from "./support/script.mjs";

const LAYOUTS = { phone: [390, 844], medium: [820, 1100], wide: [1440, 900] };

let browser;
let double;

before(async () => {
  browser = await launch();
  const samples = ["a", "b", "c"].map((name) => ({
    path: `/samples/${name}.png`, bytes: scene, alt: "Two flags on a table", questions: [question, "How many flags are there?"],
  }));
  double = await startDouble({ script, samples });
});

after(async () => {
  await browser?.close();
  await double?.close();
});

async function check(page, name) {
  await screenshot(page, name);
  const { violations } = await new AxeBuilder({ page }).analyze();
  assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map((node) => node.html)]), [], name);
  const [content, width] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(content <= width, `${name}: ${content} is wider than ${width}`);
}

for (const [layout, [width, height]] of Object.entries(LAYOUTS)) {
  for (const colorScheme of ["light", "dark"]) {
    test(`${layout}, ${colorScheme}`, async () => {
      const page = await freshPage(browser, { viewport: { width, height }, colorScheme, reducedMotion: "reduce" });
      const named = (state) => `${layout}-${colorScheme}-${state}`;
      await page.goto(double.url);
      await page.getByRole("group", { name: "Sample scenes" }).waitFor();
      await check(page, named("1-empty"));
      await drop(page, scene);
      await page.locator(".overlay").waitFor();
      await frame(page, [0.1, 0.28], [0.41, 0.56]);
      await page.locator("#question").fill(question);
      await check(page, named("2-framed"));
      double.holdAt(10);
      await page.getByRole("button", { name: "Ask", exact: true }).click();
      await page.locator(".turn .steps").waitFor();
      await page.getByText("Searching for “capital of France”").first().waitFor();
      await check(page, named("3-running"));
      double.release();
      await page.locator('.turn[data-status="done"]').waitFor();
      await check(page, named("4-answered"));
      await page.getByRole("button", { name: "Share" }).click();
      await page.locator(".steps").evaluate((steps) => (steps.open = true));
      await page.locator(".crop").first().hover();
      await check(page, named("5-pointed"));
      assert.deepEqual(page.troubles, []);
      await page.context().close();
    });
  }
}

test("320 px is enough", async () => {
  const page = await freshPage(browser, { viewport: { width: 320, height: 640 } });
  await page.goto(`${double.url}/embed?q=${encodeURIComponent(question)}`);
  await drop(page, scene);
  await page.locator(".overlay").waitFor();
  await page.getByRole("button", { name: "Ask", exact: true }).click();
  await page.locator('.turn[data-status="done"]').waitFor();
  await check(page, "narrow-widget");
  await page.context().close();
});
