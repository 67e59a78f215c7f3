// The pixel path in real Chromium: WGSL on WebGPU and Rust in wasm against the bytes that Pillow gave
// (tests/golden/pixels), 0 of them may differ.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname } from "node:path";
import { after, before, test } from "node:test";
import { freshPage, launch, root } from "./support/browser.mjs";

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };
const MIB = 1 << 20;
const golden = async (name) => JSON.parse(await readFile(`${root}tests/golden/pixels/${name}`, "utf8"));

let server;
let url;

before(async () => {
  const out = `${root}target/test/pixels`;
  const builder = ["run", "--release", "-q", "-p", "loupe-web-builder", "--"];
  const build = [...builder, "--example", "loupe-shaders:pixels_page", "--out", out];
  assert.equal(spawnSync("cargo", build, { cwd: root, stdio: "inherit" }).status, 0, "the page could not be built");
  server = createServer(async (request, response) => {
    const bytes = request.url === "/" ? "<!doctype html><title>pixels</title>" : await readFile(out + request.url).catch(() => null);
    response.writeHead(bytes === null ? 404 : 200, { "content-type": TYPES[extname(request.url)] ?? "text/html" });
    response.end(bytes ?? "");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${server.address().port}/`;
});

after(() => server?.close());

/** Opens the page in a browser of its own; `call(name, ...args)` runs one of the module's functions in it. */
async function withPage({ gpu }, use) {
  const browser = await launch({ gpu });
  try {
    const page = await freshPage(browser);
    await page.goto(url);
    const run = async ([name, args]) => {
      const module = await import("/pixels_page.js");
      await module.default({ module_or_path: "/pixels_page.wasm" });
      return module[name](...args.map((arg) => (arg.base64 ? Uint8Array.from(atob(arg.base64), (c) => c.charCodeAt(0)) : arg)));
    };
    const plain = (arg) => (Buffer.isBuffer(arg) ? { base64: arg.toString("base64") } : arg);
    return await use((name, ...args) => page.evaluate(run, [name, args.map(plain)]));
  } finally {
    await browser.close();
  }
}

const inPage = (options, name, ...args) => withPage(options, (call) => call(name, ...args));
const file = (name) => readFile(`${root}tests/golden/pixels/${name}`);

function assertGolden(cases, outcomes, where) {
  assert.equal(outcomes.length, cases.length);
  const wrong = cases.filter((row, i) => row.blake3 !== outcomes[i].blake3);
  assert.deepEqual(wrong, [], `${where} differs from Pillow`);
}

test("every golden case has Pillow's bytes on WebGPU and in wasm", { timeout: 300_000 }, async (t) => {
  const cases = await golden("cases.json");
  assert.ok(cases.length >= 12);
  const onGpu = JSON.parse(await inPage({ gpu: true }, "on_gpu", JSON.stringify(cases), 64 * MIB));
  const onCpu = JSON.parse(await inPage({ gpu: false }, "on_cpu", JSON.stringify(cases)));
  assertGolden(cases, onGpu, "WebGPU");
  assertGolden(cases, onCpu, "wasm");
  const large = cases.findIndex((row) => row.name === "twelve_megapixels");
  t.diagnostic(`12 megapixels to 1: ${onGpu[large].took_ms} ms on WebGPU, ${onCpu[large].took_ms} ms in wasm`);
});

test("random sizes have Pillow's bytes on WebGPU and in wasm", { timeout: 300_000 }, async () => {
  const cases = await golden("sweep.json");
  assertGolden(cases, JSON.parse(await inPage({ gpu: true }, "on_gpu", JSON.stringify(cases), 64 * MIB)), "WebGPU");
  assertGolden(cases, JSON.parse(await inPage({ gpu: false }, "on_cpu", JSON.stringify(cases))), "wasm");
});

test("a source sent in bands gives the same bytes", { timeout: 300_000 }, async () => {
  const cases = (await golden("cases.json")).filter((row) => row.source[0] * row.source[1] < 2e6);
  for (const bandBytes of [1, 4096]) {
    const outcomes = JSON.parse(await inPage({ gpu: true }, "on_gpu", JSON.stringify(cases), bandBytes));
    assertGolden(cases, outcomes, `WebGPU in bands of ${bandBytes} bytes`);
  }
});

test("a software adapter and a missing one are refused by name, so that the CPU takes over", async () => {
  assert.equal(await inPage({ gpu: true }, "gpu_refusal"), "gpu_software");
  assert.equal(await inPage({ gpu: false }, "gpu_refusal"), "gpu_no_adapter");
});

test("the browser decodes files to Pillow's pixels: upright, on white, without colour conversion", async () => {
  const rows = await golden("files.json");
  const cases = (await golden("cases.json")).filter((row) => row.png);
  await withPage({ gpu: false }, async (call) => {
    for (const row of cases) {
      assert.equal(await call("decoded_blake3", await file(row.png)), row.blake3, row.name);
    }
    for (const row of rows) {
      const difference = await call("difference", await file(`files/${row.file}`), await file(`files/${row.expected}`));
      assert.ok(difference <= row.allowed, `${row.file} differs by ${difference}, allowed are ${row.allowed}`);
    }
  });
});

test("what is not a picture, damaged or too large is refused by name", async () => {
  const png = await file("same_size.png");
  const huge = Buffer.from(png);
  huge.writeUInt32BE(30_000, 16);
  huge.writeUInt32BE(30_000, 20);
  const refusals = [
    [Buffer.from("<svg xmlns='http://www.w3.org/2000/svg'/>"), "image_format"],
    [Buffer.from("<!doctype html><p>"), "image_format"],
    [huge, "image_too_large"],
    [png.subarray(0, 20), "image_damaged"],
    [png.subarray(0, png.length / 2), "image_damaged"],
    [png, "84x56"],
  ];
  await withPage({ gpu: false }, async (call) => {
    for (const [bytes, expected] of refusals) assert.equal(await call("opened", bytes), expected);
  });
});
