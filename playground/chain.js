// The chain: the earlier image that the next edit continues from, and the other steps of its chain.

import * as api from "./api.js";
import { announce, byId, element, ownAddress, thumb } from "./dom.js";
import { short } from "./result.js";

// Enough for the mask editor and for the comparison. An image of 4K may have 20 MB.
const PREVIEW_WIDTH = 1600;

let current = null;
let steps = [];
let loads = 0;
let hooks = {};
/** One object for each step, so that its mask is found when the step is chosen again. */
const known = new Map();

/** `changed` is called when another step or none is chosen, `failed` when the steps cannot be read. */
export function setup(given) {
  hooks = given;
  byId("leave-chain").addEventListener("click", () => {
    leave();
    announce("The next image starts from the images that you add");
    byId("files").focus();
  });
}

/** The image that the next edit continues from: `id`, `preview`, `name`, `width` and `height`. null if there is none. */
export const chosen = () => current;

/** Continue from a generation. Return a function that restores the earlier state. */
export function continueFrom(made) {
  const [image, others] = [current, steps];
  show(imageOf(made), [made]);
  load();
  return () => { show(image, others); if (image) load(); };
}

function imageOf(made) {
  if (!known.has(made.id)) {
    const preview = `${ownAddress(made.imageUrl)}?w=${PREVIEW_WIDTH}&format=webp`;
    known.set(made.id, { id: made.id, root: made.rootId ?? made.id, name: short(made.prompt), preview, width: made.width, height: made.height });
  }
  return known.get(made.id);
}

/** Leave the chain. */
export const leave = () => show(null, []);

/** React to the deletion of a generation, which may be the chosen one. */
export function deleted(id) {
  if (current?.id === id) leave();
  refresh();
}

/** Read the steps again after one was made or deleted. */
export function refresh() {
  if (current) load();
}

async function load() {
  loads += 1;
  const mine = loads;
  const { root } = current;
  let found;
  try {
    found = await stepsOf(root);
  } catch (error) {
    if (mine === loads) hooks.failed(error, refresh);
    return;
  }
  if (mine === loads && current?.root === root) show(current, found);
}

/** Return the successful generations of a chain, oldest first, also descendants of deleted ones. */
async function stepsOf(root) {
  const found = [await api.detailsOf(root).catch((error) => { if (error.status === 404) return null; throw error; })];
  let continuation = null;
  do {
    const page = await api.descendants(root, continuation);
    found.push(...page.items);
    ({ continuation } = page);
  } while (continuation !== null);
  return found.filter((step) => step?.status === "succeeded");
}

function show(image, found) {
  const other = image !== current;
  if (image === null) loads += 1; // a response that is still to come belongs to the chain that was left
  current = image;
  steps = found;
  byId("chain").hidden = image === null;
  const focused = document.activeElement.closest?.("#steps button")?.dataset.id;
  byId("steps").replaceChildren(...steps.map(item));
  if (focused) byId("steps").querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
  revealChosen();
  if (other) hooks.changed();
}

function item(step, index) {
  const parent = steps.findIndex(({ id }) => id === step.parentId);
  // A chain is a tree: the parent is shown if it is not the step before.
  const branch = parent >= 0 && parent !== index - 1 ? `, from ${parent + 1}` : "";
  const about = {
    title: short(step.prompt),
    "aria-label": `${index + 1}${branch}: ${short(step.prompt)}`,
    "aria-pressed": String(step.id === current?.id),
  };
  const made = element("button", { type: "button", ...about, onclick: () => choose(step, index) },
    thumb(step.thumbnailUrl, "", "gone"),
    element("span", { className: "caption", textContent: `${index + 1}${branch}` }));
  made.dataset.id = step.id;
  return element("li", {}, made);
}

function choose(step, index) {
  show(imageOf(step), steps);
  announce(`The next edit continues from step ${index + 1}`);
}

/** Scroll the row, not the page. */
function revealChosen() {
  const pressed = byId("steps").querySelector("[aria-pressed=true]");
  if (pressed) byId("steps").scrollLeft = pressed.offsetLeft - byId("steps").offsetLeft - byId("steps").clientWidth / 2 + pressed.offsetWidth / 2;
}
