// The real program: the server on a free port, and data sets of its world.
import { spawn, spawnSync } from "node:child_process";
import { rm, readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { root } from "./browser.mjs";

const program = `${root}target/release/loupe`;
/** Where ./test builds the Atlas. */
const data = `${root}target/test`;

/** Starts `loupe serve` with the model that it carries. */
export async function startServer() {
  const server = spawn(program, ["serve", "--data", data, "--listen", "127.0.0.1:0", "--log", "error"], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = new Promise((resolve) => server.once("exit", resolve));
  const url = await new Promise((resolve, reject) => {
    exited.then((code) => reject(new Error(`loupe serve ended with ${code} before it listened`)));
    createInterface(server.stdout).on("line", (line) => {
      const found = line.match(/http:\/\/\S+/);
      if (found) resolve(found[0]);
    });
  });
  return {
    url,
    close: () => {
      server.kill("SIGTERM");
      return exited;
    },
  };
}

/** Questions of the test split, each with the bytes of its picture. */
export async function questions(count) {
  const out = `${data}/questions`;
  await rm(out, { recursive: true, force: true });
  const args = ["dataset", "build", "--atlas", `${data}/atlas`, "--split", "test", "--count", String(count), "--search-free", "0", "--out", out];
  const built = spawnSync(program, args, { encoding: "utf8" });
  if (built.status !== 0) throw new Error(`loupe dataset build failed: ${built.stderr}`);
  const lines = (await readFile(`${out}/questions.jsonl`, "utf8")).trim().split("\n");
  return Promise.all(lines.map(async (line) => {
    const row = JSON.parse(line);
    return { ...row, picture: await readFile(`${out}/${row.image}`) };
  }));
}
