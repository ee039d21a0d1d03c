// Azurite, with its own options: node azurite.mjs --blobPort 10000 …
//
// It ends when its standard input does, so that nothing of it outlives the program that started it.
import { createRequire } from "node:module";

// Asked to stop, it would wait for connections that clients keep open: what it holds is in memory and goes anyway.
process.on("SIGTERM", () => setTimeout(() => process.exit(0), 200));

process.stdin.resume();
process.stdin.on("end", () => process.kill(process.pid, "SIGTERM"));
createRequire(import.meta.url)("azurite/dist/src/azurite.js");
