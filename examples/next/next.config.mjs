// The configuration of docs/clients.md, and what this repository's layout needs besides.
import path from "node:path";
import nextConfig from "./image-api.config.mjs";

/** @type {import("next").NextConfig} */
export default {
  ...nextConfig,
  // The client lies beside this app here; in yours it is a copy in lib/, and the rest of this file goes.
  experimental: { ...nextConfig.experimental, externalDir: true },
  turbopack: { root: path.join(import.meta.dirname, "..") },
  outputFileTracingRoot: path.join(import.meta.dirname, ".."),
};
