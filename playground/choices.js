// The selects of shape, size, model and format, with the combinations that a model can make, and the price.

import * as api from "./api.js";
import { byId, dollars, element } from "./dom.js";

let models = [];
let changed = () => undefined;

/** Call `whenChanged` when a choice changes. */
export function setup(whenChanged) {
  changed = whenChanged;
  byId("format").addEventListener("change", () => { byId("quality").disabled = !["jpeg", "webp"].includes(byId("format").value); });
}

/** Return the chosen fields of the request. */
export function chosen() {
  const fields = {};
  for (const [field, id] of [["aspectRatio", "aspect"], ["imageSize", "size"], ["model", "model"], ["outputFormat", "format"]]) {
    if (byId(id).value && !byId(id).disabled) fields[field] = byId(id).value;
  }
  if (!byId("quality").disabled) fields.outputQuality = byId("quality").valueAsNumber;
  return fields;
}

/** With a mask the result has the shape of the first image, and no other can be chosen. */
export function keepShape(kept) {
  if (byId("aspect").disabled === kept) return;
  byId("aspect").disabled = kept;
  refresh();
}

/** Fill the selects. Return the limits of a request. */
export async function load() {
  const answer = await api.models();
  models = answer.models;
  const shapes = [...new Set(models.flatMap((model) => model.aspectRatios))];
  const sizes = [...new Set(models.flatMap((model) => model.imageSizes))].sort();
  fill("aspect", shapes.map((shape) => [shape, shape]));
  fill("size", sizes.map((size) => [size, size]));
  fill("model", models.map((model) => [model.id, label(model)]));
  for (const id of ["aspect", "size", "model"]) byId(id).addEventListener("change", () => { refresh(); changed(); });
  refresh();
  return answer.limits;
}

function fill(id, options) {
  const usual = byId(id).options[0];
  byId(id).replaceChildren(usual, ...options.map(([value, textContent]) => element("option", { value, textContent })));
}

function label({ id, available, retiresOn }) {
  if (!available) return `${id} (not available now)`;
  return retiresOn ? `${id} (until ${retiresOn})` : id;
}

const makes = (model, shape, size) =>
  (!shape || model.aspectRatios.includes(shape)) && (!size || model.imageSizes.includes(size));

/** Disable the options that no model can make together with the other choices. */
function refresh() {
  const [shape, size, name] = ["aspect", "size", "model"].map((id) => (byId(id).disabled ? "" : byId(id).value));
  const candidates = models.filter((model) => !name || model.id === name);
  const allow = (id, possible) => {
    for (const option of byId(id).options) option.disabled = option.value !== "" && !possible(option.value);
  };
  allow("aspect", (value) => candidates.some((model) => makes(model, value, size)));
  allow("size", (value) => candidates.some((model) => makes(model, shape, value)));
  allow("model", (value) => makes(models.find((model) => model.id === value), shape, size));
  byId("price").textContent = price(candidates.filter((model) => makes(model, shape, size)), size);
}

/** Return the price of the first model that would be called. */
function price(candidates, size) {
  const model = candidates.find((each) => each.available) ?? candidates[0];
  if (!model) return "";
  const usd = model.prices[size || model.imageSizes[0]];
  const cost = usd === undefined ? "its price is not known" : `about ${dollars(usd)}`;
  return `${model.id}: ${cost}, ${model.expectedSeconds} s`;
}
