import { Alert, Button, List } from "@mantine/core";

import { problemOf } from "../api/problem";
import { WarningIcon } from "./icons";
import { capitalised, Said } from "./Said";

/** A failed request in the server's words, with the field that it names. */
export function ProblemAlert({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const problem = problemOf(error);
  return (
    <Alert color="buoy" variant="light" icon={<WarningIcon />} title={problem.title} role="alert">
      <Said>{capitalised(problem.message)}</Said>
      {problem.field ? (
        <>
          {" "}
          (at <code>{problem.field}</code>)
        </>
      ) : null}
      {problem.issues.length > 0 ? (
        <List size="sm" mt={6}>
          {problem.issues.map((issue) => (
            <List.Item key={`${issue.path} ${issue.message}`}>
              {issue.path ? <code>{issue.path}</code> : null} <Said>{issue.message}</Said>
            </List.Item>
          ))}
        </List>
      ) : null}
      {onRetry ? (
        <Button size="xs" variant="default" mt="sm" onClick={onRetry} display="block">
          Try again
        </Button>
      ) : null}
    </Alert>
  );
}
