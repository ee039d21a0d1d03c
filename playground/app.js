// Puts the parts of the page together.

import * as api from "./api.js";
import * as gallery from "./gallery.js";
import * as inputs from "./inputs.js";
import * as make from "./make.js";
import * as session from "./session.js";
import { byId, element, toast } from "./dom.js";
import { words } from "./messages.js";

const SUGGESTIONS = [
  "a watercolor painting of it",
  "a pencil sketch on white paper",
  "the same scene at night, in the rain",
  "a pixel art icon",
  "remove the background",
];

/** A picture that was made becomes what the next one is made from. */
function edit(made) {
  inputs.replaceAll(made.imageUrl);
  byId("prompt").value = "";
  byId("prompt").focus();
  toast("It is the input now: say what to change");
}

function failed(error) {
  if (error.status === 401) session.ended(refresh);
  else toast(`${words(error).title}. ${words(error).advice}`);
}

function refresh() {
  gallery.load();
  session.showSpending();
}

function suggest() {
  byId("suggestions").replaceChildren(...SUGGESTIONS.map((text) =>
    element("li", {}, element("button", { type: "button", textContent: text, onclick: () => { byId("prompt").value = text; byId("prompt").focus(); } }))));
}

async function offer() {
  try {
    const { models, shapes, prompt } = await api.choices();
    byId("model").append(...models.map((name) => element("option", { value: name, textContent: name })));
    byId("aspect").append(...shapes.map((name) => element("option", { value: name, textContent: name })));
    make.limitPrompt(prompt);
  } catch (error) {
    failed(error);
  }
}

inputs.setup();
suggest();
make.setup({ edit, finished: refresh, sessionEnded: session.ended });
gallery.setup({ edit, failed, seen: inputs.knowStorage });
if (await session.setup()) {
  offer();
  refresh();
}
