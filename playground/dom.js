// Functions on the DOM that all parts use.

export const byId = (id) => document.getElementById(id);

/** A new element with properties (`aria-…` and `for` as attributes) and children. */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("aria-") || key === "for") made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children);
  return made;
}

/** Announce a text to screen readers, in the open dialog if there is one: the rest of the page is inert. */
export function announce(text) {
  (document.querySelector("dialog[open] .live") ?? byId("live")).textContent = text;
}

/**
 * Show a message for `seconds`. `action` is a button whose `run` is called if it is pressed, otherwise `otherwise`, which gets
 * whether the message had the focus. Return a function that closes the message early.
 */
export function toast(text, action, seconds = 5) {
  const made = element("div", { className: "toast" }, element("span", { textContent: text }));
  const close = () => {
    const focused = made.contains(document.activeElement);
    clearTimeout(timer);
    made.remove();
    return focused;
  };
  if (action) made.append(element("button", { type: "button", textContent: action.label, onclick: () => { close(); action.run(); } }));
  // Behind an open dialog it would be inert.
  const home = document.querySelector("dialog[open]") ?? document.body;
  if (byId("toasts").parentElement !== home) home.append(byId("toasts"));
  byId("toasts").append(made);
  const timer = setTimeout(() => { const focused = close(); action?.otherwise?.(focused); }, seconds * 1000);
  announce(text);
  return close;
}

/** Move the messages out of a dialog when it is closed. */
export function keepToasts() {
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("close", () => { if (dialog.contains(byId("toasts"))) document.body.append(byId("toasts")); });
  }
}

export const pause = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

export const dollars = (amount) => (amount === null || amount === undefined ? "unknown" : `$${amount.toFixed(amount < 0.1 && amount > 0 ? 3 : 2)}`);

/** Return an image, or a tile with `fallback` if the browser cannot show it (HEIC, a deleted image). */
export function thumb(source, alt, fallback) {
  const tile = element("span", { className: "thumb" });
  const instead = () => tile.replaceChildren(element("span", { textContent: fallback }));
  if (source) tile.append(element("img", { src: source, alt, loading: "lazy", onerror: instead }));
  else instead();
  return tile;
}

/** Return the URL of an image on the page's own origin: browsers do not download from another one. */
export const ownAddress = (url) => `/api/images/${url.split("/").pop()}`;
