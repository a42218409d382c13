import { useQuery } from "@tanstack/react-query";

import { queries, RECEIPTS_MS } from "../../api/queries";

/** While SDKs are still to confirm, ask again this often. */
const CATCHING_UP_MS = 500;

interface LineProps {
  project: string;
  environment: string;
  /** Said of a change just made: it, and how long the slowest took. */
  applied?: boolean;
}

/** How many of the connected SDKs evaluate with the newest revision; nothing where the server cannot say. */
export function ReceiptsLine({ project, environment, applied: ofChange = false }: LineProps) {
  const receipts = useQuery({
    ...queries.receipts(project, environment),
    refetchInterval: ({ state: { data } }) => (data && data.applied < data.connected ? CATCHING_UP_MS : RECEIPTS_MS),
  });
  if (!receipts.data) return null;
  const { applied, connected, slowestMs } = receipts.data;
  if (connected === 0) return <span>No SDK is connected</span>;
  if (ofChange) {
    const slowest = applied === connected && typeof slowestMs === "number" ? `, slowest ${slowestMs.toLocaleString("en")} ms` : applied < connected ? ", the others follow" : "";
    return (
      <span role="status">
        Applied on {applied} of {connected} {connected === 1 ? "SDK" : "SDKs"}
        {slowest}
      </span>
    );
  }
  return (
    <span>
      {applied} of {connected} {connected === 1 ? "SDK has" : "SDKs have"} it
    </span>
  );
}
