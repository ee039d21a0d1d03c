// The history: a gallery, the details of each, and deleting with five seconds to think again.

import * as api from "./api.js";
import { actions, facts } from "./result.js";
import { byId, dollars, element, thumb, toast } from "./dom.js";
import { words } from "./messages.js";

const UNDO_SECONDS = 5;

let hooks = {};
let continuation = null;
const leaving = new Map();

/** `edit`, `failed` and `seen` are what other parts do then. */
export function setup(given) {
  hooks = given;
  byId("more").addEventListener("click", () => load(true));
  // What was deleted and not undone goes with the page.
  window.addEventListener("pagehide", () => { for (const id of leaving.keys()) api.remove(id, true).catch(() => undefined); });
}

/** The newest page of the history, or the next one behind those that are shown. */
export async function load(next = false) {
  let page;
  try {
    page = await api.history(next ? continuation : null);
  } catch (error) {
    hooks.failed(error);
    return;
  }
  continuation = page.continuation;
  const cards = page.items.filter((item) => !leaving.has(item.id)).map(card);
  if (next) byId("gallery").append(...cards);
  else byId("gallery").replaceChildren(...cards);
  byId("more").hidden = continuation === null;
  byId("history-empty").hidden = byId("gallery").children.length > 0;
  const pictured = page.items.find((item) => item.imageUrl);
  if (pictured) hooks.seen(pictured.imageUrl);
}

function card(item) {
  const state = { running: "being made …", failed: item.error ? words(item.error).title : "failed" }[item.status];
  const cost = item.usage?.costUsd === undefined ? "" : `${dollars(item.usage.costUsd)} · `;
  const open = element("button", { type: "button", onclick: () => details(item) },
    thumb(item.imageUrl, "", state ?? "gone"),
    element("span", { className: "caption", textContent: item.prompt }),
    element("span", { className: "note", textContent: state ?? `${cost}${new Date(item.createdAt).toLocaleDateString()}` }));
  const made = element("li", { className: "card" }, open);
  made.dataset.id = item.id;
  return made;
}

async function details(item) {
  const dialog = byId("details");
  const close = () => dialog.close();
  let made = item;
  try {
    made = await api.detailsOf(item.id);
  } catch (error) {
    hooks.failed(error);
    return;
  }
  const parts = [element("div", { className: "head" },
    element("h2", { id: "details-title", textContent: made.status === "succeeded" ? "Picture" : words(made.error ?? {}).title }),
    element("button", { type: "button", className: "quiet", textContent: "Close", onclick: close }))];
  if (made.imageUrl) parts.push(element("img", { className: "picture", src: made.imageUrl, alt: `Result: ${made.prompt}` }));
  if (made.inputs?.length) {
    parts.push(element("ul", { className: "strip", "aria-label": "Made from" },
      ...made.inputs.map((copy, index) => element("li", {}, thumb(`/api/images/${copy.name}`, `Input ${index + 1}`, "gone")))));
  }
  parts.push(element("p", { className: "words", textContent: made.prompt.slice(0, 2000) }));
  if (made.imageUrl) parts.push(actions(made, (chosen) => { close(); hooks.edit(chosen); }));
  parts.push(facts(made));
  if (made.status !== "running") {
    parts.push(element("p", { className: "actions" },
      element("button", { type: "button", textContent: "Delete", onclick: () => { close(); remove(made.id); } })));
  }
  dialog.replaceChildren(...parts);
  dialog.showModal();
}

/** Hidden at once; the call is made when the time for undoing is over. */
function remove(id) {
  const hidden = byId("gallery").querySelector(`[data-id="${CSS.escape(id)}"]`);
  hidden?.classList.add("going");
  const timer = setTimeout(async () => {
    leaving.delete(id);
    try {
      await api.remove(id);
      hidden?.remove();
    } catch (error) {
      if (error.status === 404) hidden?.remove();
      else { hidden?.classList.remove("going"); hooks.failed(error); }
    }
    byId("history-empty").hidden = byId("gallery").children.length > 0;
  }, UNDO_SECONDS * 1000);
  leaving.set(id, timer);
  toast("Deleted", { label: "Undo", run: () => { clearTimeout(timer); leaving.delete(id); hidden?.classList.remove("going"); } }, UNDO_SECONDS);
}
