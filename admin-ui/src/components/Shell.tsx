import { Drawer, Menu, SegmentedControl, useMantineColorScheme, type MantineColorScheme } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link, useLocation, useNavigate } from "@tanstack/react-router";
import { createContext, useContext, useEffect, useRef, type ReactNode, type RefObject } from "react";

import { api } from "../api/client";
import type { Me, Project } from "../api/types";
import { NewProject } from "../features/environments/NewProject";
import { KeyboardProvider, useKeyboard } from "../features/palette/Keyboard";
import {
  AuditIcon,
  CheckIcon,
  ChevronIcon,
  DeliveryIcon,
  EnvironmentIcon,
  FlagIcon,
  MembersIcon,
  MenuIcon,
  MoonIcon,
  OverviewIcon,
  PlaygroundIcon,
  PlusIcon,
  RolloutIcon,
  SearchIcon,
  SegmentIcon,
  ServerIcon,
  SunIcon,
  SystemIcon,
} from "./icons";
import { LiveChip } from "./LiveChip";
import { Logo } from "./Logo";
import styles from "./Shell.module.css";

/** The element that scrolls: long lists measure themselves in it. */
const ScrollContext = createContext<RefObject<HTMLElement | null>>({ current: null });

export const useScroller = () => useContext(ScrollContext);

interface ShellProps {
  me: Me;
  project: string;
  projects: Project[];
  children: ReactNode;
}

export function Shell({ me, project, projects, children }: ShellProps) {
  const [opened, drawer] = useDisclosure(false);
  const main = useRef<HTMLElement>(null);
  const { pathname } = useLocation();
  const first = useRef(true);
  useEffect(() => {
    drawer.close();
    main.current?.scrollTo({ top: 0 });
    // A reader of the screen is told of the new page by the focus that moves to it; not on the first, though.
    if (!first.current) main.current?.focus({ preventScroll: true });
    first.current = false;
    // oxlint-disable-next-line react/exhaustive-deps -- only the page counts
  }, [pathname]);

  const side = <Side me={me} project={project} projects={projects} />;
  return (
    <ScrollContext value={main}>
      <KeyboardProvider me={me} project={project} projects={projects}>
      <div className={styles.frame}>
        <a className={styles.skip} href="#main" onClick={() => main.current?.focus()}>
          Skip to the content
        </a>
        {/* Not a `header`: dialogs have one, and two banners are one too many. */}
        <section className={styles.top} aria-label="Top">
          <button type="button" className={styles.burger} aria-label="Open the menu" aria-expanded={opened} onClick={drawer.open}>
            <MenuIcon />
          </button>
          <Link to="/" className={styles.brand}>
            <Logo size={24} />
            Tidegate
          </Link>
          <LiveChip />
          <FindButton className={styles.burger} />
        </section>
        {side}
        <main id="main" ref={main} className={styles.main} tabIndex={-1}>
          {children}
        </main>
        <Drawer.Root opened={opened} onClose={drawer.close} size={272} padding={0}>
          <Drawer.Overlay />
          <Drawer.Content aria-label="Menu">
            <Drawer.Body h="100%">{side}</Drawer.Body>
          </Drawer.Content>
        </Drawer.Root>
      </div>
      </KeyboardProvider>
    </ScrollContext>
  );
}

function Side({ me, project, projects }: Omit<ShellProps, "children">) {
  return (
    <section className={styles.side} aria-label="Tidegate">
      <Link to="/" className={styles.brand}>
        <Logo />
        Tidegate
      </Link>
      <ProjectSwitcher me={me} project={project} projects={projects} />
      <FindButton className={styles.find} wide />
      <nav aria-label="Project">
        <Link to="/projects/$project" params={{ project }} activeOptions={{ exact: true }} className={styles.link}>
          <OverviewIcon /> Overview
        </Link>
        <Link to="/projects/$project/flags" params={{ project }} className={styles.link}>
          <FlagIcon /> Flags
        </Link>
        <Link to="/projects/$project/rollouts" params={{ project }} className={styles.link}>
          <RolloutIcon /> Rollouts
        </Link>
        <Link to="/projects/$project/delivery" params={{ project }} className={styles.link}>
          <DeliveryIcon /> Delivery
        </Link>
        <Link to="/projects/$project/segments" params={{ project }} className={styles.link}>
          <SegmentIcon /> Segments
        </Link>
        <Link to="/projects/$project/playground" params={{ project }} className={styles.link}>
          <PlaygroundIcon /> Playground
        </Link>
        <Link to="/projects/$project/audit" params={{ project }} className={styles.link}>
          <AuditIcon /> Audit log
        </Link>
        <Link to="/projects/$project/environments" params={{ project }} className={styles.link}>
          <EnvironmentIcon /> Environments
        </Link>
        <Link to="/projects/$project/members" params={{ project }} className={styles.link}>
          <MembersIcon /> Members
        </Link>
        <Link to="/projects/$project/system" params={{ project }} className={styles.link}>
          <ServerIcon /> System
        </Link>
      </nav>
      <div className={styles.foot}>
        <div>
          <LiveChip />
        </div>
        <PersonMenu me={me} />
      </div>
    </section>
  );
}

/** Where the palette is for those who do not know its key. */
function FindButton({ className, wide = false }: { className: string | undefined; wide?: boolean }) {
  const { openPalette } = useKeyboard();
  return (
    <button type="button" className={className} onClick={openPalette} aria-haspopup="dialog">
      <SearchIcon />
      <span className={wide ? undefined : "visually-hidden"}>Find</span>
      <span className="visually-hidden"> a flag, a page or an action</span>
      {wide ? <kbd aria-hidden="true">{/Mac|iPhone|iPad/.test(navigator.userAgent) ? "⌘ K" : "Ctrl K"}</kbd> : null}
    </button>
  );
}

function ProjectSwitcher({ me, project, projects }: Omit<ShellProps, "children">) {
  const navigate = useNavigate();
  const [creating, create] = useDisclosure(false);
  const current = projects.find(({ key }) => key === project);
  return (
    <>
      <Menu width="target" position="bottom-start">
        <Menu.Target>
          <button type="button" className={styles.project}>
            <span className={styles.projectName}>
              <small>Project</small>
              {current?.name ?? project}
              <span className="visually-hidden">, switch the project</span>
            </span>
            <ChevronIcon />
          </button>
        </Menu.Target>
        <Menu.Dropdown>
          {projects.map(({ key, name }) => (
            <Menu.Item
              key={key}
              rightSection={key === project ? <CheckIcon size={16} /> : null}
              onClick={() => void navigate({ to: "/projects/$project", params: { project: key } })}
            >
              {name}
            </Menu.Item>
          ))}
          {me.instanceAdmin ? (
            <>
              <Menu.Divider />
              <Menu.Item leftSection={<PlusIcon size={16} />} onClick={create.open}>
                New project
              </Menu.Item>
            </>
          ) : null}
        </Menu.Dropdown>
      </Menu>
      <NewProject opened={creating} onClose={create.close} />
    </>
  );
}

const SCHEMES = [
  { value: "light", label: "Light", icon: SunIcon },
  { value: "dark", label: "Dark", icon: MoonIcon },
  { value: "auto", label: "As the system", icon: SystemIcon },
] as const;

function PersonMenu({ me }: { me: Me }) {
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const { openHelp, setSingleKeys, singleKeys } = useKeyboard();
  const queryClient = useQueryClient();
  const navigate = useNavigate();
  const signOut = useMutation({
    mutationFn: api.signOut,
    onSettled: async () => {
      await navigate({ to: "/sign-in" });
      queryClient.clear();
    },
  });
  const initials = me.user.name
    .split(/\s+/)
    .slice(0, 2)
    .map((word) => word.charAt(0).toUpperCase())
    .join("");
  return (
    <Menu position="top-start" width={232}>
      <Menu.Target>
        <button type="button" className={styles.person}>
          <span className={styles.initials} aria-hidden="true">
            {initials}
          </span>
          <span className={styles.projectName}>
            {me.user.name}
            <small>{me.user.email}</small>
            <span className="visually-hidden">, appearance and signing out</span>
          </span>
        </button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>Appearance</Menu.Label>
        <SegmentedControl
          fullWidth
          size="xs"
          m={4}
          aria-label="Appearance"
          value={colorScheme}
          onChange={(scheme) => setColorScheme(scheme as MantineColorScheme)}
          data={SCHEMES.map(({ value, label, icon: Icon }) => ({
            value,
            label: (
              <span title={label}>
                <Icon size={16} />
                <span className="visually-hidden">{label}</span>
              </span>
            ),
          }))}
        />
        <Menu.Divider />
        <Menu.Label>Keyboard</Menu.Label>
        <Menu.Item onClick={openHelp}>Shortcuts…</Menu.Item>
        <Menu.Item closeMenuOnClick={false} role="menuitemcheckbox" aria-checked={singleKeys} rightSection={singleKeys ? <CheckIcon size={16} /> : null} onClick={() => setSingleKeys(!singleKeys)}>
          Single-key shortcuts
        </Menu.Item>
        <Menu.Divider />
        <Menu.Item onClick={() => signOut.mutate()}>Sign out</Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
