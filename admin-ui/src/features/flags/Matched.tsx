import { useQuery } from "@tanstack/react-query";

import { queries } from "../../api/queries";
import styles from "./FlagPage.module.css";
import { matchedWords } from "./served";

interface MatchedProps {
  project: string;
  flag: string;
  environment: string;
  /** The rule's id; without one, nobody can count it. */
  rule: string | undefined;
}

/** To how many a rule applied lately, as applications tell. */
export function Matched({ project, flag, environment, rule }: MatchedProps) {
  const found = useQuery(queries.insights(project, flag, environment)).data;
  const words = found && rule ? matchedWords(found, rule) : null;
  return words === null ? null : <p className={styles.matched}>{words}</p>;
}
