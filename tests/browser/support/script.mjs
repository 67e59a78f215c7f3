// A scene and the run that answers a question about it, for the double.
import { encode } from "./png.mjs";

/** Two flags on a table: blue, white and red on the left, green, white and red on the right. */
export const scene = encode(448, 336, (x, y) => {
  const inside = (left, top) => x >= left && x < left + 132 && y >= top && y < top + 88;
  if (inside(48, 96)) return [[0, 85, 164], [255, 255, 255], [239, 65, 53]][Math.floor((x - 48) / 44)];
  if (inside(268, 120)) return [[0, 146, 70], [255, 255, 255], [206, 43, 55]][Math.floor((x - 268) / 44)];
  const light = 214 - Math.floor(y / 12) + ((x * 7 + y * 13) % 5);
  return y > 232 ? [light - 40, light - 62, light - 84] : [light - 4, light, light + 6];
});

export const question = "What is the capital of the country whose flag is on the left?";
export const answer = "The capital of France is Paris.";

const hit = (rank, title, stem, snippet) => ({ rank, title, url: `/pages/${stem}`, snippet });
const place = { x: 48 / 448, y: 96 / 336, w: 132 / 448, h: 88 / 336 };

/** The run's events; the crop that was searched is the query's own picture of the framed part, or the whole. */
export function script(query) {
  const crop = query.images.at(-1).image_id;
  const citation = { hit: { call_id: "c2", rank: 1 }, span: [0, answer.length] };
  const usage = {
    prompt_tokens: 512, reused_tokens: 384, generated_tokens: 96, searches: 2, first_token_ms: 640, tokens_per_second: 58,
  };
  return [
    ["queued", { position: 1 }],
    ["started", { model: "pocket", dialect: "deepmm", workflow: "agent" }],
    ["reason.delta", { text: "The flag on the left decides which country is meant, " }],
    ["reason.delta", { text: "so I look for that flag first." }],
    ["tool.call", { call_id: "c1", tool: "image_search", expression: "the flag on the left" }],
    ["crop.request", { call_id: "c1", region: place }],
    ["crop.used", { call_id: "c1", image_id: crop, by: "browser", region: place }],
    ["tool.result", {
      call_id: "c1", summary: "The flag of France.", took_ms: 84, cached: false, provider: "local",
      hits: [
        hit(1, "Flag of France", "fra-flag", "The flag of France has three bands: blue, white and red."),
        hit(2, "Flag of the Netherlands", "nld-flag", "The flag of the Netherlands has three bands."),
        hit(3, "Flag of Luxembourg", "lux-flag", "The flag of Luxembourg has three bands."),
      ],
    }],
    ["reason.delta", { text: "It is the flag of France. Now I need its capital." }],
    ["tool.call", { call_id: "c2", tool: "text_search", query: "capital of France" }],
    ["tool.result", {
      call_id: "c2", summary: "The capital of France is Paris.", took_ms: 412, cached: false, provider: "local",
      hits: [
        hit(1, "Capital of France", "fra-capital", "France is a country in Europe. The capital of France is Paris. It lies on the Seine."),
        hit(2, "Capital of French Guiana", "guf-capital", "The capital of French Guiana is Cayenne."),
      ],
    }],
    ["answer.delta", { text: "The capital of France " }],
    ["answer.delta", { text: "is Paris." }],
    ["citation", citation],
    ["done", { answer, citations: [citation], usage }],
  ];
}
