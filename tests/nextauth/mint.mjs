// Makes session tokens as front ends do. Standard input: a JSON array of {generation, secret, salt, claims, maxAge}.
// Standard output: the tokens, as a JSON array.
import { readFileSync } from "node:fs";
import { encode as encodeV5 } from "@auth/core/jwt";
import v4 from "next-auth/jwt";

const tokens = [];
for (const { generation, secret, salt, claims, maxAge } of JSON.parse(readFileSync(0, "utf8"))) {
  const options = { token: claims, secret, maxAge };
  tokens.push(generation === "v4" ? await v4.encode({ ...options, salt: salt ?? "" }) : await encodeV5({ ...options, salt }));
}
process.stdout.write(JSON.stringify(tokens));
