// Uses the client that orval generates, with its zod schemas for every answer, and prints the results as JSON.
import {
  deleteGeneration,
  generateImage,
  getGeneration,
  getHealth,
  getImage,
  getUsage,
  listGenerations,
  uploadImage,
} from "./orval/api";
import {
  GenerateImageBody,
  GenerateImageResponse,
  GetGenerationResponse,
  GetHealthResponse,
  GetUsageResponse,
  ListGenerationsResponse,
  UploadImageResponse,
} from "./orval/zod";
import { cookie, file, PROMPT, report } from "./steps";

const headers = { Cookie: cookie };

async function main(): Promise<void> {
  const uploaded = UploadImageResponse.parse((await uploadImage({ file: file() }, { headers })).data);
  const request = GenerateImageBody.parse({ images: [uploaded.url], prompt: PROMPT, model: "gemini-3-pro-image" });
  const made = GenerateImageResponse.parse((await generateImage(request, { headers })).data);
  if (made.status !== "succeeded") throw new Error(String(made.status));
  const waiting = { headers: { ...headers, Prefer: "wait=1" } };
  const later = GenerateImageResponse.parse((await generateImage(request, waiting)).data);
  if (later.status !== "running") throw new Error(String(later.status));
  const dry = GenerateImageResponse.parse((await generateImage({ ...request, dryRun: true }, { headers })).data);
  const waitLonger = { headers: { ...headers, Prefer: "wait=20" } };
  const found = GetGenerationResponse.parse((await getGeneration(later.id, waitLonger)).data);
  const listed = ListGenerationsResponse.parse((await listGenerations({ limit: 1 }, { headers })).data);
  const name = made.imageUrl.split("/").pop() ?? "";
  const image = await getImage(name, undefined, { headers });
  const bytes = image.data as unknown as Blob;
  const wrong = await generateImage({ images: ["no image"], prompt: PROMPT }, { headers });
  const deleted = await deleteGeneration(later.id, { headers });
  const gone = await getGeneration(later.id, { headers });
  const usage = GetUsageResponse.parse((await getUsage({ headers })).data);
  const health = GetHealthResponse.parse((await getHealth(undefined, { headers })).data);
  report({
    made: [made.status, made.model, made.mimeType],
    later: [later.status, later.statusUrl === `/api/generations/${later.id}`, later.expectedSeconds >= 1],
    found: [found.status, found.imageUrl !== null, found.options, found.error],
    dry: "dryRun" in dry ? [dry.dryRun, dry.inputs[0]?.mimeType, dry.estimatedCostUsd > 0] : [],
    listed: [listed.items.map((item) => item.id === later.id), listed.continuation !== null],
    bytes: bytes.size,
    wrong: wrong.status === 400 ? [wrong.status, wrong.data.code, wrong.data.imageIndex] : [],
    deleted: deleted.status,
    gone: gone.status === 404 ? [gone.status, gone.data.code] : [],
    usage: usage.today.images,
    health: health.status,
  });
}

void main();
