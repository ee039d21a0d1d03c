// A small typed client of the image API: no dependencies, for browsers and for Node.js 20 and newer.
// Copy it with schema.ts, which is generated from the API's OpenAPI document.

import type { components } from "./schema.js";

type Schemas = components["schemas"];

export type Generation = Schemas["Generation"];
export type DryRun = Schemas["DryRun"];
export type GenerationPage = Schemas["GenerationPage"];
export type GenerationSummary = Schemas["GenerationSummary"];
export type Result = Schemas["Result"];
export type Running = Schemas["Running"];
export type UsageReport = Schemas["UsageReport"];
export type ModelList = Schemas["ModelList"];
export type ErrorBody = Schemas["ErrorBody"];

/** The codes of docs/api.md, and one of our own: something else than the API answered, such as a proxy. */
export type ErrorCode = ErrorBody["code"] | "unreadable_answer";

/** Options of one image, beside images and prompt. `model` is one of those that the API is set to use. */
export type GenerateOptions = Omit<Schemas["GenerateRequest"], "images" | "prompt" | "model" | "mask" | "dryRun"> & {
  model?: string | null;
  /** Edit a part of the first image alone: an image of its shape, white (or transparent) where it may change. */
  mask?: string | Blob | null;
};

export interface ClientOptions {
  /** The API's origin, such as `https://app.example.com`; the page's own by default. */
  origin?: string;
  /** Sent with every call: on a server the caller's `Cookie`. A browser sends the cookie by itself. */
  headers?: Record<string, string>;
  /** Seconds that one call may take before the API answers that it is still running. Less than any proxy waits. */
  waitSeconds?: number;
  /** `include` where the API is on another origin that names this one in `ALLOWED_ORIGINS`. */
  credentials?: RequestCredentials;
  /** Another `fetch`, for tests. */
  fetch?: typeof fetch;
}

export interface CallOptions {
  signal?: AbortSignal;
}

export interface GenerateCall extends CallOptions {
  /** One for each image that is wanted: a call that is repeated with it is paid for once. New by default. */
  idempotencyKey?: string;
  /** Called once where the image takes longer than one response: `expectedSeconds` suits a countdown. */
  onRunning?: (running: Running) => void;
}

/** An error that the API answered. A lost connection is a `TypeError`, as `fetch` throws it. */
export class ApiError extends Error {
  override readonly name = "ApiError";

  constructor(
    /** Of the response; 200 where a generation that was asked for had failed. */
    readonly status: number,
    readonly code: ErrorCode,
    message: string,
    /** Whether the same call, with the same key, can succeed later. */
    readonly retryable: boolean,
    /** Seconds after which to try again, where the API said so. */
    readonly retryAfter: number | undefined,
    /** The whole body: `details`, `field`, `imageIndex`, `text` and more. */
    readonly body: Partial<ErrorBody>,
  ) {
    super(message);
  }
}

const FAILED_POLLS = 5;

export class ImageClient {
  readonly #origin: string;
  readonly #headers: Record<string, string>;
  readonly #wait: number;
  readonly #credentials: RequestCredentials;
  readonly #fetch: typeof fetch;

  constructor(options: ClientOptions = {}) {
    this.#origin = (options.origin ?? "").replace(/\/+$/, "");
    this.#headers = options.headers ?? {};
    this.#wait = options.waitSeconds ?? 25;
    this.#credentials = options.credentials ?? "same-origin";
    this.#fetch = options.fetch ?? ((input, init) => fetch(input, init));
  }

  /**
   * Make one image, however long it takes: where it outlasts a response its `statusUrl` is asked until it is finished.
   * `imageBase64` is null then, and `imageUrl` has it. Throws ApiError. `signal` ends the waiting, not the generation.
   */
  async generate(
    images: readonly (string | Blob)[],
    prompt: string,
    options: GenerateOptions = {},
    call: GenerateCall = {},
  ): Promise<Result> {
    const body = await requestBody(images, prompt, options);
    const response = await this.#send("POST", "/api/image", call.signal, {
      body: JSON.stringify(body),
      headers: {
        "Content-Type": "application/json",
        "Idempotency-Key": call.idempotencyKey ?? crypto.randomUUID(),
        Prefer: `wait=${this.#wait}`,
      },
    });
    if (response.status !== 202) return await read<Result>(response);
    const running = await read<Running>(response);
    call.onRunning?.(running);
    return made(await this.finished(running.statusUrl, call));
  }

  /**
   * Edit the image of an earlier generation further. `images` in the options are shown to the model beside it. Where it can
   * be, the model is shown the turns that led to the image; `warnings` has `context_not_kept` where it was not.
   */
  async editFrom(
    id: string,
    prompt: string,
    { images = [], ...options }: GenerateOptions & { images?: readonly (string | Blob)[] } = {},
    call: GenerateCall = {},
  ): Promise<Result> {
    return await this.generate(images, prompt, { ...options, from: id }, call);
  }

  /**
   * What `generate` would do and cost: everything is checked, and nothing is generated or kept. Throws the ApiError that
   * `generate` would.
   */
  async check(
    images: readonly (string | Blob)[],
    prompt: string,
    options: GenerateOptions = {},
    { signal }: CallOptions = {},
  ): Promise<DryRun> {
    const body = { ...(await requestBody(images, prompt, options)), dryRun: true };
    const headers = { "Content-Type": "application/json" };
    return await read<DryRun>(await this.#send("POST", "/api/image", signal, { body: JSON.stringify(body), headers }));
  }

  /** The models that `generate` may name, what each can make and costs, and the limits of a request. */
  async models({ signal }: CallOptions = {}): Promise<ModelList> {
    return await read(await this.#send("GET", "/api/models", signal));
  }

  /** The generation at `statusUrl` once it has finished, well or not. A few lost answers on the way do no harm. */
  async finished(statusUrl: string, { signal }: CallOptions = {}): Promise<Generation> {
    for (let failures = 0; ; ) {
      try {
        const response = await this.#send("GET", statusUrl, signal, { headers: { Prefer: `wait=${this.#wait}` } });
        const generation = await read<Generation>(response);
        if (generation.status !== "running") return generation;
        failures = 0;
        // Where it has waited for us already there is no need to.
        if (!response.headers.has("Preference-Applied")) await sleep(retryAfter(response) ?? 5, signal);
      } catch (error) {
        const passing = error instanceof ApiError ? error.retryable : error instanceof TypeError;
        if (!passing || ++failures === FAILED_POLLS) throw error;
        await sleep((error instanceof ApiError ? error.retryAfter : undefined) ?? failures, signal);
      }
    }
  }

  /** One page of the caller's generations, newest first; with `root` of those that descend from it, oldest first. */
  async history(
    { limit, continuation, root, signal }: CallOptions & { limit?: number; continuation?: string | null; root?: string } = {},
  ): Promise<GenerationPage> {
    const query = new URLSearchParams();
    if (root !== undefined) query.set("root", root);
    if (limit !== undefined) query.set("limit", String(limit));
    if (continuation) query.set("continuation", continuation);
    return await read(await this.#send("GET", `/api/generations?${query}`, signal));
  }

  /** All of them, a page at a time: `for await (const generation of client.generations()) …`. */
  async *generations(call: CallOptions & { limit?: number; root?: string } = {}): AsyncGenerator<GenerationSummary, void> {
    let continuation: string | null = null;
    do {
      const page: GenerationPage = await this.history({ ...call, continuation });
      yield* page.items;
      continuation = page.continuation;
    } while (continuation !== null);
  }

  /** One generation as it stands now. */
  async generation(id: string, { signal }: CallOptions = {}): Promise<Generation> {
    return await read(await this.#send("GET", `/api/generations/${encodeURIComponent(id)}`, signal));
  }

  /**
   * Stop a generation, and learn how it stands: `canceled` with what it cost as far as that is known, `succeeded` where the
   * image was there already, `running` where another process is to stop it within seconds (`finished` waits for that).
   * A `generate` that waits for it throws an ApiError `canceled`.
   */
  async cancel(id: string, { signal }: CallOptions = {}): Promise<Generation> {
    return await read(await this.#send("POST", `/api/generations/${encodeURIComponent(id)}/cancel`, signal));
  }

  /** Remove a generation and its picture. */
  async delete(id: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#send("DELETE", `/api/generations/${encodeURIComponent(id)}`, signal);
  }

  /** Store a file; its address works as an image of `generate`. */
  async upload(file: Blob, name = "image", { signal }: CallOptions = {}): Promise<string> {
    const form = new FormData();
    form.set("file", file, file instanceof File ? file.name : name);
    const { url } = await read<Schemas["Upload"]>(await this.#send("POST", "/api/upload", signal, { body: form }));
    return url;
  }

  /** Remove an upload, by the address that `upload` gave. What was made from it stays. */
  async deleteUpload(address: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#send("DELETE", `/api/images/${address.slice(address.lastIndexOf("/") + 1)}`, signal);
  }

  /** What the caller has spent. */
  async usage({ signal }: CallOptions = {}): Promise<UsageReport> {
    return await read(await this.#send("GET", "/api/usage", signal));
  }

  async #send(
    method: string,
    path: string,
    signal: AbortSignal | undefined,
    init: { body?: BodyInit; headers?: Record<string, string> } = {},
  ): Promise<Response> {
    const response = await this.#fetch(this.#origin + path, {
      ...init,
      method,
      headers: { ...this.#headers, ...init.headers },
      credentials: this.#credentials,
      // Chromium lets a request wait for another one of its address that it might keep, here one that waits itself.
      cache: "no-store",
      signal: signal ?? null,
    });
    if (!response.ok) throw await asError(response);
    return response;
  }
}

async function read<Body>(response: Response): Promise<Body> {
  const text = await response.text();
  try {
    return JSON.parse(text) as Body;
  } catch {
    throw unreadable(response);
  }
}

async function asError(response: Response): Promise<ApiError> {
  const body = await read<Partial<ErrorBody> | null>(response);
  if (!body?.code || body.error === undefined) return unreadable(response);
  return new ApiError(response.status, body.code, body.error, body.retryable ?? false, retryAfter(response), body);
}

function unreadable(response: Response): ApiError {
  const message = `The answer with the status ${response.status} is not one of the API`;
  return new ApiError(response.status, "unreadable_answer", message, response.status >= 500, retryAfter(response), {});
}

function retryAfter(response: Response): number | undefined {
  const seconds = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  return Number.isNaN(seconds) ? undefined : seconds;
}

/** A generation that finished after its response, in the form of one that did within it. */
function made({ status, imageUrl, mimeType, width, height, error, ...rest }: Generation): Result {
  if (status !== "succeeded" || imageUrl === null || mimeType === null || width === null || height === null) {
    const body: Partial<ErrorBody> = error ?? {};
    const message = body.error ?? "Failed to generate image";
    throw new ApiError(200, body.code ?? "internal", message, body.retryable ?? false, undefined, { id: rest.id, ...body });
  }
  const { thumbnailUrl, text, id, model, usage, attempts, warnings } = rest;
  return { imageBase64: null, imageUrl, thumbnailUrl, text, id, status, model, mimeType, width, height, usage, attempts, warnings };
}

async function requestBody(images: readonly (string | Blob)[], prompt: string, options: GenerateOptions) {
  const { mask, ...rest } = options;
  const sent = { ...rest, images: await Promise.all(images.map(asText)), prompt };
  return mask ? { ...sent, mask: await asText(mask) } : sent;
}

async function asText(image: string | Blob): Promise<string> {
  if (typeof image === "string") return image;
  const bytes = new Uint8Array(await image.arrayBuffer());
  let binary = "";
  // In pieces: a call takes some tens of thousands of arguments at most.
  for (let at = 0; at < bytes.length; at += 0x8000) binary += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return `data:${image.type || "application/octet-stream"};base64,${btoa(binary)}`;
}

function sleep(seconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const timer = setTimeout(done, seconds * 1000);
    signal?.addEventListener("abort", stop, { once: true });
    function done(): void {
      signal?.removeEventListener("abort", stop);
      resolve();
    }
    function stop(): void {
      clearTimeout(timer);
      reject(signal?.reason);
    }
  });
}
