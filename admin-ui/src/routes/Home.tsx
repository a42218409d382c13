import { useQuery } from "@tanstack/react-query";
import { Navigate } from "@tanstack/react-router";

import { isProblem } from "../api/problem";
import { queries } from "../api/queries";
import { Splash } from "../components/Splash";
import { FirstProject } from "../features/environments/FirstProject";
import { lastProject } from "../lib/storage";

/** Goes to where the person was, or to where they have to start. */
export function Home() {
  const me = useQuery(queries.me());
  const projects = useQuery({ ...queries.projects(), enabled: me.isSuccess });
  if (isProblem(me.error, "unauthenticated")) return <Navigate to="/sign-in" replace />;
  if (me.error || projects.error) return <Splash error={me.error ?? projects.error} onRetry={() => void (me.error ? me : projects).refetch()} />;
  if (!projects.data) return <Splash />;
  const last = lastProject();
  const project = projects.data.find(({ key }) => key === last) ?? projects.data[0];
  if (!project) return me.data?.instanceAdmin ? <Navigate to="/start" replace /> : <FirstProject />;
  return <Navigate to="/projects/$project" params={{ project: project.key }} replace />;
}
