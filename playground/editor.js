// The editor of a mask: a brush and rectangles over the image, by mouse, pen, touch and keyboard.

import { announce, byId } from "./dom.js";
import { EVERYTHING, draw, extend, redraw } from "./shapes.js";

const STEP = 0.02;
const SMALLEST = 0.02;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const PEN_ERASER = 32;

let shapes = [];
let colour = "";
/** The shape that is being drawn, and the point at which it began. */
let drawing = null;
/** The rectangle that the keyboard moves. */
let frame = null;

export function setup() {
  const canvas = byId("mask-canvas");
  canvas.addEventListener("pointerdown", press);
  canvas.addEventListener("pointermove", move);
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", abandon);
  canvas.addEventListener("pointerleave", () => { byId("mask-ring").hidden = true; });
  canvas.addEventListener("keydown", key);
  canvas.addEventListener("focus", () => { if (canvas.matches(":focus-visible")) showFrame(frame); });
  canvas.addEventListener("blur", () => { byId("mask-frame").hidden = true; });
  byId("mask").addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "z") { event.preventDefault(); undo(); }
  });
  byId("mask-undo").addEventListener("click", undo);
  byId("mask-clear").addEventListener("click", clear);
  byId("mask-done").addEventListener("click", () => byId("mask").close());
}

/**
 * Show `image` with the shapes `given` in the colour `overlay`, on a canvas of at most `longest` pixels. Return the mask when the
 * editor is closed: its shapes, and the image's size in pixels; null if the browser cannot show the image.
 */
export async function open(image, given, longest, overlay) {
  const [dialog, photo, canvas] = [byId("mask"), byId("mask-image"), byId("mask-canvas")];
  const closed = new Promise((resolve) => { dialog.addEventListener("close", resolve, { once: true }); });
  shapes = [...given];
  colour = overlay;
  frame = { x: 0.25, y: 0.25, width: 0.5, height: 0.5 };
  drawing = null;
  byId("mask-frame").hidden = true;
  byId("mask-problem").textContent = "";
  byId("mask-stage").hidden = true;
  dialog.showModal();
  let size = null;
  photo.src = image.preview;
  try {
    await photo.decode(); // off the main thread, however large it is
    // The size of the upright image. The preview of an earlier image may be smaller than the image.
    size = { width: image.width ?? photo.naturalWidth, height: image.height ?? photo.naturalHeight };
    fit(canvas, size, longest);
  } catch {
    byId("mask-problem").textContent = "This browser cannot show the image, so no part of it can be marked. Save it as a JPEG or PNG, and choose that file.";
  }
  await closed;
  photo.removeAttribute("src");
  return size && { shapes, ...size };
}

function fit(canvas, { width, height }, longest) {
  const scale = Math.min(1, longest / Math.max(width, height));
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  byId("mask-stage").style.setProperty("--ratio", width / height);
  byId("mask-stage").hidden = false;
  refresh();
}

const context = () => byId("mask-canvas").getContext("2d");
const erases = () => byId("mask-eraser").checked;
const withRectangles = () => document.querySelector("[name=mask-tool]:checked").value === "rectangle";
const brushSize = () => byId("mask-size").valueAsNumber / 100;

function refresh() {
  redraw(context(), shapes, colour);
  for (const id of ["mask-undo", "mask-clear"]) byId(id).setAttribute("aria-disabled", String(shapes.length === 0));
}

function add(shape, announcement) {
  shapes.push(shape);
  refresh();
  announce(announcement);
}

function undo() {
  if (shapes.length === 0) return;
  shapes.pop();
  refresh();
  announce(shapes.length === 0 ? "Undone: nothing is marked" : "The last step was undone");
}

/** Erase everything, as a step that can be undone. */
function clear() {
  if (shapes.length > 0) add({ ...EVERYTHING, erases: true }, "Cleared: nothing is marked");
}

function place(event) {
  const box = byId("mask-canvas").getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

function press(event) {
  // Only the first finger and the main button draw.
  const penErases = event.pointerType === "pen" && (event.buttons & PEN_ERASER) !== 0;
  if (drawing || !event.isPrimary || (event.button !== 0 && !penErases)) return;
  event.target.setPointerCapture(event.pointerId);
  const start = place(event);
  const shape = withRectangles()
    ? { kind: "rectangle", ...between(start, start) }
    : { kind: "stroke", points: [start], size: brushSize() };
  drawing = { start, pointer: event.pointerId, shape: { ...shape, erases: erases() || penErases } };
  if (shape.kind === "stroke") draw(context(), drawing.shape, colour);
}

function move(event) {
  showRing(event);
  if (event.pointerId !== drawing?.pointer) return;
  const { shape, start } = drawing;
  if (shape.kind === "rectangle") {
    Object.assign(shape, between(start, place(event)));
    showFrame(shape);
    return;
  }
  // Between two frames the browser collects the moves of a fast pointer.
  const passed = event.getCoalescedEvents();
  for (const each of passed.length > 0 ? passed : [event]) {
    shape.points.push(place(each));
    extend(context(), shape, colour);
  }
}

function release(event) {
  if (event.pointerId !== drawing?.pointer) return;
  const { shape } = drawing;
  drawing = null;
  byId("mask-frame").hidden = true;
  if (shape.kind === "rectangle" && (shape.width === 0 || shape.height === 0)) return;
  add(shape, shape.erases ? "Erased" : "Marked");
}

/** The browser has cancelled the pointer, for a gesture such as scrolling. */
function abandon(event) {
  if (event.pointerId !== drawing?.pointer) return;
  drawing = null;
  byId("mask-frame").hidden = true;
  refresh();
}

const within = (value, least = 0, most = 1) => Math.min(most, Math.max(least, value));

function between(one, other) {
  const [left, right] = [within(one[0]), within(other[0])].sort((a, b) => a - b);
  const [top, bottom] = [within(one[1]), within(other[1])].sort((a, b) => a - b);
  return { x: left, y: top, width: right - left, height: bottom - top };
}

function key(event) {
  if (event.key in ARROWS) {
    event.preventDefault();
    const [x, y] = ARROWS[event.key].map((way) => way * STEP);
    if (event.shiftKey) {
      frame.width = within(frame.width + x, SMALLEST, 1 - frame.x);
      frame.height = within(frame.height + y, SMALLEST, 1 - frame.y);
    } else {
      frame.x = within(frame.x + x, 0, 1 - frame.width);
      frame.y = within(frame.y + y, 0, 1 - frame.height);
    }
    showFrame(frame);
    announce(`Rectangle ${inWords(frame)}`);
  } else if (event.key === "Enter") {
    event.preventDefault();
    add({ kind: "rectangle", ...frame, erases: erases() }, `${erases() ? "Erased" : "Marked"}: rectangle ${inWords(frame)}`);
  }
}

function inWords({ x, y, width, height }) {
  const [left, top, wide, high] = [x, y, width, height].map((part) => `${Math.round(part * 100)} %`);
  return `${left} from the left, ${top} from the top, ${wide} wide, ${high} high`;
}

function showFrame({ x, y, width, height }) {
  const shown = byId("mask-frame");
  for (const [name, part] of Object.entries({ left: x, top: y, width, height })) shown.style.setProperty(name, `${part * 100}%`);
  shown.hidden = false;
}

/** Show the size of the brush at the mouse. */
function showRing(event) {
  const [ring, box] = [byId("mask-ring"), byId("mask-canvas").getBoundingClientRect()];
  ring.hidden = withRectangles() || event.pointerType === "touch";
  const [x, y] = place(event);
  ring.style.setProperty("left", `${x * 100}%`);
  ring.style.setProperty("top", `${y * 100}%`);
  ring.style.setProperty("width", `${brushSize() * Math.max(box.width, box.height)}px`);
}
