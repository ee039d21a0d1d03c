// The steps of a front end that uses the TypeScript client. Prints the results as JSON.
// node client_steps.mjs COMPILED_CLIENT ORIGIN COOKIE PHOTOGRAPH FAKE_GEMINI MASK

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const [compiled, origin, cookie, photograph, fakeGemini, maskFile] = process.argv.slice(2);
const { ApiError, ImageClient } = await import(pathToFileURL(compiled).href);

const client = new ImageClient({ origin, headers: { Cookie: cookie }, waitSeconds: 30 });
const hasty = new ImageClient({ origin, headers: { Cookie: cookie }, waitSeconds: 1 });
const photo = new Blob([await readFile(photograph)], { type: "image/jpeg" });
const results = {};

async function script(...replies) {
  await fetch(`${fakeGemini}/__script`, { method: "POST", body: JSON.stringify(replies) });
}

async function failure(promise) {
  try {
    return { value: await promise };
  } catch (error) {
    if (!(error instanceof ApiError)) return { name: error.name };
    const { status, code, message, retryable, retryAfter, body } = error;
    return { status, code, message, retryable, retryAfter, body };
  }
}

const refusal = { candidates: [{ content: { parts: [{ text: "I would rather not." }] }, finishReason: "SAFETY" }] };

const key = { idempotencyKey: crypto.randomUUID() };
results.made = await client.generate([photo], "a watercolor", { aspectRatio: "1:1" }, key);
results.again = await client.generate([photo], "a watercolor", { aspectRatio: "1:1" }, key);
results.mismatch = await failure(client.generate([photo], "something else", {}, key));

results.url = await client.upload(photo, "photo.jpg");
await script({ delay: 2.5 });
const keepRunning = { onRunning: (running) => (results.running = running) };
results.later = await hasty.generate([results.url], "in the snow", {}, keepRunning);

results.uploadDeleted = await failure(client.deleteUpload(results.url));
results.uploadGone = await failure(client.deleteUpload(results.url));

await script({ delay: 2, body: refusal });
results.refused = await failure(hasty.generate([photo], "refused later"));
await script({ body: refusal });
results.refusedAtOnce = await failure(client.generate([photo], "refused at once"));
await script({ delay: 3 });
results.aborted = await failure(client.generate([photo], "aborted", {}, { signal: AbortSignal.timeout(500) }));

await script({ delay: 30 });
const toCancel = { onRunning: ({ id }) => (results.canceling = client.cancel(id)) };
results.canceledWait = await failure(hasty.generate([photo], "canceled", {}, toCancel));
results.canceled = await results.canceling;
results.canceledAgain = await client.cancel(results.canceled.id);
delete results.canceling;

results.noImages = await failure(client.generate([], "nothing"));
results.signedOut = await failure(new ImageClient({ origin }).history());
results.invalid = await failure(client.history({ limit: 0 }));
results.usage = await failure(client.usage());
results.models = await client.models();
results.checked = await client.check([photo], "a pencil sketch", { imageSize: "4K" });
results.notChecked = await failure(client.check([], "a pencil sketch"));

const mask = new Blob([await readFile(maskFile)], { type: "image/png" });
results.maskChecked = await client.check([photo], "in blue", { mask });
results.masked = await client.generate([photo], "in blue", { mask, includeBase64: false });
results.maskedDetail = await client.generation(results.masked.id);
results.maskRefused = await failure(client.generate([photo], "in blue", { mask: photo, aspectRatio: "1:1" }));

results.edited = await client.editFrom(results.made.id, "at sunset", { includeBase64: false });
results.editedLater = await hasty.editFrom(results.edited.id, "and in the snow", { images: [photo], imageSize: "1K" });
results.chain = [];
const chain = client.generations({ root: results.made.id, limit: 1 });
for await (const { id, parentId } of chain) results.chain.push([id, parentId]);
results.noParent = await failure(client.editFrom("gen-1", "at sunset"));
results.editChecked = await client.check([], "at sunset", { from: results.made.id });

results.page = await client.history({ limit: 2 });
results.listed = [];
for await (const generation of client.generations({ limit: 2 })) results.listed.push(generation.id);
results.deleted = await failure(client.delete(results.made.id));
results.gone = await failure(client.generation(results.made.id));

// A proxy that drops the first request, answers the second with 504, and answers the third.
let calls = 0;
const found = await client.generation(results.later.id);
const proxy = createServer((request, response) => {
  calls += 1;
  if (calls === 1) request.socket.destroy();
  else if (calls === 2) response.writeHead(504, { "Retry-After": "0" }).end("Gateway Timeout");
  else response.end(JSON.stringify(found));
});
await new Promise((listening) => proxy.listen(0, "127.0.0.1", listening));
const proxied = new ImageClient({ origin: `http://127.0.0.1:${proxy.address().port}/` });
results.waited = (await proxied.finished(`/api/generations/${found.id}`)).id;
calls = 1;
results.unreadable = await failure(proxied.generate([photo], "x"));
proxy.close();
proxy.closeAllConnections();

console.log(JSON.stringify(results));
