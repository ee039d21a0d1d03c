// The history: a gallery, the details of each generation, and deletion that can be undone for five seconds.

import * as api from "./api.js";
import * as messages from "./messages.js";
import { actions, costOfCanceled, facts, short } from "./result.js";
import { announce, byId, dollars, element, pause, thumb, toast } from "./dom.js";

const UNDO_SECONDS = 5;
// Short, because a browser has only six connections.
const CHECK_SECONDS = 5;
const CHECK_PAUSE = 1000;
const LOST_PAUSE = 5000;

let hooks = {};
let continuation = null;
let loads = 0;
/** Deletions that can still be undone: the id, and a function that closes the message. */
const leaving = new Map();

/** `edit`, `failed`, `seen`, `finished` and `deleted` are called at these events. */
export function setup(given) {
  hooks = given;
  byId("more").addEventListener("click", () => load(true));
  window.addEventListener("pagehide", settle);
  // The browser may restore the page from its back/forward cache.
  window.addEventListener("pageshow", (event) => { if (event.persisted) load(); });
  byId("details").addEventListener("close", () => {
    if (document.activeElement === document.body) focusOn(cardOf(byId("details").dataset.id));
  });
}

const cardOf = (id) => byId("gallery").querySelector(`[data-id="${CSS.escape(id)}"]`);
const focusOn = (card) => (card?.querySelector("button") ?? byId("history-title")).focus();

/** Load the newest page of the history, or the next older one. */
export async function load(next = false) {
  loads += 1;
  const mine = loads;
  let page;
  try {
    page = await api.history(next ? continuation : null);
  } catch (error) {
    hooks.failed(error);
    return;
  }
  if (mine !== loads) return; // a later call has replaced this one
  const cards = page.items.map(card);
  const before = [...byId("gallery").children];
  const oldest = page.items.at(-1)?.createdAt ?? "";
  const older = page.continuation && !next ? before.filter((each) => each.dataset.created < oldest) : [];
  if (older.length === 0) continuation = page.continuation;
  show(next ? [...before, ...cards] : [...cards, ...older]);
  if (next && cards.length > 0) focusOn(cards[0]);
  const finished = page.items.find((item) => item.imageUrl);
  if (finished) hooks.seen(finished.imageUrl);
  watch();
}

function show(cards) {
  const focused = document.activeElement.closest?.(".card")?.dataset.id;
  byId("gallery").replaceChildren(...cards);
  if (focused) focusOn(cardOf(focused));
  byId("more").hidden = continuation === null;
  sayEmpty();
}

const sayEmpty = () => { byId("history-empty").hidden = byId("gallery").querySelector(".card:not([hidden])") !== null; };

function card(item) {
  const state = { running: "being made …", canceled: "canceled", failed: item.error ? messages.words(item.error).title : "failed" }[item.status];
  const cost = item.usage?.costUsd === undefined ? "" : `${dollars(item.usage.costUsd)} · `;
  const open = element("button", { type: "button", onclick: () => details(item.id) },
    thumb(item.thumbnailUrl ?? item.imageUrl, "", state ?? "gone"),
    element("span", { className: "caption", textContent: short(item.prompt) }),
    element("span", { className: "note", textContent: `${cost}${new Date(item.createdAt).toLocaleDateString()}` }));
  const made = element("li", { className: "card", hidden: leaving.has(item.id) }, open);
  Object.assign(made.dataset, { id: item.id, status: item.status, created: item.createdAt });
  return made;
}

let watching = false;

/** Update the cards of running generations when they end. */
async function watch() {
  if (watching) return;
  watching = true;
  for (let made; (made = byId("gallery").querySelectorAll("[data-status=running]")).length > 0;) {
    for (const { dataset: { id } } of made) if (!await check(id)) { watching = false; return; }
    await pause(CHECK_PAUSE);
  }
  watching = false;
}

/** Update one running generation. Return whether to continue. */
async function check(id) {
  try {
    const state = await api.generation(id, undefined, CHECK_SECONDS);
    if (state.status === "running" || !cardOf(id)) return true;
    show([...byId("gallery").children].map((each) => (each.dataset.id === id ? card(state) : each)));
    announce(`An image of your history ${{ succeeded: "is ready", canceled: "was canceled" }[state.status] ?? "failed"}`);
    hooks.finished();
  } catch (error) {
    if (error.status === 401) return false;
    if (error.status === 404) cardOf(id)?.remove();
    else await pause(LOST_PAUSE);
  }
  return true;
}

async function details(id) {
  const dialog = byId("details");
  const close = () => dialog.close();
  let made;
  try {
    made = await api.detailsOf(id);
  } catch (error) {
    hooks.failed(error, () => details(id));
    if (error.status === 404) load();
    return;
  }
  if (dialog.open) return; // a double click
  const title = { succeeded: "Image", running: "Being made", canceled: "Canceled" }[made.status] ?? "No image";
  const parts = [element("div", { className: "head" },
    element("h2", { id: "details-title", textContent: title }),
    element("button", { type: "button", className: "quiet", textContent: "Close", onclick: close }))];
  if (made.error && made.status !== "canceled") {
    parts.push(element("div", { className: "problem" }));
    messages.show(parts.at(-1), new api.ApiError(200, made.error, null), null);
  }
  if (made.imageUrl) parts.push(element("img", { className: "image", src: made.imageUrl, alt: `Result: ${short(made.prompt)}` }));
  if (made.inputs?.length) {
    parts.push(element("ul", { className: "strip", role: "list", "aria-label": "Made from" },
      ...made.inputs.map((copy, index) => element("li", {}, thumb(`/api/images/${copy.name}?w=320&format=webp`, `Input ${index + 1}`, "gone")))));
  }
  parts.push(element("p", { className: "words", textContent: short(made.prompt) }));
  if (short(made.prompt) !== made.prompt) {
    parts.push(element("details", {}, element("summary", { textContent: "The whole text" }), element("p", { className: "words", textContent: made.prompt })));
  }
  if (made.imageUrl) parts.push(actions(made, (chosen) => { close(); hooks.edit(chosen); }));
  parts.push(facts(made));
  if (made.status === "running") {
    parts.push(element("p", { className: "actions" },
      element("button", { type: "button", textContent: "Cancel", onclick: () => { close(); cancel(id); } })));
  } else {
    parts.push(element("p", { className: "actions" },
      element("button", { type: "button", textContent: "Delete", onclick: () => { close(); remove(id); } })));
  }
  byId("details-parts").replaceChildren(...parts);
  dialog.dataset.id = id;
  dialog.showModal();
}

/** Cancel a generation. Its card is updated by `watch`. */
async function cancel(id) {
  try {
    const made = await api.cancel(id);
    if (made.status === "canceled") toast(`Canceled. Cost: ${costOfCanceled(made)}`, null, 10);
  } catch (error) {
    hooks.failed(error, () => cancel(id), "It was not canceled. ");
  }
}

/** Hide a generation at once, and delete it when it can no longer be undone. */
function remove(id) {
  hide(id, true);
  const undo = () => { leaving.delete(id); hide(id, false); focusOn(cardOf(id)); };
  const otherwise = (focused) => {
    if (focused) focusOn(visibleNextTo(cardOf(id)));
    destroy(id);
  };
  leaving.set(id, toast("Deleted", { label: "Undo", run: undo, otherwise }, UNDO_SECONDS));
  byId("toasts").lastElementChild.querySelector("button").focus();
}

function hide(id, hidden) {
  const made = cardOf(id);
  if (made) made.hidden = hidden;
  sayEmpty();
}

function visibleNextTo(made) {
  const cards = [...byId("gallery").children].filter((each) => each === made || !each.hidden);
  const place = cards.indexOf(made);
  return cards[place + 1] ?? cards[place - 1];
}

async function destroy(id) {
  let failure;
  try {
    await api.remove(id);
  } catch (error) {
    if (error.status !== 404) failure = error;
  }
  leaving.delete(id);
  if (!failure) hooks.deleted(id);
  if (failure) {
    hide(id, false);
    hooks.failed(failure, () => destroy(id), "It was not deleted. ");
    return;
  }
  cardOf(id)?.remove();
  sayEmpty();
}

/** Make all deletions that were not undone, before the page or the session ends. */
export function settle() {
  return Promise.all([...leaving].map(([id, close]) => { close(); return destroy(id); }));
}
