// One generation at a time: its state, a countdown, and a key that makes trying again free.

"use client";

import { useCallback, useEffect, useRef, useState } from "react";
import { ApiError, ImageClient, type GenerateOptions, type Result } from "@client/client";

export type Generation =
  | { state: "idle" }
  | { state: "running"; secondsLeft: number | null; cancel: (() => void) | null }
  | { state: "done"; result: Result }
  | { state: "failed"; error: ApiError | TypeError; retry: () => void };

// Five seconds, then the API says how long it will take; asking again costs nothing.
const client = new ImageClient({ waitSeconds: 5 });

/**
 * `start` begins one; `secondsLeft` falls below 0 where it takes longer than expected: it goes on all the same. `cancel` is there
 * once the API has answered with the generation's id; the generation then ends as a failure with the code `canceled`.
 */
export function useGeneration() {
  const [generation, setGeneration] = useState<Generation>({ state: "idle" });
  const leaving = useRef<AbortController>(undefined);
  useEffect(() => () => leaving.current?.abort(), []);

  const run = useCallback(async (images: (string | Blob)[], prompt: string, options: GenerateOptions, key: string) => {
    leaving.current?.abort();
    const { signal } = (leaving.current = new AbortController());
    let ticking: ReturnType<typeof setInterval> | undefined;
    setGeneration({ state: "running", secondsLeft: null, cancel: null });
    try {
      const result = await client.generate(images, prompt, options, {
        idempotencyKey: key,
        signal,
        onRunning: ({ id, createdAt, expectedSeconds }) => {
          const ends = Date.parse(createdAt) + expectedSeconds * 1000;
          // A cancellation that does not get through changes nothing: the generation goes on, and can be canceled again.
          const cancel = () => void client.cancel(id).catch(() => undefined);
          const tick = () => setGeneration({ state: "running", secondsLeft: Math.ceil((ends - Date.now()) / 1000), cancel });
          ticking = setInterval(tick, 500);
          tick();
        },
      });
      setGeneration({ state: "done", result });
    } catch (error) {
      if (signal.aborted) return; // the page is gone; the generation goes on, and is in the history
      if (!(error instanceof ApiError || error instanceof TypeError)) throw error;
      setGeneration({ state: "failed", error, retry: () => void run(images, prompt, options, key) });
    } finally {
      clearInterval(ticking);
    }
  }, []);

  /** Begin one; with `from` in the options an earlier result is edited further. A new key for each press: a double press, or a retry after a lost connection, is paid for once. */
  const start = useCallback(
    (images: (string | Blob)[], prompt: string, options: GenerateOptions = {}) => {
      void run(images, prompt, options, crypto.randomUUID());
    },
    [run],
  );
  return { generation, start };
}
