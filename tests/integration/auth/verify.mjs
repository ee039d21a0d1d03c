// Read sessions as front ends do.
// Standard input: a JSON array of {generation, name, secret, header}; `header` is a `Cookie` header.
// Standard output: for each the claims, or null where the package finds no session.
import { readFileSync } from "node:fs";
import { getToken as getTokenV5 } from "@auth/core/jwt";
import { parse } from "cookie";
import v4 from "next-auth/jwt";

const quiet = { debug() {}, warn() {}, error() {} };
const found = [];
for (const { generation, name, secret, header } of JSON.parse(readFileSync(0, "utf8"))) {
  const options = { cookieName: name, secret, logger: quiet };
  const headers = { cookie: header };
  found.push(
    generation === "v4"
      ? await v4.getToken({ ...options, req: { headers, cookies: parse(header) } })
      : await getTokenV5({ ...options, req: { headers } }),
  );
}
process.stdout.write(JSON.stringify(found));
