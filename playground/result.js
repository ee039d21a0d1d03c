// The result: the comparison with the original, the actions and the facts.

import { explained } from "./messages.js";
import { byId, dollars, element, ownAddress, toast } from "./dom.js";

const SHORT = 200;
/** Shorten a prompt to a caption or an alternative text. */
export const short = (prompt) => (prompt.length > SHORT ? `${prompt.slice(0, SHORT)} …` : prompt);

/** Show a successful generation. `before` is the URL of the first input, null if the page may not show it. */
export function show(made, before, editAgain) {
  const place = byId("result");
  const after = element("img", { className: "after", src: made.imageUrl, alt: `Result: ${short(made.prompt)}` });
  const stage = element("div", { className: "compare" }, after);
  const parts = [stage];
  // Every browser can show the API's copy of an input, which is on the page's own origin.
  const originals = [before, made.inputs?.[0] && `/api/images/${made.inputs[0].name}`].filter(Boolean);
  if (originals.length > 0) parts.push(comparison(stage, originals));
  parts.push(actions(made, editAgain));
  if (made.text) parts.push(element("p", { className: "words", textContent: made.text }));
  parts.push(facts(made));
  place.replaceChildren(...parts);
  place.hidden = false;
}

function comparison(stage, originals) {
  const slider = element("input", { type: "range", id: "split", min: 0, max: 100, value: 0 });
  const split = () => {
    stage.style.setProperty("--split", `${slider.value}%`);
    slider.setAttribute("aria-valuetext", `${slider.value} % of what it was made from`);
  };
  const original = element("img", { className: "before", src: originals.shift(), alt: "What it was made from" });
  const row = element("div", { className: "slider" }, element("label", { for: "split", textContent: "Compare" }), slider);
  const edge = element("span", { className: "edge" });
  original.onerror = () => {
    if (originals.length > 0) { original.src = originals.shift(); return; }
    original.remove();
    edge.remove();
    row.remove();
  };
  stage.append(original, edge);
  slider.oninput = split;
  split();
  return row;
}

/** Return the actions of a result or of an entry of the history: download, copy, edit. */
export function actions(made, editAgain) {
  const name = made.imageUrl.split("/").pop();
  const download = element("a", { className: "button", href: ownAddress(made.imageUrl), download: name, textContent: "Download" });
  const formats = [...byId("format").options].filter(({ value }) => value);
  const format = element("select", { "aria-label": "Format of the download" },
    element("option", { value: "", textContent: "as it is" }), ...formats.map((option) => option.cloneNode(true)));
  format.onchange = () => {
    download.href = ownAddress(made.imageUrl) + (format.value && `?format=${format.value}`);
    download.download = format.value ? `${name.replace(/\.\w+$/, "")}.${format.value.replace("jpeg", "jpg")}` : name;
  };
  return element("p", { className: "actions" },
    download,
    format,
    element("button", { type: "button", textContent: "Copy address", onclick: () => copy(new URL(made.imageUrl, location.href).href) }),
    element("button", { type: "button", textContent: "Edit this", onclick: () => editAgain(made) }));
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Address copied");
  } catch {
    toast(text, undefined, 15);
  }
}

/** Return a text with the cost of a canceled generation. The price of an aborted call is unknown. */
export function costOfCanceled(made) {
  const known = made.usage?.costUsd;
  const aborted = (made.attempts ?? []).some(({ outcome }) => outcome === "canceled" || outcome === "lost");
  if (aborted) return known ? `${dollars(known)} and a stopped call, whose price your budget counts as an estimate` : "A stopped call, whose price your budget counts as an estimate";
  return known ? dollars(known) : "Nothing";
}

/** Return a list of facts: model, cost, size, time, attempts and warnings. */
export function facts(made) {
  const unknown = made.status === "succeeded" ? "unknown" : "";
  const rows = [
    ["Model", made.model ?? unknown],
    ["Cost", made.status === "canceled" ? costOfCanceled(made) : made.usage ? dollars(made.usage.costUsd) : unknown],
    ["Size", made.width ? `${made.width} × ${made.height}, ${made.mimeType}` : ""],
    ["Time", seconds(made)],
    ["Attempts", (made.attempts ?? []).map((one) => `${one.model}: ${one.outcome}, ${(one.durationMs / 1000).toFixed(1)} s`).join("\n")],
    ["Notes", (made.warnings ?? []).map(explained).join("\n")],
  ];
  return element("dl", { className: "facts" }, ...rows.filter(([, value]) => value)
    .flatMap(([name, value]) => [element("dt", { textContent: name }), element("dd", { textContent: value })]));
}

function seconds(made) {
  if (!made.completedAt) return "";
  return `${((Date.parse(made.completedAt) - Date.parse(made.createdAt)) / 1000).toFixed(1)} s, ${new Date(made.createdAt).toLocaleString()}`;
}
