// The input images: chosen, dropped, pasted, or given by address; in their order, which can be changed.

import { announce, byId, element, thumb } from "./dom.js";
import { upload } from "./api.js";

const MEGABYTE = 1_000_000;
const MAX_FILE = 20 * MEGABYTE;
const MAX_COUNT = 14;
// A request may have 30 MB, and base64 makes four bytes of three: beyond this, files are uploaded first.
const MAX_INLINE = 15 * MEGABYTE;

let inputs = [];

export function setup() {
  const drop = byId("drop");
  byId("files").addEventListener("change", (event) => { addFiles(event.target.files); event.target.value = ""; });
  drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files.length) addFiles(event.dataTransfer.files);
    else addAddress(event.dataTransfer.getData("text/uri-list") || event.dataTransfer.getData("text/plain"));
  });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData?.files.length) { event.preventDefault(); addFiles(event.clipboardData.files); }
  });
  byId("add-url").addEventListener("click", fromField);
  byId("url").addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); fromField(); } });
}

function fromField() {
  if (addAddress(byId("url").value)) byId("url").value = "";
}

/** A problem with what was just added; it stays until the next one is. */
const complain = (text) => { byId("inputs-problem").textContent = text; };

function addFiles(files) {
  complain("");
  for (const file of files) {
    if (!isPicture(file)) { complain(`${file.name} is not a picture.`); continue; }
    if (file.size > MAX_FILE) { complain(`${file.name} has ${Math.round(file.size / MEGABYTE)} MB; a picture may have 20.`); continue; }
    add({ file, name: file.name, preview: URL.createObjectURL(file) });
  }
}

const isPicture = (file) => file.type.startsWith("image/") || /\.(heic|heif|avif|jpe?g|png|webp|gif|bmp|tiff?)$/i.test(file.name);

/** An address of a picture, of the web or of our own. False where it is none. */
export function addAddress(text) {
  complain("");
  const address = text.trim();
  if (!/^(https?:\/\/|\/api\/images\/)\S+$/.test(address)) { complain("An address begins with https://"); return false; }
  return add({ url: address, name: address.split("/").pop() || address, preview: address.includes("/api/images/") || ours(address) ? address : null });
}

// The page's policy lets pictures be shown from here and from the storage; others are only named.
const ours = (address) => { const { host } = new URL(address, location.href); return host === location.host || host === storageHost; };
let storageHost = "";
/** Learn where pictures lie, from one of them. */
export const knowStorage = (url) => { storageHost = new URL(url, location.href).host; };

function add(input) {
  if (inputs.length === MAX_COUNT) { complain(`${MAX_COUNT} pictures are the most.`); return false; }
  inputs.push(input);
  draw();
  announce(`${input.name} added, ${inputs.length} in all`);
  return true;
}

/** Begin anew with one picture: the result that is edited again. */
export function replaceAll(url) {
  inputs = [];
  addAddress(url);
}

export const first = () => inputs[0]?.preview ?? null;
export const none = () => inputs.length === 0;
export const ask = () => complain("Add a picture first.");

function move(index, by) {
  const [input] = inputs.splice(index, 1);
  inputs.splice(index + by, 0, input);
  draw();
  announce(`${input.name} is now number ${index + by + 1}`);
  byId("inputs").children[index + by].querySelector(by < 0 ? ".earlier" : ".later")?.focus();
}

function drop(index) {
  const [input] = inputs.splice(index, 1);
  if (input.file) URL.revokeObjectURL(input.preview);
  draw();
  announce(`${input.name} removed`);
  (byId("inputs").children[Math.min(index, inputs.length - 1)]?.querySelector("button") ?? byId("files")).focus();
}

function draw() {
  byId("inputs").replaceChildren(...inputs.map((input, index) => {
    const button = (className, label, text, run, disabled = false) =>
      element("button", { type: "button", className, textContent: text, onclick: run, disabled, title: label, "aria-label": `${label}: ${input.name}` });
    const actions = element("span", { className: "input-actions" },
      button("earlier", "Earlier", "‹", () => move(index, -1), index === 0),
      button("remove", "Remove", "×", () => drop(index)),
      button("later", "Later", "›", () => move(index, 1), index === inputs.length - 1));
    return element("li", { className: "input" }, thumb(input.preview, input.name, input.name), actions);
  }));
}

/** What the request's `images` are: data URLs, or addresses where the files together would be too much. */
export async function forRequest() {
  const total = inputs.reduce((sum, input) => sum + (input.file?.size ?? 0), 0);
  return Promise.all(inputs.map(async (input) => {
    if (input.url) return input.url;
    if (total > MAX_INLINE) return (input.url = await upload(input.file));
    return dataUrl(input.file);
  }));
}

function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).replace(/^data:;/, "data:application/octet-stream;"));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
