// The Cosmos DB emulator on plain http, with what it gets wrong put right: the service itself is the measure.
//
//   node cosmosdb.mjs PORT
//
// It ends when its standard input does, so that nothing of it outlives the program that started it.
import cosmos from "@vercel/cosmosdb-server";

const MAX_ITEM_BYTES = 2 * 1024 * 1024;
const ITEM = /^\/dbs\/[^/]+\/colls\/[^/]+\/docs\/[^/]+\/?$/;

const port = Number(process.argv[2]);
const server = cosmos.createHttpServer({ keepAlive: true });
const [emulator] = server.listeners("request");
server.removeAllListeners("request");

// The emulator writes every failed request to the console, with the item in it.
console.error = () => {};

function answer(response, status, code, message) {
  response.statusCode = status;
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify({ code, message }));
}

server.on("request", (request, response) => {
  const path = new URL(request.url, "http://emulator").pathname;

  // The service refuses an item of more than 2 MB; the emulator takes any.
  if (Number(request.headers["content-length"] ?? 0) > MAX_ITEM_BYTES && path.includes("/docs")) {
    request.resume();
    request.on("end", () => answer(response, 413, "RequestEntityTooLarge", "Request size is too large"));
    return;
  }

  const end = response.end.bind(response);
  response.end = (body) => {
    // The account's description gives https addresses whatever the emulator listens on: clients would follow them.
    if (path === "/") body = String(body).replaceAll("https://", "http://");
    // A point read of an item that is not there is 404 at the service; the emulator fails on its empty body.
    if (request.method === "GET" && ITEM.test(path) && response.statusCode === 500) {
      response.statusCode = 404;
      body = JSON.stringify({ code: "NotFound", message: "Entity with the specified id does not exist in the system." });
    }
    return end(body);
  };
  emulator(request, response);
});

server.on("error", (error) => {
  process.stdout.write(`${error.message}\n`);
  process.exit(1);
});
server.keepAliveTimeout = 60_000;
server.listen(port, "127.0.0.1");
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
