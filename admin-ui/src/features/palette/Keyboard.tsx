/** The keys that work on every page of a project, and the palette that they open. */

import { useNavigate } from "@tanstack/react-router";
import { createContext, lazy, Suspense, useCallback, useContext, useEffect, useMemo, useRef, useState, type ReactNode } from "react";

import type { Me, Project } from "../../api/types";
import { remember, remembered } from "../../lib/storage";
import { isTyping, keyReader } from "./shortcuts";

const Palette = lazy(() => import("./Palette").then(({ Palette: component }) => ({ default: component })));
const Shortcuts = lazy(() => import("./Shortcuts").then(({ Shortcuts: component }) => ({ default: component })));

interface Keyboard {
  openPalette(): void;
  openHelp(): void;
  /** Whether single keys (`/`, `?`, `g f`) do something. */
  singleKeys: boolean;
  setSingleKeys(on: boolean): void;
}

const KeyboardContext = createContext<Keyboard>({ openPalette: () => {}, openHelp: () => {}, singleKeys: true, setSingleKeys: () => {} });

export const useKeyboard = () => useContext(KeyboardContext);

const SINGLE_KEYS = "singleKeys";

interface KeyboardProps {
  me: Me;
  project: string;
  projects: Project[];
  children: ReactNode;
}

export function KeyboardProvider({ me, project, projects, children }: KeyboardProps) {
  const [open, setOpen] = useState<"palette" | "help" | null>(null);
  const [singleKeys, setSingleKeys] = useState(() => remembered(SINGLE_KEYS) !== "off");
  const navigate = useNavigate();
  const opener = useRef<HTMLElement | null>(null);
  const read = useRef(keyReader());

  const show = useCallback((what: "palette" | "help") => {
    const { activeElement } = document;
    opener.current = activeElement instanceof HTMLElement && activeElement !== document.body ? activeElement : document.getElementById("main");
    setOpen(what);
  }, []);

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.isComposing) return;
      const meaning = read.current(event, { typing: isTyping(event.target), singleKeys });
      if (!meaning) return;
      // A dialog keeps the keys to itself, whatever is behind it.
      if (document.querySelector('[role="dialog"]')) {
        if (meaning.kind === "palette") event.preventDefault();
        return;
      }
      event.preventDefault();
      if (meaning.kind === "palette") show("palette");
      else if (meaning.kind === "help") show("help");
      else if (meaning.kind === "jump") void navigate({ to: meaning.jump.to, params: { project } });
      else {
        const search = document.querySelector<HTMLInputElement>('main [role="search"] input');
        if (search) {
          search.focus();
          search.select();
        } else void navigate({ to: "/projects/$project/flags", params: { project } });
      }
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [navigate, project, show, singleKeys]);

  /** Closes, gives the focus back to where it was, and only then acts: a dialog that comes next gives it back there, too. */
  const close = useCallback((then?: () => void) => {
    setOpen(null);
    setTimeout(() => {
      if (opener.current?.isConnected) opener.current.focus({ preventScroll: true });
      then?.();
    });
  }, []);

  const keyboard = useMemo<Keyboard>(
    () => ({
      openPalette: () => show("palette"),
      openHelp: () => show("help"),
      singleKeys,
      setSingleKeys: (on) => {
        remember(SINGLE_KEYS, on ? null : "off");
        setSingleKeys(on);
      },
    }),
    [show, singleKeys],
  );
  return (
    <KeyboardContext value={keyboard}>
      {children}
      <Suspense>
        {open === "palette" ? <Palette me={me} project={project} projects={projects} onClose={close} /> : null}
        {open === "help" ? <Shortcuts onClose={close} /> : null}
      </Suspense>
    </KeyboardContext>
  );
}
