// Who is signed in. The addresses are in config.json: a development sign-in here, the front end's own elsewhere.

import { byId, dollars, element } from "./dom.js";
import * as api from "./api.js";

let config = null;
let onReturn = null;

/** Whether somebody is signed in. NextAuth answers `{}` where nobody is. */
export async function setup() {
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
  if (user !== null) byId("who").textContent = user;
  window.addEventListener("focus", async () => { if (onReturn && (await who()) !== null) back(); });
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

function back() {
  const again = onReturn;
  onReturn = null;
  byId("ended").close();
  again?.();
}

/** The session ended meanwhile: sign in without leaving the page, then `again`. */
export function ended(again) {
  if (byId("ended").open) return; // what was to go on first goes on
  onReturn = again ?? (() => undefined);
  const form = byId("ended-form");
  if (config.signInWithName) {
    const name = element("input", { id: "ended-name", name: "name", value: byId("name").value, maxLength: 100 });
    const made = element("form", { onsubmit: async (event) => {
      event.preventDefault();
      // The answer leads back to this page, which is here already.
      await fetch(`${config.signIn}?${new URLSearchParams({ name: name.value })}`, { redirect: "manual" });
      if ((await who()) !== null) back();
    } }, element("label", { for: "ended-name", textContent: "Your name" }), name,
    element("p", { className: "actions" }, element("button", { className: "primary", textContent: "Sign in" })));
    form.replaceChildren(made);
  } else {
    form.replaceChildren(element("a", { className: "button primary", href: config.signIn, target: "_blank", rel: "noopener", textContent: "Sign in" }));
  }
  byId("ended").showModal();
}

/** What was spent today, and what is left. */
export async function showSpending() {
  try {
    const { today, budget } = await api.usage();
    const left = budget ? ` · ${dollars(budget.remainingUsd)} left` : "";
    byId("spent").textContent = `Today ${dollars(today.costUsd)}, ${today.images} ${today.images === 1 ? "picture" : "pictures"}${left}`;
    byId("spent").hidden = false;
  } catch (error) {
    if (error.status === 401) ended();
    else byId("spent").hidden = true;
  }
}
