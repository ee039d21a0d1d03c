// The cost of the next edit of a chain, with the earlier steps that the model is sent, from the API's dry run.

import * as api from "./api.js";
import { byId, dollars, element } from "./dom.js";
import { explained } from "./messages.js";

let asking = null;

/** Show what `request` would cost; null shows nothing. With `extra` the text says that added images are not counted. */
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
    // The error is shown when the button is pressed.
    if (!(error instanceof api.ApiError) && error.name !== "AbortError") throw error;
  }
}

function lines({ estimatedCostUsd, warnings, crop }, extra) {
  const counted = extra ? ", without the images that you added" : "";
  const found = [`At most ${dollars(estimatedCostUsd)}, with the earlier steps that the model is shown${counted}.`];
  if (crop) found[0] = `At most ${dollars(estimatedCostUsd)}${counted}. The model gets ${crop.width} × ${crop.height} pixels of the image.`;
  return [...found, ...warnings.map(explained)];
}
