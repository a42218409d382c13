import { useQuery } from "@tanstack/react-query";

import { queries } from "../../api/queries";
import { Gate } from "../auth/Gate";
import { ProjectForm } from "./NewProject";

/** An instance without projects: an administrator makes one, everybody else learns whom to ask. */
export function FirstProject() {
  const me = useQuery(queries.me());
  if (!me.data?.instanceAdmin) {
    return <Gate title="No project yet" lead="You are a member of no project. Ask an administrator to add you to one." />;
  }
  return (
    <Gate title="Your first project" lead="A project holds flags; each flag behaves on its own in every environment.">
      <ProjectForm onDone={() => {}} />
    </Gate>
  );
}
