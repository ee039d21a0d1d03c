// What the next edit of a chain costs, with the earlier steps that the model is shown: the dry run of the API knows both.

import * as api from "./api.js";
import { byId, dollars, element } from "./dom.js";
import { explained } from "./messages.js";

let asking = null;

/** Show what `request` would cost, null for nothing. `extra` says that images which are added are not in it. */
export async function show(request, extra) {
  asking?.abort();
  byId("estimate").replaceChildren();
  if (request === null) return;
  const mine = new AbortController();
  asking = mine;
  try {
    const checked = await api.check(request, mine.signal);
    if (mine.signal.aborted) return;
    byId("estimate").replaceChildren(...lines(checked, extra).map((textContent) => element("p", { textContent })));
  } catch (error) {
    // The press of the button says in full what is wrong.
    if (!(error instanceof api.ApiError) && error.name !== "AbortError") throw error;
  }
}

function lines({ estimatedCostUsd, warnings, crop }, extra) {
  const counted = extra ? ", without the images that you added" : "";
  const said = [`At most ${dollars(estimatedCostUsd)}, with the earlier steps that the model is shown${counted}.`];
  if (crop) said[0] = `At most ${dollars(estimatedCostUsd)}${counted}. The model gets ${crop.width} × ${crop.height} pixels of the image.`;
  return [...said, ...warnings.map(explained)];
}
