import { getServerSession } from "next-auth";
import { authOptions } from "@/lib/auth";
import { Studio } from "./studio";

export default async function Page() {
  const session = await getServerSession(authOptions);
  return (
    <main>
      <h1>Images from images</h1>
      {session?.user ? (
        <Studio name={session.user.name ?? "you"} />
      ) : (
        <p>
          <a className="button" href="/api/auth/signin">
            Sign in
          </a>
        </p>
      )}
    </main>
  );
}
