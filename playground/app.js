// Puts the parts of the page together.

import * as choices from "./choices.js";
import * as gallery from "./gallery.js";
import * as inputs from "./inputs.js";
import * as make from "./make.js";
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

/** A picture that was made becomes what the next one is made from. What was there instead can be had back. */
function edit(made) {
  const prompt = byId("prompt");
  const typed = prompt.value;
  inputs.knowStorage(made.imageUrl);
  const back = inputs.replaceAll(made.imageUrl);
  prompt.value = "";
  prompt.focus();
  toast("It is the input now: say what to change", { label: "Undo", run: () => { back(); prompt.value = typed; prompt.focus(); } }, 10);
}

/** `again` is what goes on after signing in; `before` says what this means. */
function failed(error, again = refresh, before = "") {
  if (error.status === 401) session.ended(again);
  else toast(`${before}${words(error).title}. ${words(error).advice}`, undefined, 8);
}

function refresh() {
  gallery.load();
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
inputs.setup();
suggest();
make.setup({ edit, finished: refresh, sessionEnded: session.ended });
gallery.setup({ edit, failed, seen: inputs.knowStorage, finished: session.showSpending });
session.setup(refresh).then(
  (signedIn) => { if (signedIn) { offer(); refresh(); } },
  () => toast("The page did not arrive whole. Is there a connection?", { label: "Load it again", run: () => location.reload() }, 3600),
);
