// Starts the worker that holds and cuts the picture. It says when it listens: messages before that would be lost.
import init, { start_worker } from "./{{glue}}";

await init({ module_or_path: new URL("./{{wasm}}", import.meta.url) });
start_worker();
