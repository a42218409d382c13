import { Gate } from "../auth/Gate";

/** An instance without a project for this person: they learn whom to ask. Administrators are led through making one. */
export function FirstProject() {
  return <Gate title="No project yet" lead="You are a member of no project. Ask an administrator to add you to one." />;
}
