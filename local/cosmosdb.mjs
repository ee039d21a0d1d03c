// @vercel/cosmosdb-server on plain http, with corrections where it differs from Azure's service: node cosmosdb.mjs PORT
//
// It ends when its standard input closes, so that it does not outlive the program that started it.
import { AsyncLocalStorage } from "node:async_hooks";
import { createRequire } from "node:module";

const MAX_ITEM_BYTES = 2 * 1024 * 1024;
const ITEM = /^\/dbs\/[^/]+\/colls\/[^/]+\/docs\/[^/]+\/?$/;

const require = createRequire(import.meta.url);

// The service applies a transactional batch completely or not at all; the emulator keeps the operations before a failed one.
// Here, all operations are checked before any is applied. That needs a different item for each operation.
require("@vercel/cosmosdb-server/lib/handler/batch-documents").default = async (account, request, response, params) => {
  const operations = await require("@vercel/cosmosdb-server/lib/json").default(request);
  const collection = account.database(params.dbId).collection(params.collId);
  const [key] = JSON.parse(request.headers["x-ms-documentdb-partitionkey"]);
  const ids = operations.map((operation) => operation.id ?? operation.resourceBody.id);
  const foreign = operations.some((operation) => operation.resourceBody && operation.resourceBody.userId !== key);
  if (operations.length > 100 || new Set(ids).size !== ids.length || foreign) {
    response.statusCode = 400;
    return { message: "this emulator takes batches of at most 100 operations, on different items of one partition" };
  }
  const statuses = operations.map((operation, index) => {
    const stored = collection.document(ids[index], key).read();
    if (operation.operationType === "Create") return stored ? 409 : 201;
    if (operation.operationType === "Upsert" && !stored) return operation.ifMatch ? 412 : 201;
    if (!stored) return 404;
    if (operation.ifMatch && operation.ifMatch !== stored._etag) return 412;
    return operation.operationType === "Delete" ? 204 : 200;
  });
  const failed = statuses.findIndex((status) => status >= 400);
  if (failed !== -1) {
    response.statusCode = 207;
    return statuses.map((status, index) => ({ statusCode: index === failed ? status : 424, requestCharge: 0 }));
  }
  return operations.map((operation, index) => {
    if (operation.operationType === "Delete") collection.documents.delete(ids[index], key);
    else collection.documents.upsert(operation.resourceBody);
    const body = collection.document(ids[index], key).read();
    return { statusCode: statuses[index], requestCharge: 1, eTag: body?._etag, resourceBody: body };
  });
};
const cosmos = require("@vercel/cosmosdb-server");
/** The partition key in the header of the current request: JSON. */
const partitionKey = new AsyncLocalStorage();

// The service reads only the partition that a query's header names; the emulator reads every item of the container.
const Items = require("@vercel/cosmosdb-server/lib/account/items.js").default;
const { _set: put, delete: remove, query } = Items.prototype;
const partitions = new WeakMap();

function partitionOf(items, key) {
  if (!partitions.has(items)) partitions.set(items, new Map());
  const found = partitions.get(items);
  if (!found.has(key)) found.set(key, new Map());
  return found.get(key);
}

Items.prototype._set = function (data) {
  const written = put.call(this, data);
  partitionOf(this, this._getPartition(written)).set(written._rid, this._data.get(written._rid));
  return written;
};
Items.prototype.delete = function (id, partition) {
  const found = this._item("/id", id, partition).read();
  remove.call(this, id, partition);
  partitionOf(this, this._getPartition(found)).delete(found._rid);
};
Items.prototype.query = function (params, options) {
  const [key] = JSON.parse(partitionKey.getStore() ?? "[]");
  if (key === undefined) return query.call(this, params, options);
  return query.call(Object.create(this, { _data: { value: partitionOf(this, key) } }), params, options);
};

// The emulator parses each query again, which takes longer than answering it, and its generated code is quadratic in the
// number of items. Parsed queries are kept here, and the code is replaced by a linear one.
const language = require("@zeit/cosmosdb-query");
const parse = language.default;
const parsed = new Map();
const COPYING = /\.reduce\(\(\$, (\w+)\) => typeof \1 !== "undefined" \? \[\.\.\.\$, \{\s*\1: \1\s*\}\] : \$, \[\]\)/;
language.default = (text) => {
  if (!parsed.has(text)) {
    const made = parse(text);
    made._code = made.code.replace(COPYING, '.flatMap(($1) => typeof $1 === "undefined" ? [] : [{ $1 }])');
    parsed.set(text, made);
  }
  return parsed.get(text);
};

// The account that the server creates when it listens, for parentIsMissing below.
const accounts = require("@vercel/cosmosdb-server/lib/account/index.js");
let account;
accounts.default = class extends accounts.default {
  constructor(...args) {
    super(...args);
    account = this;
  }
};

/** Whether the database of a container or the container of an item, as named by a path, does not exist. */
function parentIsMissing(path) {
  const [dbs, database, colls, container, child] = path.split("/").filter(Boolean).map(decodeURIComponent);
  if (dbs !== "dbs" || colls !== "colls") return false;
  const found = account.database(database);
  return !found.read() || (child !== undefined && !found.collection(container).read());
}

const port = Number(process.argv[2]);
const server = cosmos.createHttpServer({ keepAlive: true });
const [emulator] = server.listeners("request");
server.removeAllListeners("request");

// The emulator writes every failed request to the console, including the item.
console.error = () => {};

function answer(response, status, code, message) {
  response.statusCode = status;
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify({ code, message }));
}

server.on("request", (request, response) => {
  const path = new URL(request.url, "http://emulator").pathname;

  // The service refuses items over 2 MB; the emulator accepts any size.
  if (Number(request.headers["content-length"] ?? 0) > MAX_ITEM_BYTES && path.includes("/docs")) {
    request.resume();
    request.on("end", () => answer(response, 413, "RequestEntityTooLarge", "Request size is too large"));
    return;
  }

  // The service marks a missing database or container with a sub-status. The emulator has none, and fails on writes.
  if (parentIsMissing(path)) {
    request.resume();
    response.setHeader("x-ms-substatus", "1003");
    request.on("end", () => answer(response, 404, "NotFound", "Owner resource does not exist"));
    return;
  }

  // The Python SDK sends `True`; the emulator accepts only `true`.
  if (request.headers["x-ms-cosmos-is-batch-request"]) request.headers["x-ms-cosmos-is-batch-request"] = "true";

  const end = response.end.bind(response);
  response.end = (body) => {
    // The account's description always has https addresses, which clients would use.
    if (path === "/") body = String(body).replaceAll("https://", "http://");
    // The service answers the read of a missing item with 404; the emulator fails on its empty body.
    if (request.method === "GET" && ITEM.test(path) && response.statusCode === 500) {
      response.statusCode = 404;
      body = JSON.stringify({ code: "NotFound", message: "Entity with the specified id does not exist in the system." });
    }
    return end(body);
  };
  partitionKey.run(request.headers["x-ms-documentdb-partitionkey"], () => emulator(request, response));
});

server.on("error", (error) => {
  process.stdout.write(`${error.message}\n`);
  process.exit(1);
});
server.keepAliveTimeout = 60_000;
server.listen(port, "127.0.0.1");
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
