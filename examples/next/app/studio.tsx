"use client";

import { useState, type FormEvent } from "react";
import { ApiError, type Result } from "@client/client";
import { useGeneration, type Generation } from "@/lib/useGeneration";

export function Studio({ name }: { name: string }) {
  const { generation, start } = useGeneration();
  const [files, setFiles] = useState<File[]>([]);
  const [earlier, setEarlier] = useState<Result>();

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const mask = form.get("mask");
    const options = mask instanceof File && mask.size ? { mask } : {};
    start(files, String(form.get("prompt")), earlier ? { ...options, from: earlier.id } : options);
  }

  function edit(result: Result) {
    setEarlier(result);
    setFiles([]);
  }

  return (
    <>
      <p>
        Signed in as {name}. <a href="/api/auth/signout">Sign out</a>
      </p>
      <form onSubmit={submit}>
        {earlier && (
          <p>
            {/* eslint-disable-next-line @next/next/no-img-element */}
            <img src={earlier.thumbnailUrl ?? earlier.imageUrl} alt="The result that is edited" width={160} />{" "}
            <button type="button" onClick={() => setEarlier(undefined)}>
              Start from images
            </button>
          </p>
        )}
        <label htmlFor="files">{earlier ? "More images" : "Images"}</label>
        <input key={earlier?.id} id="files" type="file" accept="image/*" multiple required={!earlier} onChange={(event) => setFiles([...(event.target.files ?? [])])} />
        <label htmlFor="mask">Only a part of the first? A mask of its shape, white where it may change</label>
        <input key={`mask of ${earlier?.id}`} id="mask" name="mask" type="file" accept="image/*" />
        <label htmlFor="prompt">What should they become?</label>
        <textarea id="prompt" name="prompt" rows={3} required maxLength={32000} defaultValue="a watercolor painting of it" />
        <button disabled={generation.state === "running"}>{generation.state === "running" ? "Generating …" : "Generate"}</button>
      </form>
      <section aria-live="polite">
        <Outcome generation={generation} onEdit={edit} />
      </section>
    </>
  );
}

function Outcome({ generation, onEdit }: { generation: Generation; onEdit: (result: Result) => void }) {
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
            <button onClick={() => onEdit(result)}>Edit this</button> {result.model}, {result.usage?.costUsd == null ? "price unknown" : `$${result.usage.costUsd.toFixed(3)}`}
            {result.warnings.map((warning) => (
              <p key={warning}>{warning}</p>
            ))}
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
