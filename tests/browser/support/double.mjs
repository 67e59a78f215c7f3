// A double of the server: the built client and the protocol's calls, with runs that follow a script. It lets a test
// stop a run at any event, break the connection and count what is uploaded.
import { createHash, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname } from "node:path";
import { root } from "./browser.mjs";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".wasm": "application/wasm",
  ".svg": "image/svg+xml",
  ".webmanifest": "application/manifest+json",
};
const POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob: data:; " +
  "connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'";

/** What the double says it is. */
export function meta(samples = [], modelPixels = 50176) {
  return {
    version: "0.1.0",
    protocol: 1,
    model: {
      name: "pocket",
      dialect: "deepmm",
      min_pixels: 3136,
      max_pixels: modelPixels,
      about: "It knows the flags and facts of the embedded atlas, and nothing else.",
    },
    search: [{ name: "local", kind: "image_search", healthy: true }, { name: "local", kind: "text_search", healthy: true }],
    limits: { question_bytes: 4000, image_bytes: 25_000_000, image_pixels: 50_000_000, image_side: 16384 },
    samples,
  };
}

/**
 * Starts the double on a free port. `script(query)` gives the events of a run, as [kind, data] pairs; `modelPixels` is
 * the largest picture that its model sees.
 */
export async function startDouble({ script, samples = [], modelPixels }) {
  const state = { images: new Map(), queries: new Map(), shares: new Map(), crops: [], uploads: 0, streams: new Set(), hold: null };
  const files = new Map(samples.map(({ path, bytes }) => [path, bytes]));
  const described = samples.map(({ path, alt, questions }) => ({ url: path, alt, questions }));
  const server = createServer((request, response) => {
    answer(state, { script, files, meta: meta(described, modelPixels) }, request, response).catch((error) => {
      fail(response, 500, "double_broken", String(error));
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    state,
    url: `http://127.0.0.1:${server.address().port}`,
    /** Keeps runs from going beyond an event's number until `release`. */
    holdAt: (seq) => (state.hold = seq),
    release: () => (state.hold = null),
    /** Breaks all streams, as a network does. */
    breakStreams: () => state.streams.forEach((stream) => stream.destroy()),
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

async function answer(state, world, request, response) {
  const url = new URL(request.url, "http://double");
  const [, api, v1, kind, id, part, call] = url.pathname.split("/");
  if (api !== "api" || v1 !== "v1") return file(world, url.pathname, response);
  const method = `${request.method} ${kind}${id ? "/*" : ""}${part ? `/${part}` : ""}`;
  const query = state.queries.get(id);
  switch (method) {
    case "GET meta":
      return json(response, 200, world.meta);
    case "POST images":
      state.uploads += 1;
      return json(response, 200, store(state, await body(request)));
    case "GET images/*":
      if (!state.images.has(id)) return fail(response, 404, "unknown_image", "There is no such picture.");
      return send(response, 200, "image/png", state.images.get(id));
    case "POST queries": {
      const asked = JSON.parse(await body(request));
      const query_id = randomBytes(16).toString("base64url");
      const log = world.script(asked, state).map(([kind, data], i) => ({ v: 1, seq: i + 1, at: 0, kind, data }));
      state.queries.set(query_id, { asked, log, reached: 0 });
      return json(response, 201, { query_id });
    }
    case "GET queries/*":
      if (!query) return fail(response, 404, "unknown_query", "There is no such question.");
      return json(response, 200, { query_id: id, query: query.asked, created_at: 0, state: {} });
    case "DELETE queries/*":
      query.log.splice(query.reached, Infinity, { v: 1, seq: query.reached + 1, at: 0, kind: "cancelled", data: {} });
      state.hold = null;
      return send(response, 204);
    case "GET queries/*/events":
      return stream(state, query, Number(url.searchParams.get("after") ?? 0), response);
    case "POST queries/*/crops": {
      const stored = store(state, await body(request));
      state.crops.push({ call, ...stored });
      return json(response, 200, stored);
    }
    case "POST shares": {
      const share_id = randomBytes(16).toString("base64url");
      const asked = JSON.parse(await body(request));
      const { asked: question, log } = state.queries.get(asked.query_id);
      state.shares.set(share_id, { query: { ...question, images: asked.include_images ? question.images : [] }, shared_at: 0, events: log });
      return json(response, 201, { share_id, delete_token: "token" });
    }
    case "GET shares/*":
      if (!state.shares.has(id)) return fail(response, 404, "unknown_share", "There is no such shared run.");
      return json(response, 200, state.shares.get(id));
    case "DELETE shares/*":
      if (request.headers.authorization !== "Bearer token") return fail(response, 403, "token_wrong", "Wrong token.");
      state.shares.delete(id);
      return send(response, 204);
    default:
      return fail(response, 404, "unknown_path", method);
  }
}

async function stream(state, query, after, response) {
  state.streams.add(response);
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.write(": hello\n\n");
  for (const event of query.log.slice(after)) {
    while (state.hold !== null && event.seq > state.hold) await pause(20);
    if (response.destroyed) break;
    // A cancelled run ends here: what follows was cut off the log.
    const now = query.log[event.seq - 1] ?? query.log.at(-1);
    query.reached = Math.max(query.reached, now.seq);
    response.write(`id: ${now.seq}\nevent: ${now.kind}\ndata: ${JSON.stringify(now)}\n\n`);
    if (["done", "error", "cancelled"].includes(now.kind)) break;
    await pause(15);
  }
  state.streams.delete(response);
  response.end();
}

function store(state, bytes) {
  const image_id = createHash("sha256").update(bytes).digest("hex");
  state.images.set(image_id, bytes);
  return { image_id, width: bytes.readUInt32BE(16), height: bytes.readUInt32BE(20) };
}

async function file(world, path, response) {
  if (world.files.has(path)) return send(response, 200, "image/png", world.files.get(path));
  if (path.startsWith("/pages/")) return send(response, 200, "text/html", `<title>${path}</title>`);
  const name = /^\/($|q\/|s\/|embed$)/.test(path) ? "/index.html" : path;
  const bytes = await readFile(`${root}target/web/dist${name}`).catch(() => null);
  if (!bytes) return fail(response, 404, "not_found", path);
  const ancestors = path === "/embed" ? "*" : "'none'";
  response.setHeader("content-security-policy", `${POLICY}; frame-ancestors ${ancestors}`);
  response.setHeader("cross-origin-resource-policy", path === "/embed.js" ? "cross-origin" : "same-origin");
  return send(response, 200, TYPES[extname(name)] ?? "application/octet-stream", bytes);
}

async function body(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts);
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const json = (response, status, value) => send(response, status, "application/json", JSON.stringify(value));
const fail = (response, status, code, message) => json(response, status, { error: { code, message, hint: "Try something else." } });

function send(response, status, type, bytes = "") {
  if (type) response.setHeader("content-type", type);
  response.writeHead(status);
  response.end(bytes);
}
