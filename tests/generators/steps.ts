// Common to the three TypeScript clients: the API's URL, the session, the file to send, and the output.
declare const process: { env: Record<string, string | undefined>; stdout: { write(text: string): void } };

export const PROMPT = "as a watercolor painting";
export const origin = process.env["API"] ?? "";
export const cookie = process.env["COOKIE"] ?? "";

/** Return the photograph as a form sends it. */
export function file(): File {
  const bytes = Uint8Array.from(atob(process.env["PHOTO"] ?? ""), (letter) => letter.charCodeAt(0));
  return new File([bytes], "photo.jpg", { type: "image/jpeg" });
}

export function report(results: Record<string, unknown>): void {
  process.stdout.write(JSON.stringify(results));
}
