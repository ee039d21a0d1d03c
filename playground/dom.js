// Small things that every part needs of the page.

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

/** Announce to people who do not see the page. While a dialog is open the rest of the page is inert, and silent. */
export function announce(text) {
  (document.querySelector("dialog[open] .live") ?? byId("live")).textContent = text;
}

/**
 * A message that goes by itself after `seconds`, with an action until then: `run` if it is chosen, else `otherwise`, which gets
 * whether the focus went with the message. Return what takes it away early.
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
  // Behind an open dialog it would be dimmed and out of reach.
  const home = document.querySelector("dialog[open]") ?? document.body;
  if (byId("toasts").parentElement !== home) home.append(byId("toasts"));
  byId("toasts").append(made);
  const timer = setTimeout(() => { const focused = close(); action?.otherwise?.(focused); }, seconds * 1000);
  announce(text);
  return close;
}

/** With a dialog its messages would go. */
export function keepToasts() {
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("close", () => { if (dialog.contains(byId("toasts"))) document.body.append(byId("toasts")); });
  }
}

export const pause = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

export const dollars = (amount) => (amount === null || amount === undefined ? "unknown" : `$${amount.toFixed(amount < 0.1 && amount > 0 ? 3 : 2)}`);

/** An image, or a tile with words where the browser cannot show it (HEIC, an image that is gone). */
export function thumb(source, alt, fallback) {
  const tile = element("span", { className: "thumb" });
  const instead = () => tile.replaceChildren(element("span", { textContent: fallback }));
  if (source) tile.append(element("img", { src: source, alt, loading: "lazy", onerror: instead }));
  else instead();
  return tile;
}

/** The address of an image on the page's own origin: browsers do not download from another one. */
export const ownAddress = (url) => `/api/images/${url.split("/").pop()}`;
