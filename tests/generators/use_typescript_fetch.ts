// Uses the typescript-fetch client that OpenAPI Generator makes, and prints the results as JSON.
import { Configuration, GenerationsApi, ImagesApi, ResponseError, ServiceApi } from "./typescript_fetch";
import { cookie, file, origin, PROMPT, report } from "./steps";

const configuration = new Configuration({ basePath: origin, headers: { Cookie: cookie } });
const images = new ImagesApi(configuration);
const generations = new GenerationsApi(configuration);

/** Return the status and the body of a call that fails. */
async function failed(call: Promise<unknown>): Promise<[number, any]> {
  try {
    await call;
  } catch (error) {
    if (error instanceof ResponseError) return [error.response.status, await error.response.json()];
    throw error;
  }
  throw new Error("the call did not fail");
}

async function main(): Promise<void> {
  const uploaded = await images.uploadImage({ file: file() });
  const generateRequest = { images: [uploaded.url], prompt: PROMPT };
  const made = await images.generateImage({ generateRequest });
  if (made.status !== "succeeded") throw new Error(String(made.status));
  const later = await images.generateImage({ generateRequest, prefer: "wait=1" });
  if (later.status !== "running") throw new Error(String(later.status));
  const dry = await images.generateImage({ generateRequest: { ...generateRequest, dryRun: true } });
  const found = await generations.getGeneration({ id: later.id, prefer: "wait=20" });
  const listed = await generations.listGenerations({ limit: 1 });
  const bytes = (await generations.getImage({ name: made.imageUrl.split("/").pop() ?? "" })) as Blob;
  const wrong = await failed(images.generateImage({ generateRequest: { images: ["no image"], prompt: PROMPT } }));
  const deleted = await generations.deleteGenerationRaw({ id: later.id });
  const gone = await failed(generations.getGeneration({ id: later.id }));
  const usage = await generations.getUsage();
  const health = await new ServiceApi(configuration).getHealth();
  report({
    made: [made.status, made.model, made.mimeType],
    later: [later.status, later.statusUrl === `/api/generations/${later.id}`, later.expectedSeconds >= 1],
    found: [found.status, found.imageUrl !== null, found.options, found.error],
    dry: "dryRun" in dry ? [dry.dryRun, dry.inputs[0]?.mimeType, dry.estimatedCostUsd > 0] : [],
    listed: [listed.items.map((item) => item.id === later.id), listed.continuation !== null],
    bytes: bytes.size,
    wrong: [wrong[0], wrong[1].code, wrong[1].imageIndex],
    deleted: deleted.raw.status,
    gone: [gone[0], gone[1].code],
    usage: usage.today.images,
    health: health.status,
  });
}

void main();
