// Real Chromium, driven by playwright-core.
import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const executablePath = process.env.LOUPE_CHROMIUM ?? "/usr/bin/chromium";
const common = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"];
// Without the first flag there is no adapter at all; the second one gives a software adapter on machines without a GPU.
const webgpu = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

export const root = fileURLToPath(new URL("../../../", import.meta.url));

/** Starts a browser. */
export function launch({ gpu = false } = {}) {
  return chromium.launch({ executablePath, args: gpu ? [...common, ...webgpu] : common });
}

/** A page in a profile of its own that collects what goes wrong in it. */
export async function freshPage(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.troubles = [];
  page.on("pageerror", (error) => page.troubles.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") page.troubles.push(message.text());
  });
  return page;
}

/** Drops a file on the page, as a file manager would. */
export async function drop(page, bytes, { name = "scene.png", type = "image/png" } = {}) {
  const data = await page.evaluateHandle(
    ([base64, name, type]) => {
      const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], name, { type }));
      return transfer;
    },
    [Buffer.from(bytes).toString("base64"), name, type],
  );
  await page.dispatchEvent("body", "dragover", { dataTransfer: data });
  await page.dispatchEvent("body", "drop", { dataTransfer: data });
}

/** Draws a frame between two points, given as fractions of the picture. */
export async function frame(page, [x0, y0], [x1, y1]) {
  const box = await page.locator(".plate").boundingBox();
  const at = (x, y) => [box.x + x * box.width, box.y + y * box.height];
  await page.mouse.move(...at(x0, y0));
  await page.mouse.down();
  await page.mouse.move(...at((x0 + x1) / 2, (y0 + y1) / 2), { steps: 3 });
  await page.mouse.move(...at(x1, y1), { steps: 3 });
  await page.mouse.up();
}

/** Keeps a picture of the page in target/screenshots. */
export async function screenshot(page, name, options = {}) {
  const folder = `${root}target/screenshots`;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: `${folder}/${name}.png`, ...options });
}
