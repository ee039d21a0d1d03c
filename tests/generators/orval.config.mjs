// What a front-end team writes: functions that call `fetch`, and schemas that check what comes back.
const input = "./openapi.json";

export default {
  api: { input, output: { target: "./orval/api.ts", client: "fetch", baseUrl: process.env.API } },
  zod: { input, output: { target: "./orval/zod.ts", client: "zod" } },
};
