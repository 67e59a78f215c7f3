// Starts the client. The builder fills in the names of the files, which follow their content.
import init, { start_app } from "./{{glue}}";

try {
  await init({ module_or_path: new URL("./{{wasm}}", import.meta.url) });
  start_app(new URL("./{{worker}}", import.meta.url).href);
} catch (error) {
  const place = document.querySelector("#app .boot");
  if (!place) throw error;
  place.textContent = `Loupe could not start (${error}). It needs a browser of 2023 or newer; reload the page, or try another browser.`;
}
