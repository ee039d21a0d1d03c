// What a front end does with the TypeScript client, step by step; prints what it saw as JSON.
// node client_steps.mjs COMPILED_CLIENT ORIGIN COOKIE PHOTOGRAPH FAKE_GEMINI MASK

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const [compiled, origin, cookie, photograph, fakeGemini, maskFile] = process.argv.slice(2);
const { ApiError, ImageClient } = await import(pathToFileURL(compiled).href);

const client = new ImageClient({ origin, headers: { Cookie: cookie }, waitSeconds: 30 });
const hasty = new ImageClient({ origin, headers: { Cookie: cookie }, waitSeconds: 1 });
const photo = new Blob([await readFile(photograph)], { type: "image/jpeg" });
const seen = {};

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
seen.made = await client.generate([photo], "a watercolor", { aspectRatio: "1:1" }, key);
seen.again = await client.generate([photo], "a watercolor", { aspectRatio: "1:1" }, key);
seen.mismatch = await failure(client.generate([photo], "something else", {}, key));

seen.url = await client.upload(photo, "photo.jpg");
await script({ delay: 2.5 });
seen.later = await hasty.generate([seen.url], "in the snow", {}, { onRunning: (running) => (seen.running = running) });

seen.uploadDeleted = await failure(client.deleteUpload(seen.url));
seen.uploadGone = await failure(client.deleteUpload(seen.url));

await script({ delay: 2, body: refusal });
seen.refused = await failure(hasty.generate([photo], "refused later"));
await script({ body: refusal });
seen.refusedAtOnce = await failure(client.generate([photo], "refused at once"));
await script({ delay: 3 });
seen.left = await failure(client.generate([photo], "left", {}, { signal: AbortSignal.timeout(500) }));

await script({ delay: 30 });
const toCancel = { onRunning: ({ id }) => (seen.canceling = client.cancel(id)) };
seen.canceledWait = await failure(hasty.generate([photo], "canceled", {}, toCancel));
seen.canceled = await seen.canceling;
seen.canceledAgain = await client.cancel(seen.canceled.id);
delete seen.canceling;

seen.noImages = await failure(client.generate([], "nothing"));
seen.stranger = await failure(new ImageClient({ origin }).history());
seen.invalid = await failure(client.history({ limit: 0 }));
seen.usage = await failure(client.usage());
seen.models = await client.models();
seen.checked = await client.check([photo], "a pencil sketch", { imageSize: "4K" });
seen.notChecked = await failure(client.check([], "a pencil sketch"));

const mask = new Blob([await readFile(maskFile)], { type: "image/png" });
seen.maskChecked = await client.check([photo], "in blue", { mask });
seen.masked = await client.generate([photo], "in blue", { mask, includeBase64: false });
seen.maskedDetail = await client.generation(seen.masked.id);
seen.maskRefused = await failure(client.generate([photo], "in blue", { mask: photo, aspectRatio: "1:1" }));

seen.edited = await client.editFrom(seen.made.id, "at sunset", { includeBase64: false });
seen.editedLater = await hasty.editFrom(seen.edited.id, "and in the snow", { images: [photo], imageSize: "1K" });
seen.chain = [];
for await (const { id, parentId } of client.generations({ root: seen.made.id, limit: 1 })) seen.chain.push([id, parentId]);
seen.noParent = await failure(client.editFrom("gen-1", "at sunset"));
seen.editChecked = await client.check([], "at sunset", { from: seen.made.id });

seen.page = await client.history({ limit: 2 });
seen.listed = [];
for await (const generation of client.generations({ limit: 2 })) seen.listed.push(generation.id);
seen.deleted = await failure(client.delete(seen.made.id));
seen.gone = await failure(client.generation(seen.made.id));

// A proxy that loses the first answer, gives the second up, and lets the third pass.
let calls = 0;
const found = await client.generation(seen.later.id);
const proxy = createServer((request, response) => {
  calls += 1;
  if (calls === 1) request.socket.destroy();
  else if (calls === 2) response.writeHead(504, { "Retry-After": "0" }).end("Gateway Timeout");
  else response.end(JSON.stringify(found));
});
await new Promise((listening) => proxy.listen(0, "127.0.0.1", listening));
const proxied = new ImageClient({ origin: `http://127.0.0.1:${proxy.address().port}/` });
seen.patient = (await proxied.finished(`/api/generations/${found.id}`)).id;
calls = 1;
seen.unreadable = await failure(proxied.generate([photo], "x"));
proxy.close();
proxy.closeAllConnections();

console.log(JSON.stringify(seen));
