// The input images: files that are chosen, dropped or pasted, and URLs; their order can be changed.

import { ApiError, upload } from "./api.js";
import { announce, byId, element, thumb, toast } from "./dom.js";

const MEGABYTE = 1_000_000;
const MAX_FILE = 20 * MEGABYTE;
const MAX_COUNT = 14;
// A request may have 30 MB, and base64 makes four bytes of three. Larger files are uploaded first.
const MAX_INLINE = 15 * MEGABYTE;
const LONGEST_NAME = 80;

let inputs = [];
let changed = () => undefined;

/** `whenChanged` is called when an image is added, removed or moved. */
export function setup(whenChanged) {
  changed = whenChanged;
  byId("files").addEventListener("change", (event) => { addFiles(event.target.files); event.target.value = ""; });
  byId("add-url").addEventListener("click", takeAddress);
  byId("url").addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); takeAddress(); } });
  // On the whole page: otherwise the browser opens a file that is dropped beside the frame, and the typed text is lost.
  document.addEventListener("dragover", (event) => {
    if (!carriesImage(event)) return;
    event.preventDefault();
    byId("drop").classList.add("over");
  });
  document.addEventListener("dragleave", (event) => { if (event.relatedTarget === null) byId("drop").classList.remove("over"); });
  document.addEventListener("drop", dropped);
  document.addEventListener("paste", pasted);
}

const signedOut = () => byId("workshop").hidden;
const isField = (target) => target instanceof Element && target.matches("textarea, input:not([type=file], [type=range])");
const isAddress = (text) => /^(https?:\/\/|\/api\/images\/)\S+$/.test(text) && URL.canParse(text, location.href);

/** Whether a drag has files, or links that are not over a text field. */
const carriesImage = ({ dataTransfer, target }) =>
  dataTransfer.types.includes("Files") || (dataTransfer.types.includes("text/uri-list") && !isField(target));

function dropped(event) {
  byId("drop").classList.remove("over");
  if (!carriesImage(event)) return;
  event.preventDefault();
  if (signedOut()) { toast("Sign in first, then drop it again"); return; }
  const { files } = event.dataTransfer;
  if (files.length) addFiles(files);
  else addAddresses(event.dataTransfer.getData("text/uri-list").split(/\r?\n/).filter((line) => line && !line.startsWith("#")));
}

function pasted(event) {
  if (signedOut()) return;
  const { files } = event.clipboardData;
  const text = event.clipboardData.getData("text/plain").trim();
  // Office programs copy text with an image of it. In a field the text is pasted.
  if (files.length && !(text && isField(event.target))) addFiles(files);
  else if (!isField(event.target) && isAddress(text)) addAddresses([text]);
  else return;
  event.preventDefault();
}

/** Show a problem with what was added, until something else is added. */
const complain = (text) => { byId("inputs-problem").textContent = text; };

function addFiles(files) {
  complain([...files].map((file) => {
    if (!isImage(file)) return `${file.name} is not an image.`;
    if (file.size > MAX_FILE) return `${file.name} has ${Math.round(file.size / MEGABYTE)} MB; an image may have 20.`;
    return add(file.name, { file });
  }).filter(Boolean).join(" "));
}

const isImage = (file) => file.type.startsWith("image/") || /\.(heic|heif|avif|jpe?g|png|webp|gif|bmp|tiff?)$/i.test(file.name);

/** Add images by URL, of any site or of the API. Return false if one is not a URL. */
function addAddresses(addresses) {
  const problems = addresses.map((url) => (isAddress(url) ? add(url.split("/").pop() || url, { url }) : "An address begins with https://"));
  complain(problems.filter(Boolean).join(" "));
  return !problems.some(Boolean);
}

/** Add the URL in the field, as the button "Add" does. Return false if it is not a URL. */
export function takeAddress() {
  if (!addAddresses([byId("url").value.trim()])) { byId("url").focus(); return false; }
  byId("url").value = "";
  return true;
}

export const addressIsWaiting = () => byId("url").value.trim() !== "";

// The Content-Security-Policy allows images of this origin and of the storage. Of others only the name is shown.
const isShown = (address) => [location.host, storageHost].includes(new URL(address, location.href).host);
let storageHost = "";
/** Learn the storage's host from the URL of an image. */
export const knowStorage = (url) => { storageHost = new URL(url, location.href).host; };

/** Add an image. Return the problem if it cannot be added. */
function add(name, input) {
  if (inputs.length === MAX_COUNT) return `${name} is one too many: ${MAX_COUNT} images are the most.`;
  // Previews are never revoked: a result may still be compared with an input that was removed.
  const preview = input.file ? URL.createObjectURL(input.file) : isShown(input.url) ? input.url : null;
  inputs.push({ ...input, preview, name: distinct(name.slice(0, LONGEST_NAME)) });
  draw();
  announce(`${inputs.at(-1).name} added, ${inputs.length} in all`);
  return "";
}

/** Make the name unique: all pasted images are called image.png, and screen readers read the names of buttons. */
function distinct(name) {
  let tried = name;
  for (let count = 2; inputs.some((other) => other.name === tried); count += 1) tried = `${name} (${count})`;
  return tried;
}

/** Remove all images. Return a function that restores them. */
export function clear() {
  const before = inputs;
  inputs = [];
  draw();
  complain("");
  return () => { inputs = before; draw(); };
}

/** Return a copy of the list, which does not change while a request is sent. */
export const chosen = () => [...inputs];
export const none = () => inputs.length === 0;
export const ask = () => complain("Add an image first.");

function move(index, by) {
  const [input] = inputs.splice(index, 1);
  inputs.splice(index + by, 0, input);
  draw();
  announce(`${input.name} is now number ${index + by + 1} of ${inputs.length}`);
  const [same, other] = by < 0 ? [".earlier", ".later"] : [".later", ".earlier"];
  const moved = byId("inputs").children[index + by];
  // At the end of the row the button is disabled and cannot have the focus.
  (moved.querySelector(`${same}:enabled`) ?? moved.querySelector(other)).focus();
}

function remove(index) {
  const [input] = inputs.splice(index, 1);
  draw();
  announce(`${input.name} removed`);
  (byId("inputs").children[Math.min(index, inputs.length - 1)]?.querySelector(".remove") ?? byId("files")).focus();
}

function draw() {
  byId("inputs").replaceChildren(...inputs.map((input, index) => {
    const button = (className, label, text, run, disabled = false) =>
      element("button", { type: "button", className, textContent: text, onclick: run, disabled, title: label, "aria-label": `${label}: ${input.name}` });
    const actions = element("span", { className: "input-actions" },
      button("earlier", "Earlier", "‹", () => move(index, -1), index === 0),
      button("remove", "Remove", "×", () => remove(index)),
      button("later", "Later", "›", () => move(index, 1), index === inputs.length - 1));
    return element("li", { className: "input" }, thumb(input.preview, input.name, input.name), actions);
  }));
  changed();
}

/**
 * Return the request's `images`: data URLs, or URLs of uploads if the files are too large together. A file is uploaded once.
 * `patiently` makes a call, and repeats it if the connection is lost.
 */
export async function forRequest(sources, patiently) {
  const total = sources.reduce((sum, input) => sum + (input.file?.size ?? 0), 0);
  return Promise.all(sources.map(async (input, index) => {
    if (!input.url && total > MAX_INLINE) input.url = await patiently(() => uploaded(input.file, index));
    return input.url ?? dataUrl(input.file);
  }));
}

/** Upload a file and return its URL. The image's index is added to an error about it. */
async function uploaded(file, index) {
  try {
    return await upload(file);
  } catch (error) {
    if ([400, 413, 415].includes(error.status)) error.body.imageIndex = index;
    throw error;
  }
}

function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).replace(/^data:;/, "data:application/octet-stream;"));
    reader.onerror = () => reject(new ApiError(0, { error: String(reader.error), code: "unreadable_file", details: file.name, retryable: false }, null));
    reader.readAsDataURL(file);
  });
}
