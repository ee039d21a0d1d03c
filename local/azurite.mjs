// Azurite, with its own options: node azurite.mjs --blobPort 10000 …
//
// It ends when its standard input closes, so that it does not outlive the program that started it.
import { createRequire } from "node:module";

// Azurite's own handler waits for connections that clients keep open. Its data is in memory, so nothing has to be written.
process.on("SIGTERM", () => process.exit());

process.stdin.resume();
process.stdin.on("end", () => process.exit());
createRequire(import.meta.url)("azurite/dist/src/azurite.js");
