// The composition root of the page.

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

/** Continue from an earlier image. The user can restore what was chosen and typed before. */
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
  withdrawUndo(); // it would restore the state before an earlier edit
  withdrawUndo = toast("Say what to change: the next edit continues from this image", { label: "Undo", run: undo }, 10);
}

/** Show an error. `again` is called after signing in; `before` is shown before the error's title. */
function failed(error, again = refresh, before = "") {
  if (error.status === 401) session.ended(again);
  else toast(`${before}${words(error).title}. ${words(error).advice}`, undefined, 8);
}

/** Update the form after a change of the next request. */
function changed() {
  const from = chain.chosen();
  byId("prompt-label").textContent = from ? "What should change?" : "What should it become?";
  byId("prompt").placeholder = from ? "make the sky darker" : "a watercolor painting of it";
  const first = from ?? inputs.chosen()[0] ?? null;
  mask.show(first);
  const part = first && mask.dataUrl(first);
  choices.keepShape(Boolean(part));
  // The prompt hardly changes the cost, and may be empty.
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

/** Replace another suggestion, or append to the text that the user has typed. */
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

/** Deletions that can still be undone are made before the session ends. */
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
  () => toast("The page could not be loaded completely. Check the connection.", { label: "Load it again", run: () => location.reload() }, 3600),
);
