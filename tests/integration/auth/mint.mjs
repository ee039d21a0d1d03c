// Make session tokens as front ends do.
// Standard input: a JSON array of {generation, secret, salt, claims, maxAge, age}; `age` is how many seconds ago the
// token is issued. Standard output: the tokens, as a JSON array.
import { readFileSync } from "node:fs";
import { encode as encodeV5 } from "@auth/core/jwt";
import v4 from "next-auth/jwt";

const RealDate = Date;
let age = 0;
globalThis.Date = class extends RealDate {
  constructor(...given) {
    super(...(given.length ? given : [RealDate.now() - age * 1000]));
  }
  static now() {
    return RealDate.now() - age * 1000;
  }
};

const tokens = [];
for (const { generation, secret, salt, claims, maxAge, age: seconds = 0 } of JSON.parse(readFileSync(0, "utf8"))) {
  age = seconds;
  const options = { token: claims, secret, maxAge };
  const encode = generation === "v4" ? v4.encode : encodeV5;
  tokens.push(await encode({ ...options, salt: salt ?? "" }));
}
process.stdout.write(JSON.stringify(tokens));
