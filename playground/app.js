// Puts the parts of the page together.

import * as chain from "./chain.js";
import * as choices from "./choices.js";
import * as editor from "./editor.js";
import * as estimate from "./estimate.js";
import * as gallery from "./gallery.js";
import * as inputs from "./inputs.js";
import * as make from "./make.js";
import * as mask from "./mask.js";
import * as session from "./session.js";
import { byId, element, keepToasts, toast } from "./dom.js";
import { words } from "./messages.js";

const SUGGESTIONS = [
  "a watercolor painting of it",
  "a pencil sketch on white paper",
  "the same scene at night, in the rain",
  "a pixel art icon",
  "remove the background",
];

let withdrawUndo = () => undefined;

/** Continue from an image that was made. What was chosen and typed before can be restored. */
function edit(made) {
  const prompt = byId("prompt");
  const typed = prompt.value;
  inputs.knowStorage(made.imageUrl);
  const restore = [inputs.clear(), chain.continueFrom(made)];
  prompt.value = "";
  prompt.focus();
  const undo = () => {
    for (const each of restore) each();
    prompt.value = typed;
    prompt.focus();
  };
  withdrawUndo(); // it would restore what was before another edit
  withdrawUndo = toast("Say what to change: the next edit continues from this image", { label: "Undo", run: undo }, 10);
}

/** `again` is what goes on after signing in; `before` says what this means. */
function failed(error, again = refresh, before = "") {
  if (error.status === 401) session.ended(again);
  else toast(`${before}${words(error).title}. ${words(error).advice}`, undefined, 8);
}

/** What the next press of the button would send has changed. */
function changed() {
  const from = chain.chosen();
  byId("prompt-label").textContent = from ? "What should change?" : "What should it become?";
  byId("prompt").placeholder = from ? "make the sky darker" : "a watercolor painting of it";
  const first = from ?? inputs.chosen()[0] ?? null;
  mask.show(first);
  const part = first && mask.dataUrl(first);
  choices.keepShape(Boolean(part));
  // The words hardly change the cost, and there may be none yet.
  const request = from && { from: from.id, prompt: byId("prompt").value.trim() || "edit", ...(part && { mask: part }), ...choices.chosen() };
  estimate.show(request, !inputs.none());
}

function refresh() {
  gallery.load();
  chain.refresh();
  session.showSpending();
}

function suggest() {
  byId("suggestions").replaceChildren(...SUGGESTIONS.map((text) =>
    element("li", {}, element("button", { type: "button", textContent: text, onclick: () => use(text) }))));
}

/** Instead of another suggestion, and behind what somebody wrote. */
function use(suggestion) {
  const prompt = byId("prompt");
  const typed = prompt.value.trim();
  prompt.value = typed === "" || SUGGESTIONS.includes(typed) ? suggestion : `${typed}, ${suggestion}`;
  prompt.focus();
}

async function offer() {
  try {
    make.limitPrompt((await choices.load()).maxPromptCharacters);
  } catch (error) {
    failed(error);
  }
}

/** What was deleted a moment ago belongs to the session that ends now. */
byId("sign-out").addEventListener("submit", async (event) => {
  event.preventDefault();
  await gallery.settle();
  event.target.submit();
});
keepToasts();
inputs.setup(changed);
chain.setup({ changed, failed });
choices.setup(changed);
mask.setup({ changed });
editor.setup();
suggest();
make.setup({ edit, finished: refresh, sessionEnded: session.ended });
gallery.setup({ edit, failed, seen: inputs.knowStorage, finished: session.showSpending, deleted: chain.deleted });
session.setup(() => { chain.leave(); refresh(); }).then(
  (signedIn) => { if (signedIn) { offer(); refresh(); } },
  () => toast("The page did not arrive whole. Is there a connection?", { label: "Load it again", run: () => location.reload() }, 3600),
);
