// The client against a double of the server that plays a scripted run: framing, asking, steps, answer, sources,
// stopping, broken connections, sharing, bad files.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { drop, frame, freshPage, launch, screenshot } from "./support/browser.mjs";
import { startDouble } from "./support/double.mjs";
import { decode } from "./support/png.mjs";
import { answer, question, scene, script } from "./support/script.mjs";

let browser;
let double;

before(async () => {
  browser = await launch();
  const sample = { path: "/samples/two-flags.png", bytes: scene, alt: "Two flags on a table", questions: [question] };
  double = await startDouble({ script, samples: [sample, { ...sample, path: "/samples/b.png" }, { ...sample, path: "/samples/c.png" }] });
});

after(async () => {
  await browser?.close();
  await double?.close();
});

/** Runs a test on a fresh page and holds that nothing went wrong in it. */
async function onPage(path, use, options) {
  const page = await freshPage(browser, options);
  try {
    await page.goto(double.url + path);
    await page.locator("#app > .app").waitFor();
    await use(page);
    assert.deepEqual(page.troubles, []);
  } finally {
    double.release();
    await page.context().close();
  }
}

async function ask(page, words = question) {
  await page.getByLabel("Question", { exact: true }).fill(words);
  await page.getByRole("button", { name: "Ask", exact: true }).click();
}

const done = (page) => page.locator('.turn[data-status="done"]').waitFor();

test("a framed part is asked about, searched, answered and sourced", () =>
  onPage("/", async (page) => {
    await drop(page, scene);
    await page.locator(".overlay").waitFor();
    await frame(page, [0.1, 0.28], [0.41, 0.56]);
    assert.match(await page.locator(".subject").textContent(), /framed part, 139 × 94 pixels/);
    await ask(page);
    await done(page);
    assert.match(page.url(), /\/q\/[\w-]{22}$/);
    assert.equal(await page.locator(".answer").textContent(), `${answer}1`);
    assert.deepEqual(await page.locator(".step .line > span:first-child").allTextContents(), [
      "Searched the flag on the left",
      "Searched for “capital of France”",
    ]);
    const source = page.locator(".sources li");
    assert.equal(await source.count(), 1);
    assert.equal(await source.locator("a").getAttribute("href"), "/pages/fra-capital#:~:text=The%20capital%20of%20France%20is%20Paris%2E");
    assert.match(await source.locator(".passage").textContent(), /^France is a country in Europe\. The capital/);
  }));

test("a number that is being typed stays while the page is drawn again", () =>
  onPage("/", async (page) => {
    await drop(page, scene);
    await page.getByRole("button", { name: "Frame a part" }).click();
    const width = page.getByLabel("Width in pixels");
    await width.fill("131");
    // What draws the page again without taking the focus: an input of another field, a change of another number.
    await page.locator("#question").evaluate((field) => {
      field.value = "Which";
      field.dispatchEvent(new InputEvent("input", { bubbles: true }));
    });
    await page.getByLabel("Left edge in pixels").evaluate((field) => {
      field.value = "48";
      field.dispatchEvent(new Event("change", { bubbles: true }));
    });
    await page.waitForFunction(() => document.querySelector("#question").value === "Which");
    assert.equal(await width.inputValue(), "131");
    await width.press("Tab");
    assert.equal(await width.inputValue(), "131");
    // What is out of bounds is shown as what it became, twice in a row as well.
    for (const _ of [1, 2]) {
      await width.fill("9999");
      await width.press("Tab");
      await page.waitForFunction((field) => field.value === "400", await width.elementHandle());
    }
  }));

test("what is uploaded are the pixels of the picture, whole and framed", () =>
  onPage("/", async (page) => {
    await drop(page, scene);
    await page.locator(".plate").waitFor();
    await page.getByRole("button", { name: "Frame a part" }).click();
    for (const [name, value] of [["Left edge", 48], ["Top edge", 96], ["Width", 132], ["Height", 88]]) {
      await page.getByLabel(`${name} in pixels`).fill(String(value));
      await page.getByLabel(`${name} in pixels`).press("Tab");
    }
    await ask(page);
    await done(page);
    const [asked] = [...double.state.queries.values()].slice(-1);
    const [whole, focus] = asked.asked.images;
    assert.deepEqual([whole.role, focus.role], ["whole", "focus"]);
    assert.deepEqual(focus.region, { x: 48 / 448, y: 96 / 336, w: 132 / 448, h: 88 / 336 });
    const original = decode(scene);
    const sent = decode(double.state.images.get(whole.image_id));
    assert.deepEqual(sent, original);
    const cut = decode(double.state.images.get(focus.image_id));
    assert.deepEqual([cut.width, cut.height], [132, 88]);
    for (const [x, y] of [[0, 0], [131, 87], [60, 40]]) {
      const at = ((96 + y) * 448 + 48 + x) * 3;
      assert.deepEqual([...cut.rgb.subarray((y * 132 + x) * 3).slice(0, 3)], [...original.rgb.subarray(at).slice(0, 3)]);
    }
  }));

test("the crop that the server asks for is cut from the original", () =>
  onPage("/", async (page) => {
    double.state.crops.length = 0;
    await drop(page, scene);
    await page.locator(".plate").waitFor();
    double.holdAt(6);
    await ask(page);
    await page.waitForFunction(() => document.querySelector(".turn .is-running"));
    while (double.state.crops.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    const [{ call, width, height }] = double.state.crops;
    assert.deepEqual([call, width, height], ["c1", 132, 88]);
    double.release();
    await done(page);
  }));

test("the frame moves by keyboard and goes away with Escape", () =>
  onPage("/", async (page) => {
    await drop(page, scene);
    await page.locator(".plate").waitFor();
    await page.getByRole("button", { name: "Frame a part" }).click();
    const place = page.getByRole("application");
    await place.focus();
    await page.keyboard.press("Alt+ArrowRight");
    await page.keyboard.press("Alt+Shift+ArrowDown");
    assert.equal(await page.getByLabel("Left edge in pixels").inputValue(), "113");
    assert.equal(await page.getByLabel("Height in pixels").inputValue(), "169");
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Frame a part" }).waitFor();
  }));

test("a broken connection is mended from where it broke", () =>
  onPage("/", async (page) => {
    await drop(page, scene);
    await page.locator(".plate").waitFor();
    double.holdAt(8);
    await ask(page);
    await page.getByText("Searched the flag on the left").waitFor();
    double.breakStreams();
    await page.getByText("The connection broke").waitFor();
    double.release();
    await done(page);
    assert.equal(await page.locator(".step").count(), 4);
    // The browser itself tells of the broken stream.
    page.troubles = page.troubles.filter((trouble) => !/ERR_INCOMPLETE_CHUNKED_ENCODING/.test(trouble));
  }));

test("a reload continues the run", () =>
  onPage("/", async (page) => {
    await drop(page, scene);
    await page.locator(".plate").waitFor();
    double.holdAt(8);
    await ask(page);
    await page.getByText("Searched the flag on the left").waitFor();
    await page.reload();
    await page.getByText("Searched the flag on the left").waitFor();
    await page.locator(".plate img").waitFor();
    double.release();
    await done(page);
    assert.equal(await page.locator(".answer").textContent(), `${answer}1`);
  }));

test("a run stops when it is told to", () =>
  onPage("/", async (page) => {
    await drop(page, scene);
    await page.locator(".plate").waitFor();
    double.holdAt(5);
    await ask(page);
    await page.getByRole("button", { name: "Stop" }).click();
    await page.locator('.turn[data-status="cancelled"]').waitFor();
    await page.getByText("Stopped.").waitFor();
  }));

test("a follow-up names the run before it and uploads nothing twice", () =>
  onPage("/", async (page) => {
    await drop(page, scene);
    await page.locator(".plate").waitFor();
    await ask(page);
    await done(page);
    const uploads = double.state.uploads;
    await ask(page, "And its currency?");
    await page.locator(".turn").nth(1).waitFor();
    await page.locator('.turn[data-status="done"]').nth(1).waitFor();
    const [first, second] = [...double.state.queries.entries()].slice(-2);
    assert.equal(second[1].asked.parent, first[0]);
    assert.equal(double.state.uploads, uploads);
  }));

test("a shared run opens in another profile, and its link can be deleted", () =>
  onPage("/", async (page) => {
    await drop(page, scene);
    await page.locator(".plate").waitFor();
    await ask(page);
    await done(page);
    await page.getByRole("button", { name: "Share" }).click();
    await page.getByLabel("With the picture").check();
    await page.getByRole("button", { name: "Make the link" }).click();
    const link = await page.getByLabel("The link").inputValue();
    const path = new URL(link).pathname;
    assert.match(path, /^\/s\/[\w-]{22}$/);
    await onPage(path, async (other) => {
      await done(other);
      assert.equal(await other.locator(".answer").textContent(), `${answer}1`);
      await other.locator(".plate img").waitFor();
      assert.equal(await other.getByLabel("Question", { exact: true }).count(), 0);
    });
    await page.getByText("My links").click();
    await page.getByRole("button", { name: /^Delete the link to/ }).click();
    await page.getByText("are listed here").waitFor();
    const gone = await freshPage(browser);
    await gone.goto(double.url + path);
    await gone.getByText("There is no such shared run.").waitFor();
    await gone.context().close();
  }));

test("words in the address fill the bar and nothing is asked", () =>
  onPage("/?q=What%20is%20this%3F", async (page) => {
    const field = page.getByLabel("Question", { exact: true });
    await page.waitForFunction(() => document.querySelector("#question").value !== "");
    assert.equal(await field.inputValue(), "What is this?");
    assert.equal(await page.locator(".turn").count(), 0);
  }));

test("files that are no pictures are refused with what to do", () =>
  onPage("/", async (page) => {
    const cases = [
      [Buffer.from("<svg xmlns='http://www.w3.org/2000/svg'/>"), "image_format"],
      [scene.subarray(0, 2_000), "image_damaged"],
      [claim(scene, 30_000, 30_000), "image_too_large"],
    ];
    for (const [bytes, code] of cases) {
      await drop(page, bytes);
      await page.locator(`.notice[data-code="${code}"]`).waitFor();
      await page.getByRole("button", { name: "Dismiss" }).click();
    }
    await ask(page, " ");
    await page.locator('.notice[data-code="empty_question"]').waitFor();
  }));

/** A picture whose header says another size. */
function claim(file, width, height) {
  const copy = Buffer.from(file);
  copy.writeUInt32BE(width, 16);
  copy.writeUInt32BE(height, 20);
  return copy;
}
