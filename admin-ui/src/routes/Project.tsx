import { useQuery } from "@tanstack/react-query";
import { Navigate, Outlet, useLocation, useParams } from "@tanstack/react-router";
import { useEffect } from "react";

import { isProblem } from "../api/problem";
import { queries } from "../api/queries";
import { Shell } from "../components/Shell";
import { Splash } from "../components/Splash";
import { LiveProvider } from "../features/environments/live";
import { FlagActions } from "../features/flags/FlagActions";
import { rememberProject } from "../lib/storage";

/** Everything under a project: the frame, its live stream, and the dialogs that change its flags. */
export function Project() {
  const { project } = useParams({ from: "/projects/$project" });
  const { href, pathname } = useLocation();
  const me = useQuery(queries.me());
  const projects = useQuery({ ...queries.projects(), enabled: me.isSuccess });
  const environments = useQuery({ ...queries.environments(project), enabled: me.isSuccess });
  const found = environments.isSuccess;
  useEffect(() => {
    if (found) rememberProject(project);
  }, [found, project]);

  if (isProblem(me.error, "unauthenticated") || isProblem(environments.error, "unauthenticated")) {
    // Once under way, the location is the sign-in's own: going there again would nest one `next` in the other, for ever.
    return pathname.startsWith("/projects/") ? <Navigate to="/sign-in" search={{ next: href }} replace /> : null;
  }
  const failed = [me, environments].find((query) => query.error && !query.data);
  if (failed) return <Splash error={failed.error} onRetry={() => void failed.refetch()} home />;
  if (!me.data || !environments.data) return <Splash />;
  return (
    <LiveProvider key={project} project={project} environments={environments.data}>
      <FlagActions project={project} me={me.data}>
        <Shell me={me.data} project={project} projects={projects.data ?? []}>
          <Outlet />
        </Shell>
      </FlagActions>
    </LiveProvider>
  );
}
