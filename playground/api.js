// Calls of the public API: one function for each, and one class of error.

/** An error of the API, with its body. `status` is 0 if there was no response. */
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
  // Some proxies deliver a response that was cut off after its headers with an empty body.
  if (response.ok && !text && response.status !== 204) throw new ApiError(0, { error: "The response was cut off" }, null);
  let body = {};
  try {
    body = text ? JSON.parse(text) : {};
  } catch {
    body = { error: "The response is not the API's", details: text.slice(0, 300) };
    throw new ApiError(response.status, body, null);
  }
  if (!response.ok) {
    const after = Number(response.headers.get("Retry-After"));
    throw new ApiError(response.status, body, after > 0 ? after : null);
  }
  return body;
}

/** Begin a generation. Returns soon: it has ended, or runs with `expectedSeconds`. The key makes a retry free. */
export function generate(request, key) {
  return call("/api/image", {
    method: "POST",
    headers: { "Content-Type": "application/json", "Idempotency-Key": key, Prefer: "wait=2" },
    body: JSON.stringify({ ...request, includeBase64: false }),
  });
}

/** Return what `generate` would do and cost (dry run). */
export function check(request, signal) {
  return call("/api/image", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...request, dryRun: true }),
    signal,
  });
}

// `no-store`: otherwise Chromium delays a request until another one for the same URL, which it may cache, has ended.
const one = (id, options) => call(`/api/generations/${encodeURIComponent(id)}`, { cache: "no-store", ...options });

/** Return the state of a generation; wait up to `seconds` for its end. */
export const generation = (id, signal, seconds = 20) => one(id, { headers: { Prefer: `wait=${seconds}` }, signal });

export const detailsOf = (id) => one(id);

export const history = (continuation) =>
  call(`/api/generations?limit=12${continuation ? `&continuation=${encodeURIComponent(continuation)}` : ""}`);

/** Return a page of the edits that descend from a generation, oldest first. */
export const descendants = (root, continuation) =>
  call(`/api/generations?root=${encodeURIComponent(root)}&limit=100${continuation ? `&continuation=${encodeURIComponent(continuation)}` : ""}`);

/** Cancel a generation and return its state. An image that exists already is kept. */
export const cancel = (id) => call(`/api/generations/${encodeURIComponent(id)}/cancel`, { method: "POST" });

/** Delete a generation. The request is sent even if the page is closed meanwhile. */
export const remove = (id) => one(id, { method: "DELETE", keepalive: true });

export async function upload(file) {
  const form = new FormData();
  form.append("file", file);
  return (await call("/api/upload", { method: "POST", body: form })).url;
}

export const usage = () => call("/api/usage");

/** Return the models with their capabilities and prices, and the limits of a request. */
export const models = () => call("/api/models");
