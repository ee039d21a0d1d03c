// The chain: the earlier image that the next edit continues from, and the other steps of its chain.

import * as api from "./api.js";
import { announce, byId, element, ownAddress, thumb } from "./dom.js";
import { short } from "./result.js";

// Enough for the editor of masks and for comparing, and bounded: an image of 4K may have 20 MB.
const PREVIEW_WIDTH = 1600;

let current = null;
let steps = [];
let loads = 0;
let hooks = {};
/** One object for each step, so that what belongs to an image (its mask) is found again when it is chosen again. */
const known = new Map();

/** `changed` is called when another image is continued from, or none; `failed` when the steps cannot be read. */
export function setup(given) {
  hooks = given;
  byId("leave-chain").addEventListener("click", () => {
    leave();
    announce("The next image starts from the images that you add");
    byId("files").focus();
  });
}

/** The image that the next edit continues from: `id`, `preview`, `name`, `width` and `height`. null where there is none. */
export const chosen = () => current;

/** Continue from a generation of the caller. Return what restores the state before. */
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

/** Continue from no image any more. */
export const leave = () => show(null, []);

/** A generation was deleted, perhaps the one to continue from. */
export function deleted(id) {
  if (current?.id === id) leave();
  refresh();
}

/** Read the steps again: one was made or deleted. */
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

/** The succeeded generations of a chain, oldest first. What descends from a deleted one is still found. */
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
  if (image === null) loads += 1; // what is still being read belongs to the chain that was left
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
  // A chain is a tree: only where it does not continue the step before is it worth saying.
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
