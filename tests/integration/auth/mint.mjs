// Makes session tokens as front ends do. Standard input: a JSON array of {generation, secret, salt, claims, maxAge, age}; `age` is how
// many seconds ago the token is issued. Standard output: the tokens, as a JSON array.
import { readFileSync } from "node:fs";
import { encode as encodeV5 } from "@auth/core/jwt";
import v4 from "next-auth/jwt";

const Now = Date;
let age = 0;
globalThis.Date = class extends Now {
  constructor(...given) {
    super(...(given.length ? given : [Now.now() - age * 1000]));
  }
  static now() {
    return Now.now() - age * 1000;
  }
};

const tokens = [];
for (const { generation, secret, salt, claims, maxAge, age: seconds = 0 } of JSON.parse(readFileSync(0, "utf8"))) {
  age = seconds;
  const options = { token: claims, secret, maxAge };
  tokens.push(generation === "v4" ? await v4.encode({ ...options, salt: salt ?? "" }) : await encodeV5({ ...options, salt }));
}
process.stdout.write(JSON.stringify(tokens));
