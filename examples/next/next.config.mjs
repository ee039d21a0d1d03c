// The API stays on this app's own origin: the browser sends the session cookie along, and no CORS is needed.
import path from "node:path";

const api = process.env.IMAGE_API ?? "http://127.0.0.1:7071"; // the function app, https://YOUR-APP.azurewebsites.net
const routes = ["image", "upload", "usage", "generations", "generations/:path*", "images/:path*"];

/** @type {import("next").NextConfig} */
export default {
  rewrites: async () => routes.map((route) => ({ source: `/api/${route}`, destination: `${api}/api/${route}` })),
  // Longer than the API takes to answer (RESPONSE_BUDGET_SECONDS, 40): Next.js gives a rewrite up after 30 s by itself.
  // A request may have 30 MB: of a body beyond 10 MB Next.js forwards only the beginning by itself.
  experimental: { proxyTimeout: 60_000, proxyClientMaxBodySize: "32mb", externalDir: true },
  // The client lies beside this app here; in yours it is a copy in lib/, and these two lines go.
  turbopack: { root: path.join(import.meta.dirname, "..") },
  outputFileTracingRoot: path.join(import.meta.dirname, ".."),
};
