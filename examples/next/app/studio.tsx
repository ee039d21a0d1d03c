"use client";

import { useState, type FormEvent } from "react";
import { ApiError } from "@client/client";
import { useGeneration, type Generation } from "@/lib/useGeneration";

export function Studio({ name }: { name: string }) {
  const { generation, start } = useGeneration();
  const [files, setFiles] = useState<File[]>([]);

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const mask = form.get("mask");
    start(files, String(form.get("prompt")), mask instanceof File && mask.size ? { mask } : {});
  }

  return (
    <>
      <p>
        Signed in as {name}. <a href="/api/auth/signout">Sign out</a>
      </p>
      <form onSubmit={submit}>
        <label htmlFor="files">Pictures</label>
        <input id="files" type="file" accept="image/*" multiple required onChange={(event) => setFiles([...(event.target.files ?? [])])} />
        <label htmlFor="mask">Only a part of the first? A mask of its shape, white where it may change</label>
        <input id="mask" name="mask" type="file" accept="image/*" />
        <label htmlFor="prompt">What should they become?</label>
        <textarea id="prompt" name="prompt" rows={3} required maxLength={32000} defaultValue="a watercolor painting of it" />
        <button disabled={generation.state === "running"}>{generation.state === "running" ? "Generating …" : "Generate"}</button>
      </form>
      <section aria-live="polite">
        <Outcome generation={generation} />
      </section>
    </>
  );
}

function Outcome({ generation }: { generation: Generation }) {
  switch (generation.state) {
    case "idle":
      return null;
    case "running": {
      const left = generation.secondsLeft;
      return (
        <>
          <p>{left === null ? "Sending …" : left > 0 ? `About ${left} s left` : "Longer than usual; it goes on."}</p>
          {generation.cancel && <button onClick={generation.cancel}>Cancel</button>}
        </>
      );
    }
    case "done": {
      const { result } = generation;
      return (
        <figure>
          {/* The API's own address: next/image would fetch and cache what is the caller's alone. */}
          {/* eslint-disable-next-line @next/next/no-img-element */}
          <img src={result.imageUrl} alt="The result" width={result.width ?? undefined} height={result.height ?? undefined} />
          <figcaption>
            {result.model}, {result.usage?.costUsd == null ? "price unknown" : `$${result.usage.costUsd.toFixed(3)}`}
          </figcaption>
        </figure>
      );
    }
    case "failed": {
      const { error, retry } = generation;
      const again = !(error instanceof ApiError) || error.retryable;
      return (
        <div role="alert">
          <p>{error instanceof ApiError ? [error.message, error.body.details].filter(Boolean).join(". ") : "No connection."}</p>
          {again && <button onClick={retry}>Try again</button>}
        </div>
      );
    }
  }
}
