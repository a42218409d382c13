import { Link, Outlet, useParams } from "@tanstack/react-router";

import { Page } from "../../components/Page";
import tabs from "../../components/PageTabs.module.css";

const AREAS = [
  ["/projects/$project/delivery/templates", "Templates"],
  ["/projects/$project/delivery/sources", "Metric sources"],
  ["/projects/$project/delivery/channels", "Notifications"],
  ["/projects/$project/delivery/freezes", "Freezes and turns"],
] as const;

/** What rollouts go by: their templates, what their gates ask, who is told, and when nothing may rise. */
export function Delivery() {
  const { project } = useParams({ from: "/projects/$project/delivery" });
  return (
    <Page title="Delivery" lead="What rollouts go by: their templates, the systems that gates ask, who is told, and when no share may rise.">
      <nav className={tabs.tabs} aria-label="Delivery">
        {AREAS.map(([to, label]) => (
          <Link key={to} to={to} params={{ project }} className={tabs.tab}>
            {label}
          </Link>
        ))}
      </nav>
      <Outlet />
    </Page>
  );
}
