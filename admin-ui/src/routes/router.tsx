/** The routes, and what each reads from its URL. Pages that the first screen does not need are loaded when asked for. */

import type { QueryClient } from "@tanstack/react-query";
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Navigate,
  Outlet,
  type RouterHistory,
} from "@tanstack/react-router";

import { Empty, Page } from "../components/Page";
import { KINDS, STATES, type FlagFilter } from "../features/flags/filter";
import { given } from "../lib/given";
import { Home } from "./Home";
import { Project } from "./Project";

const text = (value: unknown): string | undefined => {
  // A search of digits alone arrives as a number.
  const word = typeof value === "number" ? String(value) : value;
  return typeof word === "string" && word !== "" ? word : undefined;
};

const number = (value: unknown): number | undefined => (typeof value === "number" && Number.isSafeInteger(value) && value > 0 ? value : undefined);

const root = createRootRouteWithContext<{ queryClient: QueryClient }>()({ component: Outlet, notFoundComponent: NotFound });

const home = createRoute({ getParentRoute: () => root, path: "/", component: Home });

const signIn = createRoute({
  getParentRoute: () => root,
  path: "/sign-in",
  validateSearch: (search: Record<string, unknown>) => given({ next: text(search["next"]) }),
  component: lazyRouteComponent(() => import("../features/auth/SignIn"), "SignIn"),
});

const link = createRoute({
  getParentRoute: () => root,
  path: "/link",
  component: lazyRouteComponent(() => import("../features/auth/OneTimeLink"), "OneTimeLink"),
});

const project = createRoute({ getParentRoute: () => root, path: "/projects/$project", component: Project });

const projectHome = createRoute({
  getParentRoute: () => project,
  path: "/",
  component: lazyRouteComponent(() => import("../features/overview/Overview"), "Overview"),
});

const flags = createRoute({
  getParentRoute: () => project,
  path: "/flags",
  validateSearch: (search: Record<string, unknown>): FlagFilter =>
    given({
      search: text(search["search"]),
      tag: text(search["tag"]),
      kind: KINDS.find((kind) => kind === search["kind"]),
      state: STATES.find((state) => state === search["state"]),
      environment: text(search["environment"]),
    }),
  component: lazyRouteComponent(() => import("../features/flags/FlagList"), "FlagList"),
});

const flag = createRoute({
  getParentRoute: () => project,
  path: "/flags/$flag",
  validateSearch: (search: Record<string, unknown>) => given({ environment: text(search["environment"]), tab: text(search["tab"]) }),
  component: lazyRouteComponent(() => import("../features/flags/FlagPage"), "FlagPage"),
});

const rollouts = createRoute({
  getParentRoute: () => project,
  path: "/rollouts",
  validateSearch: (search: Record<string, unknown>) =>
    given({ environment: text(search["environment"]), flag: text(search["flag"]), state: text(search["state"]) }),
  component: lazyRouteComponent(() => import("../features/rollouts/RolloutList"), "RolloutList"),
});

const rollout = createRoute({
  getParentRoute: () => project,
  path: "/flags/$flag/rollouts/$rollout",
  validateSearch: (search: Record<string, unknown>) => given({ environment: text(search["environment"]) }),
  component: lazyRouteComponent(() => import("../features/rollouts/RolloutPage"), "RolloutPage"),
});

const startRollout = createRoute({
  getParentRoute: () => project,
  path: "/flags/$flag/rollouts/new",
  validateSearch: (search: Record<string, unknown>) => given({ environment: text(search["environment"]) }),
  component: lazyRouteComponent(() => import("../features/rollouts/StartPage"), "StartPage"),
});

const delivery = createRoute({
  getParentRoute: () => project,
  path: "/delivery",
  component: lazyRouteComponent(() => import("../features/delivery/Delivery"), "Delivery"),
});

const deliveryHome = createRoute({
  getParentRoute: () => delivery,
  path: "/",
  component: function ToTemplates() {
    return <Navigate to="/projects/$project/delivery/templates" params={deliveryHome.useParams()} replace />;
  },
});

const templates = createRoute({
  getParentRoute: () => delivery,
  path: "/templates",
  component: lazyRouteComponent(() => import("../features/delivery/Templates"), "Templates"),
});

const template = createRoute({
  getParentRoute: () => project,
  path: "/delivery/templates/$template",
  validateSearch: (search: Record<string, unknown>) => given({ from: text(search["from"]) }),
  component: lazyRouteComponent(() => import("../features/delivery/TemplatePage"), "TemplatePage"),
});

const sources = createRoute({
  getParentRoute: () => delivery,
  path: "/sources",
  component: lazyRouteComponent(() => import("../features/delivery/Sources"), "Sources"),
});

const channels = createRoute({
  getParentRoute: () => delivery,
  path: "/channels",
  component: lazyRouteComponent(() => import("../features/delivery/Channels"), "Channels"),
});

const channel = createRoute({
  getParentRoute: () => project,
  path: "/delivery/channels/$channel",
  component: lazyRouteComponent(() => import("../features/delivery/ChannelPage"), "ChannelPage"),
});

const freezes = createRoute({
  getParentRoute: () => delivery,
  path: "/freezes",
  component: lazyRouteComponent(() => import("../features/delivery/Freezes"), "Freezes"),
});

const audit = createRoute({
  getParentRoute: () => project,
  path: "/audit",
  validateSearch: (search: Record<string, unknown>) =>
    given({
      environment: text(search["environment"]),
      resource: text(search["resource"]),
      actor: text(search["actor"]),
      action: text(search["action"]),
      since: text(search["since"]),
      until: text(search["until"]),
      row: number(search["row"]),
    }),
  component: lazyRouteComponent(() => import("../features/audit/AuditList"), "AuditList"),
});

const environments = createRoute({
  getParentRoute: () => project,
  path: "/environments",
  component: lazyRouteComponent(() => import("../features/environments/EnvironmentList"), "EnvironmentList"),
});

const segments = createRoute({
  getParentRoute: () => project,
  path: "/segments",
  validateSearch: (search: Record<string, unknown>) => given({ environment: text(search["environment"]), search: text(search["search"]) }),
  component: lazyRouteComponent(() => import("../features/segments/SegmentList"), "SegmentList"),
});

const segment = createRoute({
  getParentRoute: () => project,
  path: "/segments/$segment",
  validateSearch: (search: Record<string, unknown>) => given({ environment: text(search["environment"]) }),
  component: lazyRouteComponent(() => import("../features/segments/SegmentPage"), "SegmentPage"),
});

const system = createRoute({
  getParentRoute: () => project,
  path: "/system",
  component: lazyRouteComponent(() => import("../features/system/System"), "System"),
});

const members = createRoute({
  getParentRoute: () => project,
  path: "/members",
  validateSearch: (search: Record<string, unknown>) => given({ tab: text(search["tab"]) }),
  component: lazyRouteComponent(() => import("../features/members/Members"), "Members"),
});

const start = createRoute({
  getParentRoute: () => root,
  path: "/start",
  validateSearch: (search: Record<string, unknown>) => given({ project: text(search["project"]) }),
  component: lazyRouteComponent(() => import("../features/auth/Start"), "Start"),
});

const playground = createRoute({
  getParentRoute: () => project,
  path: "/playground",
  validateSearch: (search: Record<string, unknown>) => {
    const context = search["context"];
    return given({
      environment: text(search["environment"]),
      compare: text(search["compare"]),
      flag: text(search["flag"]),
      at: text(search["at"]),
      search: text(search["search"]),
      differences: search["differences"] === true ? true : undefined,
      context: typeof context === "object" && context !== null && !Array.isArray(context) ? (context as Record<string, unknown>) : undefined,
    });
  },
  component: lazyRouteComponent(() => import("../features/playground/Playground"), "Playground"),
});

const tree = root.addChildren([
  home,
  signIn,
  link,
  start,
  project.addChildren([
    projectHome,
    flags,
    flag,
    rollouts,
    rollout,
    startRollout,
    segments,
    segment,
    playground,
    delivery.addChildren([deliveryHome, templates, sources, channels, freezes]),
    template,
    channel,
    audit,
    environments,
    members,
    system,
  ]),
]);

export function createAppRouter(queryClient: QueryClient, history?: RouterHistory) {
  return createRouter({
    routeTree: tree,
    context: { queryClient },
    defaultPreload: "intent",
    defaultPreloadDelay: 60,
    defaultNotFoundComponent: NotFound,
    ...(history ? { history } : {}),
  });
}

function NotFound() {
  return (
    <Page title="Nothing here">
      <Empty title="There is no such page">
        <p>
          The address may be mistyped, or what it named was renamed. <a href="/">Start again</a>.
        </p>
      </Empty>
    </Page>
  );
}
