// A title and advice for each error code; the technical details are folded.

import { element } from "./dom.js";

const WORDS = {
  offline: ["No connection", "The service cannot be reached. Try again: nothing is paid twice.", true],
  unauthorized: ["Your session has ended", "Sign in again; what you typed is still here."],
  refused: ["The model declined this", "Change the text or the images: the same request would be declined again."],
  no_image: ["The model answered without an image", "Describe the image more precisely, then try again.", true],
  rate_limited: ["The model is busy", "Its quota is used up for the moment.", true],
  model_unavailable: ["The model is overloaded", "This passes, mostly within a minute.", true],
  deadline_exceeded: ["It took too long", "The model did not finish in time. A smaller size is faster.", true],
  too_many_generations: ["Too many images at once", "Wait until one of your images is finished.", true],
  budget_exceeded: ["The budget is used up", "It is renewed with the next day or month (UTC); the details have the time."],
  interrupted: ["It was interrupted", "The process stopped before the end. Trying again starts from the beginning.", true],
  canceled: ["It was canceled", "What the model's service has billed is in your usage.", true],
  image_too_large: ["An image is too large", "Choose a smaller one, or make it smaller first."],
  request_too_large: ["The request is too large", "Use fewer or smaller images."],
  images_too_large: ["The images are too large together", "Use fewer or smaller images."],
  length_required: ["The request arrived without its length", "A proxy on the way changed it. Try again; if it stays, tell the operator of this service.", true],
  unsupported_media_type: ["A file of an unsupported type", "PNG, JPEG, WebP, HEIC, AVIF, GIF, BMP and TIFF work."],
  invalid_image: ["An image cannot be read", "It is damaged or not an image: remove it, or choose another one."],
  image_fetch_failed: ["There is no image at an address", "Check the address, or save the image and choose the file."],
  url_not_allowed: ["An address that is not allowed", "Save the image and choose the file instead."],
  unreadable_file: ["A file can no longer be read", "It was moved or changed since you chose it: remove it, and choose it again."],
  model_error: ["The model did not work", "Press Generate for another attempt; if it stays, tell the operator of this service."],
  model_auth_failed: ["The model does not accept the service", "Its operator can run `make doctor` to find out why."],
  session_unavailable: ["The sign-in cannot be checked", "This passes, mostly within a minute.", true],
  cross_site: ["This page may not ask for that", "Its operator has to name its address in ALLOWED_ORIGINS."],
  unknown: ["The service did not answer", "A proxy answered instead. Try again in a moment; nothing is paid twice.", true],
  idempotency_mismatch: ["The request was changed meanwhile", "Press Generate again."],
  storage_unavailable: ["The storage does not answer", "Nothing was paid. Try again in a minute.", true],
  busy: ["The service is busy", "Try again in a few seconds.", true],
  "invalid_image:mask": ["The mask cannot be used", "Mark the part again: it has to fit the first image and mark a part of it."],
  conflict: ["That step has no image", "It is still running, failed or was canceled: continue from another one."],
  "not_found:from": ["The image to continue from is gone", "It was deleted, perhaps in another tab. Choose another step, or start from images."],
  not_found: ["It does not exist any more", "It was deleted, perhaps in another tab."],
  misconfigured: ["The service is not set up", "Its operator can run `make doctor` to find out why."],
  gemini_key_missing: ["The service has no key for the model", "Its operator has to set GEMINI_API_KEY."],
};

const WARNINGS = {
  mask_misaligned: "The model moved or changed the surroundings: a seam may be visible at the edge of the marked part",
  mask_not_applied: "The edited part could not be put into the image: this is the model's answer, which shows only that part",
  format_changed: "The image is too large for its format, and was stored in another one",
  context_not_kept: "The model gets only the image that you edit, not the steps before it: describe everything, instead of “as before”",
};

/** Return an explanation of the API's warning (`code: sentence`), followed by the API's sentence. */
export function explained(warning) {
  const [code, ...rest] = warning.split(": ");
  return WARNINGS[code] ? `${WARNINGS[code]}. (${rest.join(": ")})` : warning;
}

/** Return title, advice, and whether a retry may help: as the API says, or by the table. */
export function words(error) {
  const [title, advice, again = false] = WORDS[`${error.code}:${error.body?.field}`] ?? WORDS[error.code] ?? ["It did not work", "Try again; if it stays, tell the operator of this service.", true];
  return { title, advice, again: error.body?.retryable ?? again };
}

/** Show `error` in the element `place`, with a button for `action` if it is given. */
export function show(place, error, action) {
  const { title, advice } = words(error);
  const where = Number.isInteger(error.body?.imageIndex) ? ` It is image ${error.body.imageIndex + 1}.` : error.body?.field === "mask" ? " It is the mask." : "";
  const wait = error.retryAfter && error.retryAfter < 3600 ? ` Try again in ${error.retryAfter} s.` : "";
  const text = error.body?.text ? [element("p", { textContent: `The model said: “${error.body.text}”` })] : [];
  const technical = error.status === 200 ? error.body : { status: error.status, ...error.body };
  place.replaceChildren(
    element("h3", { textContent: title }),
    element("p", { textContent: `${advice}${where}${wait}` }),
    ...text,
    ...(action ? [element("button", { type: "button", textContent: action.label, onclick: action.run })] : []),
    element("details", {}, element("summary", { textContent: "Technical details" }), element("pre", { textContent: JSON.stringify(technical, null, 2) })),
  );
  place.hidden = false;
}
