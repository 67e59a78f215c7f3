// GPU and worker upload the same bytes: the same question asked with WebGPU on and off.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { drop, freshPage, launch } from "./support/browser.mjs";
import { startDouble } from "./support/double.mjs";
import { encode } from "./support/png.mjs";
import { question, script } from "./support/script.mjs";

/** Large enough that the whole and the framed part are made smaller before they travel. */
const large = encode(1803, 1201, (x, y) => [(x * y) >> 4, (x ^ y) & 255, (x * 3 + y * 7) >> 3]);
const PART = [["Left edge", 101], ["Top edge", 57], ["Width", 1399], ["Height", 1003]];

let double;

before(async () => {
  double = await startDouble({ script });
});

after(() => double?.close());

/** Asks a double about the whole and a part; gives who cut, and what was uploaded. */
async function upload({ gpu, address, double: { url, state } = double }) {
  const browser = await launch({ gpu });
  try {
    const page = await freshPage(browser);
    await page.goto(url + address);
    await page.locator("#app > .app").waitFor();
    await drop(page, large);
    await page.getByRole("button", { name: "Frame a part" }).click();
    for (const [name, value] of PART) {
      await page.getByLabel(`${name} in pixels`).fill(String(value));
      await page.getByLabel(`${name} in pixels`).press("Tab");
    }
    await page.locator("#question").fill(question);
    await page.getByRole("button", { name: "Ask", exact: true }).click();
    await page.locator('.turn[data-status="done"]').waitFor({ timeout: 120_000 });
    await page.locator(".menu summary").first().click();
    const words = await page.locator(".sheet").first().innerText();
    const asked = [...state.queries.values()].at(-1).asked;
    assert.deepEqual(page.troubles, []);
    const sizes = asked.images.map(({ image_id }) => [16, 20].map((at) => state.images.get(image_id).readUInt32BE(at)));
    return { cutBy: words.match(/this browser’s (GPU|processor)/)[1], images: asked.images, sizes };
  } finally {
    await browser.close();
  }
}

test("the GPU and the worker upload the same bytes", async () => {
  const gpu = await upload({ gpu: true, address: "/?pixels=gpu" });
  const cpu = await upload({ gpu: false, address: "/" });
  assert.deepEqual([gpu.cutBy, cpu.cutBy], ["GPU", "processor"]);
  assert.equal(gpu.images.length, 2);
  assert.deepEqual(gpu.images, cpu.images);
  for (const [width, height] of cpu.sizes) {
    assert.ok(width % 28 === 0 && height % 28 === 0 && width * height <= 1280 * 28 * 28, `${width} x ${height}`);
  }
});

test("a model that sees larger pictures is sent them", async () => {
  const double = await startDouble({ script, modelPixels: 4000 * 28 * 28 });
  try {
    const { sizes } = await upload({ gpu: false, address: "/", double });
    assert.deepEqual(sizes, [[1803, 1201], [1399, 1003]]);
  } finally {
    await double.close();
  }
});

test("a software adapter is left alone unless it is asked for", async () => {
  const { cutBy } = await upload({ gpu: true, address: "/" });
  assert.equal(cutBy, "processor");
});
