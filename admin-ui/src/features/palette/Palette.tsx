import { Combobox, Loader, Modal, useCombobox } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useId, useMemo, useState, type KeyboardEvent } from "react";

import { api, isBroken } from "../../api/client";
import { queries } from "../../api/queries";
import type { Environment, ListedFlag, Me, Project } from "../../api/types";
import { AuditIcon, EnvironmentIcon, FlagIcon, KillIcon, MembersIcon, OverviewIcon, RestoreIcon, RightIcon, SearchIcon, SegmentIcon } from "../../components/icons";
import { problemOf } from "../../api/problem";
import { stateWords } from "../../lib/words";
import { toggle, useFlagActions } from "../flags/FlagActions";
import { type Command, fits, parseVerb, ranked } from "./commands";
import styles from "./Palette.module.css";
import { JUMPS } from "./shortcuts";

const TYPING_MS = 120;
const FLAGS_SHOWN = 6;

const PAGE_ICONS = { o: OverviewIcon, f: FlagIcon, s: SegmentIcon, a: AuditIcon, e: EnvironmentIcon, m: MembersIcon } as Record<string, typeof FlagIcon>;

interface PaletteProps {
  me: Me;
  project: string;
  projects: Project[];
  /** Closes, and then acts. */
  onClose(then?: () => void): void;
}

/** Finds flags, environments, pages and projects, and acts on flags. */
export function Palette({ project, projects, onClose }: PaletteProps) {
  const [query, setQuery] = useState("");
  const [inside, setInside] = useState<ListedFlag | null>(null);
  const combobox = useCombobox({ opened: true });
  const navigate = useNavigate();
  const actions = useFlagActions();
  const hint = useId();

  const { verb, rest } = parseVerb(query);
  const [search] = useDebouncedValue(rest, TYPING_MS);
  const found = useQuery({
    queryKey: ["project", project, "palette", search],
    queryFn: ({ signal }) => api.flags(project, search === "" ? {} : { search }, signal),
    placeholderData: keepPreviousData,
  });
  const environments = useQuery(queries.environments(project)).data;
  const flags = useMemo(() => {
    const whole = (found.data?.items ?? []).filter((flag): flag is ListedFlag => !isBroken(flag));
    // What was found for an earlier letter must not be acted on for this one.
    return ranked(whole.filter((flag) => fits(flag, rest)), rest);
  }, [found.data, rest]);
  const looking = found.isFetching || search !== rest;

  const groups = useMemo(() => {
    const go = (to: () => Promise<void>) => () => onClose(() => void to());
    const open = (flag: ListedFlag): Command => ({
      id: `open ${flag.key}`,
      label: flag.name || flag.key,
      detail: flag.key,
      icon: FlagIcon,
      flag,
      refusal: null,
      run: go(() => navigate({ to: "/projects/$project/flags/$flag", params: { project, flag: flag.key } })),
    });
    const acts = (flag: ListedFlag) => (environments ?? []).flatMap((environment) => commandsOn(flag, environment));
    const commandsOn = (flag: ListedFlag, environment: Environment): Command[] => {
      const state = flag.environments[environment.key];
      if (!state) return [];
      const words = stateWords(state, flag);
      const now = [words.before, words.label].filter((part) => part !== "").join(", then ");
      const killing: Command = {
        id: `kill ${flag.key} ${environment.key}`,
        verb: state.killed ? "restore" : "kill",
        label: `${state.killed ? "Restore" : "Kill"} ${flag.key} in ${environment.name}…`,
        detail: `Now: ${now}`,
        icon: state.killed ? RestoreIcon : KillIcon,
        danger: !state.killed,
        refusal: actions.refusal("operate"),
        run: () => onClose(() => (state.killed ? actions.restore : actions.kill)(flag, environment)),
      };
      if (state.killed) return [killing];
      const change = toggle(flag, environment, !state.enabled);
      return [
        {
          id: `toggle ${flag.key} ${environment.key}`,
          verb: state.enabled ? "off" : "on",
          label: `${change.verb} ${flag.key} in ${environment.name}${environment.production ? "…" : ""}`,
          detail: `Now: ${now}`,
          icon: FlagIcon,
          refusal: actions.refusal("edit"),
          run: () => onClose(() => void actions.change(change, state.version)),
        },
        killing,
      ];
    };
    if (inside) return [{ label: inside.name || inside.key, commands: [{ ...open(inside), label: `Open ${inside.name || inside.key}` }, ...acts(inside)] }];
    const shown = flags.slice(0, FLAGS_SHOWN);
    if (verb) return [{ label: verb.label, commands: shown.flatMap(acts).filter((command) => verb.verbs.includes(command.verb ?? "")) }];

    const wanted = rest.toLowerCase();
    const matches = (...texts: string[]) => texts.some((text) => text.toLowerCase().includes(wanted));
    const first = shown[0];
    const all = [
      { label: "Flags", commands: shown.map(open) },
      // Of the one flag that is meant, what can be done is there at once.
      { label: first ? `Actions on ${first.key}` : "", commands: first && wanted !== "" ? acts(first) : [] },
      {
        label: "Pages",
        commands: JUMPS.filter(({ label }) => matches(label)).map(
          ({ key, label, to }): Command => ({ id: `page ${key}`, label, detail: `g ${key}`, icon: PAGE_ICONS[key] ?? FlagIcon, refusal: null, run: go(() => navigate({ to, params: { project } })) }),
        ),
      },
      {
        label: "Environments",
        commands: (environments ?? [])
          .filter(({ key, name }) => matches(key, name, "environment"))
          .map(
            ({ key, name, production }): Command => ({
              id: `environment ${key}`,
              label: name,
              detail: production && !/production/i.test(name) ? "production" : "keys and settings",
              icon: EnvironmentIcon,
              refusal: null,
              run: go(() => navigate({ to: "/projects/$project/environments", params: { project }, hash: `environment-${key}` })),
            }),
          ),
      },
      {
        label: "Projects",
        commands: projects
          .filter(({ key, name }) => key !== project && matches(key, name, "project"))
          .map(
            ({ key, name }): Command => ({
              id: `project ${key}`,
              label: name,
              detail: `project ${key}`,
              icon: RightIcon,
              refusal: null,
              run: go(() => navigate({ to: "/projects/$project", params: { project: key } })),
            }),
          ),
      },
    ];
    return all;
  }, [actions, environments, flags, inside, navigate, onClose, project, projects, rest, verb]).filter(({ commands }) => commands.length > 0);

  const all = groups.flatMap(({ commands }) => commands);
  const ids = all.map(({ id }) => id).join("\n");
  useEffect(() => {
    combobox.selectFirstOption();
    // oxlint-disable-next-line react/exhaustive-deps -- the store is another object with each render
  }, [ids]);

  const back = () => {
    setInside(null);
    setQuery("");
  };
  const onKeyDown = (event: KeyboardEvent<HTMLInputElement>) => {
    const input = event.currentTarget;
    if (event.key === "Escape") {
      // The dialog leaves this key to an open list; here the list is all there is.
      event.preventDefault();
      if (inside) back();
      else onClose();
    } else if (event.key === "ArrowRight" && !inside && input.selectionStart === input.value.length) {
      const flag = all[combobox.getSelectedOptionIndex()]?.flag;
      if (!flag) return;
      event.preventDefault();
      setInside(flag);
      setQuery("");
    } else if (inside && ((event.key === "Backspace" && input.value === "") || event.key === "ArrowLeft")) {
      event.preventDefault();
      back();
    }
  };

  return (
    <Modal.Root opened onClose={() => onClose()} size={620} padding={0} yOffset="12vh" centered={false} returnFocus={false}>
      <Modal.Overlay />
      <Modal.Content aria-label="Find a flag, a page or an action">
      <Combobox
        store={combobox}
        onOptionSubmit={(id) => {
          const command = all.find((each) => each.id === id);
          if (command && command.refusal === null) command.run();
        }}
      >
        <div className={styles.box}>
          <div className={styles.field}>
            {looking ? <Loader size={18} aria-hidden="true" /> : <SearchIcon />}
            {inside ? (
              <button type="button" className={styles.inside} onClick={back} aria-label={`Actions on ${inside.key}: back to everything`}>
                {inside.key} <span aria-hidden="true">×</span>
              </button>
            ) : null}
            <Combobox.EventsTarget withExpandedAttribute>
              <input
                className={styles.input}
                data-autofocus
                role="combobox"
                aria-expanded
                aria-controls={combobox.listId ?? ""}
                aria-label="Find a flag, a page or an action"
                aria-describedby={hint}
                placeholder={inside ? "What to do" : "Find a flag, a page or an action, like “kill checkout”"}
                value={query}
                autoComplete="off"
                spellCheck={false}
                onChange={(event) => setQuery(event.currentTarget.value)}
                onKeyDown={onKeyDown}
              />
            </Combobox.EventsTarget>
          </div>
          <Combobox.Options className={styles.options} aria-label="What was found" tabIndex={-1}>
            {groups.map(({ label, commands }) => (
              <Combobox.Group key={label} label={label}>
                {commands.map(({ id, label: text, detail, icon: Icon, danger, refusal }) => (
                  <Combobox.Option key={id} value={id} className={styles.option ?? ""} aria-disabled={refusal !== null || undefined} data-danger={danger || undefined} data-refused={refusal !== null || undefined}>
                    <Icon />
                    <span className={styles.label}>{text}</span>
                    <small className={styles.detail}>{refusal ?? detail}</small>
                  </Combobox.Option>
                ))}
              </Combobox.Group>
            ))}
            {all.length === 0 && !looking ? <Combobox.Empty>{found.error ? problemOf(found.error).message : "Nothing is called like that"}</Combobox.Empty> : null}
          </Combobox.Options>
          <p className={styles.hint} id={hint}>
            <span>↑ ↓ choose</span>
            <span>↵ do it</span>
            {inside ? <span>← back</span> : <span>→ a flag’s actions</span>}
            <span>Esc close</span>
          </p>
          <span className="visually-hidden" role="status">
            {looking ? "" : `${all.length} found`}
          </span>
        </div>
      </Combobox>
      </Modal.Content>
    </Modal.Root>
  );
}
