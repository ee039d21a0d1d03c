// One press of the button: the request, the countdown, waiting for what takes longer, and trying again without paying again.

import * as api from "./api.js";
import * as inputs from "./inputs.js";
import * as messages from "./messages.js";
import * as result from "./result.js";
import { announce, byId } from "./dom.js";

const LOST_TRIES = 3;
const LOST_PAUSE = 1500;

let running = null;
let hooks = {};
let longestPrompt = 32000;

/** `finished`, `sessionEnded` and `edit` are what other parts do then. */
export function setup(given) {
  hooks = given;
  byId("make").addEventListener("submit", (event) => { event.preventDefault(); press(); });
  byId("stop-waiting").addEventListener("click", stopWaiting);
}

export const limitPrompt = (characters) => { longestPrompt = characters; };

async function press() {
  if (running) return;
  const prompt = byId("prompt").value;
  byId("prompt-problem").textContent = "";
  if (inputs.none()) { inputs.ask(); byId("files").focus(); return; }
  if (!prompt.trim()) { askPrompt("Say what the picture should become."); return; }
  if (prompt.length > longestPrompt) { askPrompt(`The text has ${prompt.length.toLocaleString("en")} characters; ${longestPrompt.toLocaleString("en")} are the most.`); return; }
  const asked = { prompt };
  for (const [field, id] of [["aspectRatio", "aspect"], ["imageSize", "size"], ["model", "model"]]) {
    if (byId(id).value) asked[field] = byId(id).value;
  }
  // The key belongs to this press: whatever is sent again under it is paid for once.
  await run(asked, crypto.randomUUID(), inputs.first());
}

function askPrompt(text) {
  byId("prompt-problem").textContent = text;
  byId("prompt").focus();
}

async function run(asked, key, before, images) {
  const mine = { stop: new AbortController() };
  running = mine;
  busy(true);
  try {
    const request = { ...asked, images: images ?? await inputs.forRequest() };
    mine.retry = () => run(asked, key, before, request.images);
    const made = await untilFinished(request, key, mine.stop.signal);
    if (made.status === "failed") throw new api.ApiError(200, made.error, null);
    finish();
    result.show({ ...made, prompt: asked.prompt }, before, hooks.edit);
    announce("Your picture is ready");
    byId("result-title").focus({ preventScroll: false });
    hooks.finished();
  } catch (error) {
    finish();
    if (error.name === "AbortError") return;
    if (!(error instanceof api.ApiError)) throw error;
    messages.show(byId("problem"), error, mine.retry);
    if (error.status === 401) hooks.sessionEnded(mine.retry);
    else hooks.finished();
  }
}

/** The finished generation, however long it takes and however often the connection is lost on the way. */
async function untilFinished(request, key, signal) {
  const began = await patiently(() => api.generate(request, key, signal), signal);
  if (began.status !== "running") return { ...began, ...(await patiently(() => api.detailsOf(began.id), signal)) };
  countDown(began.expectedSeconds);
  let standing = began;
  while (standing.status === "running") standing = await patiently(() => api.generation(began.id, signal), signal);
  return standing;
}

async function patiently(call, signal) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await call();
    } catch (error) {
      if (error.status !== 0 || tries === LOST_TRIES || signal.aborted) throw error;
      byId("countdown").textContent = "The connection was lost; trying again …";
      await new Promise((resolve) => setTimeout(resolve, LOST_PAUSE * tries));
    }
  }
}

let ticking = 0;

function countDown(expected) {
  const began = Date.now();
  const tick = () => {
    const passed = (Date.now() - began) / 1000;
    const left = Math.ceil(expected - passed);
    byId("progress").value = Math.min(0.97, passed / expected);
    byId("countdown").textContent = left > 0
      ? `About ${left} s left`
      : `Longer than usual: ${Math.floor(passed)} s so far. It goes on.`;
  };
  clearInterval(ticking);
  ticking = setInterval(tick, 250);
  tick();
  announce(`About ${expected} seconds`);
}

function busy(now) {
  byId("go").disabled = now;
  byId("go").textContent = now ? "Generating …" : "Generate";
  byId("waiting").hidden = !now;
  byId("empty").hidden = true;
  if (!now) return;
  byId("problem").hidden = true;
  byId("result").hidden = true;
  byId("countdown").textContent = "Sending …";
  byId("progress").removeAttribute("value");
}

function finish() {
  clearInterval(ticking);
  running = null;
  busy(false);
}

/** The generation goes on; only this page looks away. */
function stopWaiting() {
  running?.stop.abort();
  byId("empty").hidden = false;
  announce("It goes on, and will be in your history");
  hooks.finished();
}
