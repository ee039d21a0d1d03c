// Who may sign in. The image API verifies the cookie that comes of it with the same NEXTAUTH_SECRET.

import type { NextAuthOptions } from "next-auth";
import Credentials from "next-auth/providers/credentials";

export const authOptions: NextAuthOptions = {
  session: { strategy: "jwt" },
  providers: [
    // For development: any name is somebody. Put your real providers here.
    Credentials({
      name: "a name",
      credentials: { name: { label: "Name", type: "text" } },
      authorize: (given) => {
        const name = given?.name?.trim();
        if (!name || process.env.DEVELOPMENT_SIGN_IN !== "yes") return null;
        const id = name.toLowerCase().replace(/[^a-z0-9]+/g, ".");
        return { id, name, email: `${id}@example.com` };
      },
    }),
  ],
};
