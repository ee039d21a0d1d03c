// The public API, and only that: one function for each call, and one kind of error.

/** What went wrong, in the API's words. `status` is 0 where there was no answer at all. */
export class ApiError extends Error {
  constructor(status, body, retryAfter) {
    super(body.error ?? "No answer");
    this.status = status;
    this.code = body.code ?? (status === 0 ? "offline" : "unknown");
    this.body = body;
    this.retryAfter = retryAfter;
  }
}

async function call(path, options = {}) {
  let response;
  let text;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
    text = await response.text();
  } catch (reason) {
    if (reason.name === "AbortError") throw reason;
    throw new ApiError(0, { error: "No connection" }, null);
  }
  // An answer that breaks off behind its headers reaches some proxies' callers as one with nothing in it.
  if (response.ok && !text && response.status !== 204) throw new ApiError(0, { error: "The answer broke off" }, null);
  let body = {};
  try {
    body = text ? JSON.parse(text) : {};
  } catch {
    body = { error: "The answer was not one of the API", details: text.slice(0, 300) };
    throw new ApiError(response.status, body, null);
  }
  if (!response.ok) {
    const after = Number(response.headers.get("Retry-After"));
    throw new ApiError(response.status, body, after > 0 ? after : null);
  }
  return body;
}

/** Begin a generation. Answers soon: finished, or running with `expectedSeconds`. The key makes a repetition free. */
export function generate(request, key) {
  return call("/api/image", {
    method: "POST",
    headers: { "Content-Type": "application/json", "Idempotency-Key": key, Prefer: "wait=2" },
    body: JSON.stringify({ ...request, includeBase64: false }),
  });
}

/** What `generate` would do and cost; nothing is generated. */
export function check(request, signal) {
  return call("/api/image", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...request, dryRun: true }),
    signal,
  });
}

// `no-store`, because Chromium lets a request wait for another one of the same address that it might keep: here one that waits.
const one = (id, options) => call(`/api/generations/${encodeURIComponent(id)}`, { cache: "no-store", ...options });

/** How a generation stands; waits up to `seconds` for its end. */
export const generation = (id, signal, seconds = 20) => one(id, { headers: { Prefer: `wait=${seconds}` }, signal });

export const detailsOf = (id) => one(id);

export const history = (continuation) =>
  call(`/api/generations?limit=12${continuation ? `&continuation=${encodeURIComponent(continuation)}` : ""}`);

/** The edits that descend from a generation, oldest first, one page. */
export const descendants = (root, continuation) =>
  call(`/api/generations?root=${encodeURIComponent(root)}&limit=100${continuation ? `&continuation=${encodeURIComponent(continuation)}` : ""}`);

/** Stop a generation; answers how it stands: an image that was there already is kept. */
export const cancel = (id) => call(`/api/generations/${encodeURIComponent(id)}/cancel`, { method: "POST" });

/** Is made even if the page goes meanwhile. */
export const remove = (id) => one(id, { method: "DELETE", keepalive: true });

export async function upload(file) {
  const form = new FormData();
  form.append("file", file);
  return (await call("/api/upload", { method: "POST", body: form })).url;
}

export const usage = () => call("/api/usage");

/** The models, what each can make and costs, and the limits of a request. */
export const models = () => call("/api/models");
