import type { MantineSize } from "@mantine/core";

import { TextLink } from "../../components/TextLink";
import type { EvaluationContext } from "./evaluator";
import styles from "./TryLink.module.css";

interface TryProps {
  project: string;
  environment: string;
  flag: string;
  context?: EvaluationContext;
  /** What is tried, for whoever does not see where the link is. */
  of: string;
  size?: MantineSize;
}

/** The way to the playground: what does this flag give, and why? */
export function TryLink({ project, environment, flag, context, of, size = "sm" }: TryProps) {
  return (
    <TextLink to="/projects/$project/playground" params={{ project }} search={{ environment, flag, ...(context ? { context } : {}) }} size={size} className={styles.try}>
      Try it<span className="visually-hidden">: {of}</span>
    </TextLink>
  );
}
