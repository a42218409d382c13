/** What the pages of the area share: why somebody may not, and what is said where somebody else came first. */

import { Alert, Text } from "@mantine/core";

import { Diff } from "../../components/Diff";
import { useFlagActions } from "../flags/FlagActions";
import type { Ability } from "../../lib/access";
import { refusalWords } from "../rollouts/rolloutWords";

export function useRefusal(ability: Ability, doing: string): string | null {
  return refusalWords(useFlagActions().refusal(ability), doing);
}

/** Somebody else changed it since it was read: what they changed, and that nothing that was typed is lost. */
export function Overtaken({ before, after }: { before: unknown; after: unknown }) {
  return (
    <Alert color="yellow" title="Somebody else changed it meanwhile" role="alert">
      <Text size="sm" mb="xs">
        Nothing was saved, and what you typed is still here. This is what they changed; saving again puts yours in its place.
      </Text>
      <Diff before={before} after={after} label="What somebody else changed" />
    </Alert>
  );
}
