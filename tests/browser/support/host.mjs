// Someone else's page: another origin that embeds the widget.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { root } from "./browser.mjs";

/** Serves tests/browser/widget-demo.html with `picture` beside it, for a Loupe at `loupe`. */
export async function startHost(loupe, picture) {
  const html = (await readFile(`${root}tests/browser/widget-demo.html`, "utf8")).replaceAll("{{loupe}}", loupe);
  const server = createServer((request, response) => {
    const found = { "/": ["text/html; charset=utf-8", html], "/scene.png": ["image/png", picture] }[request.url];
    response.writeHead(found ? 200 : 204, found ? { "content-type": found[0] } : {});
    response.end(found?.[1] ?? "");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    // Another port is another origin.
    url: `http://127.0.0.1:${server.address().port}/`,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
