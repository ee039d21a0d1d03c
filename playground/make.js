// A generation from the form: the request, the countdown, the wait, and retries that are not paid again.

import * as api from "./api.js";
import * as chain from "./chain.js";
import * as choices from "./choices.js";
import * as inputs from "./inputs.js";
import * as mask from "./mask.js";
import * as messages from "./messages.js";
import * as result from "./result.js";
import { announce, byId, pause, toast } from "./dom.js";

const LOST_TRIES = 3;
const LOST_PAUSE = 1500;
const POLL_PAUSE = 1000;

let running = null;
let hooks = {};
let longestPrompt = 32000;

/** `finished`, `sessionEnded` and `edit` are called at these events. */
export function setup(given) {
  hooks = given;
  byId("make").addEventListener("submit", (event) => { event.preventDefault(); press(); });
  byId("cancel").addEventListener("click", cancel);
  byId("stop-waiting").addEventListener("click", stopWaiting);
}

export const limitPrompt = (characters) => { longestPrompt = characters; };

async function press() {
  if (running) return;
  const prompt = byId("prompt").value;
  byId("prompt-problem").textContent = "";
  if (inputs.addressIsWaiting() && !inputs.takeAddress()) return;
  const from = chain.chosen();
  if (!from && inputs.none()) { inputs.ask(); byId("files").focus(); return; }
  if (!prompt.trim()) { askPrompt("Describe what the image should become."); return; }
  const characters = [...prompt].length; // as the API counts: an emoji is one
  if (characters > longestPrompt) { askPrompt(`The text has ${characters.toLocaleString("en")} characters; ${longestPrompt.toLocaleString("en")} are the most.`); return; }
  const asked = { prompt, ...choices.chosen() };
  if (from) asked.from = from.id;
  const images = inputs.chosen();
  const part = mask.dataUrl(from ?? images[0]);
  if (part) asked.mask = part;
  // The idempotency key belongs to this press of the button: retries with it are paid once.
  await run(asked, crypto.randomUUID(), images, from?.preview);
}

function askPrompt(text) {
  byId("prompt-problem").textContent = text;
  byId("prompt").focus();
}

/** Run a generation. `before` is the URL of the edited image, by default that of the first source. */
async function run(asked, key, sources, before = sources[0].preview) {
  if (running) return;
  const mine = { stop: new AbortController() };
  const { signal } = mine.stop;
  running = mine;
  begin();
  try {
    const images = await inputs.forRequest(sources, (call) => patiently(call, signal));
    const made = await untilFinished({ ...asked, images }, key, signal);
    if (signal.aborted) { hooks.finished(); return; }
    if (made.status === "canceled") { canceled(made); return; }
    if (made.status === "failed") throw new api.ApiError(200, made.error, null);
    finish();
    result.show({ ...made, prompt: asked.prompt }, before, hooks.edit);
    announce("Your image is ready");
    // The focus moves to the result unless the user is typing.
    if (!document.activeElement.matches("input, textarea, select")) byId("result-title").focus();
    hooks.finished();
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof api.ApiError)) throw error;
    if (error.code === "canceled" && !signal.aborted) {
      canceled(await api.detailsOf(error.body.id).catch(() => ({ usage: error.body.usage })));
      return;
    }
    failed(error, signal.aborted, () => run(asked, key, sources, before));
  }
}

/** Show an error. With `left` the user has stopped waiting, and the panel may show something else. */
function failed(error, left, again) {
  const { title, advice, again: sensible } = messages.words(error);
  if (!left) finish();
  if (error.status === 401) {
    if (!left) messages.show(byId("problem"), error, { label: "Sign in", run: () => hooks.sessionEnded(again) });
    hooks.sessionEnded(again);
    return;
  }
  const action = sensible ? { label: "Try again", run: again } : null;
  if (left) toast(`An earlier generation failed. ${title}. ${advice}`, action, 10);
  else messages.show(byId("problem"), error, action);
  hooks.finished();
}

/** Return the generation after its end, with retries when the connection is lost. */
async function untilFinished(request, key, signal) {
  // "Stop waiting" does not abort this call: the generation would not begin.
  const began = await patiently(() => api.generate(request, key), signal);
  if (signal.aborted) return began;
  if (began.status !== "running") return { ...began, ...(await patiently(() => api.detailsOf(began.id), signal, busyToo)) };
  countDown(began.expectedSeconds);
  mayCancel(began.id);
  let state = began;
  while (state.status === "running") {
    // A proxy may answer before the requested wait is over: without a pause the calls would follow at once.
    if (state !== began) await pause(POLL_PAUSE);
    state = await patiently(() => api.generation(began.id, signal), signal, busyToo);
  }
  return state;
}

const lost = (error) => error.status === 0 && error.code === "offline";
/** Whether a read of the state may be retried: the generation runs regardless. */
const busyToo = (error) => lost(error) || error.status === 429 || error.status >= 500;

async function patiently(call, signal, passes = lost) {
  for (let tries = 1; ; tries += 1) {
    try {
      const answer = await call();
      if (!signal.aborted) byId("lost").textContent = "";
      return answer;
    } catch (error) {
      if (!passes(error) || tries === LOST_TRIES) throw error;
      if (!signal.aborted) byId("lost").textContent = "The connection was lost; trying again …";
      await pause(LOST_PAUSE * tries);
    }
  }
}

let ticking = 0;

function countDown(expected) {
  const began = Date.now();
  let late = false;
  const tick = () => {
    const passed = (Date.now() - began) / 1000;
    const left = Math.ceil(expected - passed);
    if (left > 0) {
      byId("progress").value = passed / expected;
      byId("countdown").textContent = `About ${left} s left`;
      return;
    }
    byId("countdown").textContent = `Longer than usual: ${Math.floor(passed)} s so far. It continues.`;
    if (late) return;
    late = true;
    byId("progress").removeAttribute("value"); // an indeterminate bar
    announce("It takes longer than usual. It continues.");
  };
  clearInterval(ticking);
  ticking = setInterval(tick, 250);
  tick();
  byId("leave-hint").textContent = "You may leave this page: the image will be in your history.";
  announce(`About ${expected} seconds`);
}

function begin() {
  // The focused element may be hidden.
  if (byId("stage").contains(document.activeElement)) byId("result-title").focus();
  busy(true);
  byId("empty").hidden = true;
  byId("problem").hidden = true;
  byId("result").hidden = true;
  byId("lost").textContent = "";
  byId("countdown").textContent = "Sending …";
  byId("leave-hint").textContent = "Stay until it is sent.";
  byId("progress").removeAttribute("value");
  byId("cancel").hidden = true;
  resetCancel();
  byId("waiting").scrollIntoView({ block: "nearest" });
}

function busy(now) {
  // Not `disabled`, which would remove the focus.
  byId("go").setAttribute("aria-disabled", String(now));
  byId("go").textContent = now ? "Generating …" : "Generate";
  byId("waiting").hidden = !now;
}

function finish() {
  clearInterval(ticking);
  running = null;
  busy(false);
}

function mayCancel(id) {
  running.id = id;
  byId("cancel").hidden = false;
}

/** Cancel the generation. `run` shows the end. */
async function cancel() {
  const { id, stop } = running;
  if (running.canceling) return;
  running.canceling = true;
  byId("cancel").setAttribute("aria-disabled", "true");
  byId("cancel").textContent = "Canceling …";
  try {
    await patiently(() => api.cancel(id), stop.signal);
  } catch (error) {
    if (!(error instanceof api.ApiError)) throw error;
    if (running?.id !== id) return;
    running.canceling = false;
    resetCancel();
    toast(`It was not canceled. ${messages.words(error).title}`, { label: "Try again", run: cancel }, 10);
  }
}

function resetCancel() {
  byId("cancel").removeAttribute("aria-disabled");
  byId("cancel").textContent = "Cancel";
}

function canceled(made) {
  finish();
  byId("empty").hidden = false;
  byId("result-title").focus();
  toast(`Canceled. Cost: ${result.costOfCanceled(made)}`, null, 10);
  hooks.finished();
}

/** Stop waiting; the generation continues. */
function stopWaiting() {
  running.stop.abort();
  finish();
  byId("empty").hidden = false;
  byId("result-title").focus();
  toast("It continues, and will be in your history");
  hooks.finished();
}
