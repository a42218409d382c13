import { useQuery } from "@tanstack/react-query";

import { queries } from "../../api/queries";

/** While SDKs are still to confirm, ask again this often. */
const CATCHING_UP_MS = 500;

/** How many of the connected SDKs evaluate with the newest revision; nothing where the server cannot say. */
export function ReceiptsLine({ project, environment }: { project: string; environment: string }) {
  const receipts = useQuery({
    ...queries.receipts(project, environment),
    refetchInterval: ({ state: { data } }) => (data && data.applied < data.connected ? CATCHING_UP_MS : false),
  });
  if (!receipts.data) return null;
  const { applied, connected } = receipts.data;
  if (connected === 0) return <span>No SDK is connected</span>;
  return (
    <span>
      {applied} of {connected} {connected === 1 ? "SDK has" : "SDKs have"} it
    </span>
  );
}
