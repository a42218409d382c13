import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { queries } from "../../api/queries";
import type { Environment } from "../../api/types";
import { EnvironmentName } from "../../components/EnvironmentName";
import styles from "./Tabs.module.css";

/** The environment that the address names, or production, or the first. */
export function useEnvironment(project: string, asked: string | undefined): { environments: Environment[]; environment: Environment | undefined } {
  const environments = useQuery(queries.environments(project)).data ?? [];
  const environment = environments.find((each) => each.key === asked) ?? environments.find((each) => each.production) ?? environments[0];
  return { environments, environment };
}

/** The same page in another environment. */
export function EnvironmentTabs({ environments, current }: { environments: Environment[]; current: Environment | undefined }) {
  return (
    <nav className={styles.tabs} aria-label="Environment">
      {environments.map((each) => (
        <Link
          key={each.key}
          to="."
          search={(search) => ({ ...search, environment: each.key })}
          replace
          resetScroll={false}
          className={styles.tab}
          activeProps={{ "aria-current": undefined }}
          aria-current={each.key === current?.key ? "true" : undefined}
        >
          <EnvironmentName environment={each} />
        </Link>
      ))}
    </nav>
  );
}
