// The session. config.json has the URLs: a development sign-in, or the front end's.

import { byId, dollars, element } from "./dom.js";
import * as api from "./api.js";

let config = null;
/** Called when the user has signed in again. */
let onReturn = [];
let changed = () => undefined;

/** Return whether a user is signed in. `onChange` is called when another user has signed in. */
export async function setup(onChange) {
  changed = onChange;
  config = await (await fetch("config.json")).json();
  byId("sign-in").action = config.signIn;
  byId("sign-out").action = config.signOut;
  const user = await who();
  byId("signed-out").hidden = user !== null;
  byId("workshop").hidden = user === null;
  byId("sign-out").hidden = user === null;
  byId("sign-in").hidden = !config.signInWithName;
  byId("sign-in-elsewhere").hidden = config.signInWithName;
  byId("sign-in-elsewhere").querySelector("a").href = config.signIn;
  byId("who").textContent = user ?? "";
  window.addEventListener("focus", () => { if (onReturn.length > 0) signedInAgain(); });
  byId("ended").addEventListener("cancel", () => { onReturn = []; });
  return user !== null;
}

async function who() {
  try {
    const answer = await fetch(config.session, { credentials: "same-origin", cache: "no-store" });
    const { user } = await answer.json();
    return user ? (user.name ?? user.email ?? "you") : null;
  } catch {
    return null;
  }
}

/** Return whether the user has signed in again, and then call what waits for it. */
async function signedInAgain() {
  const user = await who();
  if (user === null) return false;
  if (user !== byId("who").textContent) changed();
  byId("who").textContent = user;
  byId("ended").close();
  for (const again of onReturn.splice(0)) again();
  return true;
}

/** Ask the user to sign in without leaving the page, then call `again`. */
export function ended(again) {
  if (!onReturn.includes(again)) onReturn.push(again);
  if (byId("ended").open) return;
  const form = byId("ended-form");
  byId("ended-problem").textContent = "";
  if (config.signInWithName) {
    const name = element("input", { id: "ended-name", name: "name", value: byId("who").textContent, maxLength: 100 });
    form.replaceChildren(element("form", { onsubmit: (event) => { event.preventDefault(); signInHere(name.value); } },
      element("label", { for: "ended-name", textContent: "Your name" }), name,
      element("p", { className: "actions" }, element("button", { className: "primary", textContent: "Sign in" }))));
  } else {
    form.replaceChildren(element("a", { className: "button primary", href: config.signIn, target: "_blank", rel: "noopener", textContent: "Sign in" }));
  }
  byId("ended").showModal();
}

async function signInHere(name) {
  // The response redirects to this page, which is open already.
  const answer = fetch(`${config.signIn}?${new URLSearchParams({ name })}`, { redirect: "manual" });
  await answer.catch(() => undefined);
  if (!await signedInAgain()) byId("ended-problem").textContent = "That did not work. Check the connection, and try again.";
}

/** Show what was spent today, and the remaining budget. */
export async function showSpending() {
  try {
    const { today, budget } = await api.usage();
    const left = budget ? ` · ${dollars(budget.remainingUsd)} left` : "";
    byId("spent").textContent = `Today ${dollars(today.costUsd)}, ${today.images} ${today.images === 1 ? "image" : "images"}${left}`;
    byId("spent").hidden = false;
  } catch (error) {
    if (error.status === 401) ended(showSpending);
    else byId("spent").hidden = true;
  }
}
