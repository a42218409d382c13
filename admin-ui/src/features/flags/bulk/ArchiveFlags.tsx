import { Text } from "@mantine/core";
import { useState } from "react";

import { api } from "../../../api/client";
import { TypedConfirmation } from "../../../components/TypedConfirmation";
import { BulkDialog, flagsWords } from "./BulkDialog";
import type { ChangeProps } from "./TagFlags";

/** For good: the number is typed, as the keys can never be used again. */
export function ArchiveFlags({ project, flags, ...props }: ChangeProps) {
  const [typed, setTyped] = useState("");
  const confirmation = `archive ${flags.length}`;
  return (
    <BulkDialog
      {...props}
      project={project}
      flags={flags}
      title={`Archive ${flagsWords(flags.length)}?`}
      verb="Archive"
      done="archived"
      color="buoy"
      isReady={typed === confirmation}
      change={({ key, version }, reason) => api.archiveFlag(project, key, version, reason)}
    >
      <Text size="sm">
        Applications that still ask for them get their own default, in every environment. Take them out of their code first. The keys can never be used again. A flag
        that others need, or that a rollout moves, stays.
      </Text>
      <TypedConfirmation word={confirmation} typed={typed} onChange={setTyped} />
    </BulkDialog>
  );
}
