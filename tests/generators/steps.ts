// What the three TypeScript clients have in common: the API's address, the session, the file to send, and the report.
declare const process: { env: Record<string, string | undefined>; stdout: { write(text: string): void } };

export const PROMPT = "as a watercolor painting";
export const origin = process.env["API"] ?? "";
export const cookie = process.env["COOKIE"] ?? "";

/** The photograph, as a form sends it. */
export function file(): File {
  const bytes = Uint8Array.from(atob(process.env["PHOTO"] ?? ""), (letter) => letter.charCodeAt(0));
  return new File([bytes], "photo.jpg", { type: "image/jpeg" });
}

export function report(seen: Record<string, unknown>): void {
  process.stdout.write(JSON.stringify(seen));
}
