// The mask of the first image: the shapes for each image, the preview in the form, and the PNG of the request.

import * as editor from "./editor.js";
import { announce, byId, element } from "./dom.js";
import { marksAnything, redraw } from "./shapes.js";

// Pixels of the longer side. The API scales a mask to the image.
const LONGEST = 1024;
const PREVIEW = 160;
const OVERLAY = "#ff0078";

/** Masks by image object, so that each stays with its image when the order or the chain changes. */
const masks = new WeakMap();
let image = null;
let hooks = {};

/** `changed` is called when the mask changes. */
export function setup(given) {
  hooks = given;
  byId("mark").addEventListener("click", edit);
  byId("unmark").addEventListener("click", () => {
    masks.delete(image);
    hooks.changed();
    announce("The whole image is edited");
    byId("mark").focus();
  });
}

/** Show the mask of `first`, the first image of the request; null if there is none. */
export function show(first) {
  image = first;
  byId("mask-row").hidden = image === null;
  if (image === null) return;
  const mask = masks.get(image);
  byId("mark").textContent = mask ? "Change the marked part" : "Edit only a part";
  byId("mark").disabled = !image.preview;
  byId("unmark").hidden = !mask;
  byId("mask-hint").textContent = hint(mask);
  byId("mask-preview").hidden = !mask;
  if (mask) byId("mask-preview").replaceChildren(element("img", { src: image.preview, alt: "" }), canvasOf(mask, PREVIEW, OVERLAY));
}

function hint(mask) {
  if (!image.preview) return "This page may not show the first image, so no part of it can be marked. Save it and choose the file.";
  return mask ? "Only the marked part changes. The result has the shape of the first image." : "";
}

/** Return the mask of an image as a data URL; white is edited. null if the whole image is edited. */
export function dataUrl(of) {
  const mask = masks.get(of);
  if (!mask) return null;
  const canvas = canvasOf(mask, LONGEST, "#ffffff");
  const context = canvas.getContext("2d");
  context.globalCompositeOperation = "destination-over";
  context.fillStyle = "#000000";
  context.fillRect(0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/png");
}

function canvasOf({ shapes, width, height }, longest, colour) {
  const scale = Math.min(1, longest / Math.max(width, height));
  const canvas = element("canvas", { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) });
  redraw(canvas.getContext("2d"), shapes, colour);
  return canvas;
}

async function edit() {
  const edited = image;
  const mask = await editor.open(edited, masks.get(edited)?.shapes ?? [], LONGEST, OVERLAY);
  if (mask && marksAnything(canvasOf(mask, LONGEST, OVERLAY).getContext("2d"))) masks.set(edited, mask);
  else if (mask) masks.delete(edited);
  hooks.changed();
  announce(masks.has(edited) ? "Only the marked part is edited" : "Nothing is marked: the whole image is edited");
  byId("mark").focus();
}
