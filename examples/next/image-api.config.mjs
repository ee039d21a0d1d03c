const api = process.env.IMAGE_API; // the function app: https://YOUR-APP.azurewebsites.net
const routes = [
  "image", "upload", "usage", "models", "generations/:path*", "images/:path*", "health", "docs", "openapi.json",
]; // leave out what your app answers itself; /api/auth is next-auth's

/** @type {import("next").NextConfig} */
const nextConfig = {
  // `beforeFiles`: a plain array would come after route files of the app's own, such as app/api/image/route.ts.
  rewrites: async () => ({
    beforeFiles: routes.map((route) => ({ source: `/api/${route}`, destination: `${api}/api/${route}` })),
  }),
  experimental: {
    proxyTimeout: 120_000, // a response takes up to 95 s (RESPONSE_BUDGET_SECONDS); Next.js ends a rewrite after 30 s
    proxyClientMaxBodySize: "32mb", // a request has up to 30 MB; Next.js forwards the first 10 MB
  },
};

export default nextConfig;
