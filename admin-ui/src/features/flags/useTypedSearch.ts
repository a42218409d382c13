import { useDebouncedCallback } from "@mantine/hooks";
import { useEffect, useRef, useState } from "react";

const URL_DELAY_MS = 180;

/** A search that shows as it is typed. The URL follows a moment later, so that it is written once a word, not once a letter. */
export function useTypedSearch(inUrl: string, writeUrl: (search: string) => void): [string, (typed: string) => void] {
  const [typed, setTyped] = useState(inUrl);
  const written = useRef(inUrl);
  const follow = useDebouncedCallback((search: string) => {
    written.current = search;
    writeUrl(search);
  }, URL_DELAY_MS);
  useEffect(() => {
    // Not what was typed here: a link was followed, or the way back gone.
    if (inUrl === written.current) return;
    written.current = inUrl;
    setTyped(inUrl);
  }, [inUrl]);
  const type = (text: string) => {
    setTyped(text);
    follow(text.trim());
  };
  return [typed, type];
}
