// Uses the client that hey-api generates, and prints the results as JSON.
import { client } from "./hey_api/client.gen";
import {
  deleteGeneration,
  generateImage,
  getGeneration,
  getHealth,
  getImage,
  getUsage,
  listGenerations,
  uploadImage,
} from "./hey_api/sdk.gen";
import { cookie, file, origin, PROMPT, report } from "./steps";

client.setConfig({ baseUrl: origin, headers: { Cookie: cookie } });

async function main(): Promise<void> {
  const uploaded = await uploadImage({ body: { file: file() }, throwOnError: true });
  const images = [uploaded.data.url];
  const made = (await generateImage({ body: { images, prompt: PROMPT }, throwOnError: true })).data;
  if (made.status !== "succeeded") throw new Error(String(made.status));
  const later = (
    await generateImage({ body: { images, prompt: PROMPT }, headers: { Prefer: "wait=1" }, throwOnError: true })
  ).data;
  if (later.status !== "running") throw new Error(String(later.status));
  const dry = (await generateImage({ body: { images, prompt: PROMPT, dryRun: true }, throwOnError: true })).data;
  const path = { id: later.id };
  const found = (await getGeneration({ path, headers: { Prefer: "wait=20" }, throwOnError: true })).data;
  const listed = (await listGenerations({ query: { limit: 1 }, throwOnError: true })).data;
  const name = made.imageUrl.split("/").pop() ?? "";
  const bytes = (await getImage({ path: { name }, parseAs: "blob", throwOnError: true })).data as Blob;
  const wrong = await generateImage({ body: { images: ["no image"], prompt: PROMPT } });
  const deleted = await deleteGeneration({ path });
  const gone = await getGeneration({ path });
  const usage = (await getUsage({ throwOnError: true })).data;
  const health = (await getHealth({ throwOnError: true })).data;
  report({
    made: [made.status, made.model, made.mimeType],
    later: [later.status, later.statusUrl === `/api/generations/${later.id}`, later.expectedSeconds >= 1],
    found: [found.status, found.imageUrl !== null, found.options, found.error],
    dry: "dryRun" in dry ? [dry.dryRun, dry.inputs[0]?.mimeType, dry.estimatedCostUsd > 0] : [],
    listed: [listed.items.map((item) => item.id === later.id), listed.continuation !== null],
    bytes: bytes.size,
    wrong: [wrong.response?.status, wrong.error?.code, wrong.error?.imageIndex],
    deleted: deleted.response?.status,
    gone: [gone.response?.status, gone.error?.code],
    usage: usage.today.images,
    health: health.status,
  });
}

void main();
