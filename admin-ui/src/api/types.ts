/** What the REST API sends and takes, in the words of the design. */

export type Role = "viewer" | "editor" | "operator" | "admin";

export interface Me {
  user: { id: string; name: string; email: string };
  instanceAdmin: boolean;
  roles: Record<string, Role>;
}

export interface Project {
  key: string;
  name: string;
  version: number;
}

export interface Environment {
  key: string;
  name: string;
  production: boolean;
  color?: string | null;
  revision: number;
  epoch: string;
  version: number;
}

export type FlagKind = "boolean" | "string" | "number" | "json";

export interface Variant {
  key: string;
  value: unknown;
  name?: string | null;
}

/** A flag in one environment, as the list shows it. */
export interface FlagState {
  enabled: boolean;
  killed: boolean;
  version: number;
  summary: string;
  /** What is wrong, where its configuration cannot be read. */
  broken?: string | null;
}

export interface Flag {
  key: string;
  name: string;
  description: string;
  tags: string[];
  kind: FlagKind;
  variants: Variant[];
  archived?: boolean;
  version: number;
  environments: Record<string, FlagState>;
}

export interface Test {
  attribute?: string;
  operator: string;
  values?: unknown[];
  negate?: boolean;
  ignoreCase?: boolean;
}

export type Condition = Test | { any: Condition[] } | { all: Condition[] } | { none: Condition[] };

export interface Distribution {
  bucketBy?: string;
  algorithm?: string;
  rollout?: { salt?: string; share: number };
  salt?: string;
  weights?: { variant: string; weight: number }[];
  ranges?: { start: number; end: number; variant: string }[];
}

export type Serve = { variant: string } | { distribution: Distribution };

export interface Rule {
  id?: string;
  conditions?: Condition[];
  serve: Serve;
}

export interface Kill {
  reason: string;
  actorName: string;
  at: string;
}

export interface CompileIssue {
  path?: string;
  message: string;
}

/** A flag's configuration in one environment. */
export interface FlagConfig {
  flag: string;
  environment: string;
  version: number;
  enabled: boolean;
  killed: boolean;
  kill?: Kill | null;
  offVariant?: string | null;
  prerequisites?: { flag: string; variants: string[] }[];
  targets?: { variant: string; values: string[] }[];
  rules?: Rule[];
  default: Serve;
  availability?: "private" | "values" | "rules";
  salt?: string;
  snapshotVersion?: number;
  updatedAt?: string | null;
  issues?: CompileIssue[];
  broken?: string | null;
}

/** The fields of a configuration that people change. */
export type ConfigPatch = Partial<Pick<FlagConfig, "enabled" | "offVariant" | "prerequisites" | "targets" | "rules" | "default" | "availability">>;

export interface AuditRow {
  sequence: number;
  at: string;
  actor: string;
  actorName: string;
  action: string;
  project?: string | null;
  environment?: string | null;
  resource: string;
  before: unknown;
  after: unknown;
  reason: string;
  requestId: string;
  hash: string;
  previousHash: string;
}

export interface Page<T> {
  items: T[];
  nextCursor?: string | null;
}

/** How many connected SDKs evaluate with the environment's newest revision. */
export interface Receipts {
  revision: number;
  connected: number;
  applied: number;
}

export interface SdkKey {
  id: string;
  name: string;
  kind: "server" | "client";
  version: number;
  createdAt?: string;
  lastUsedAt?: string | null;
}

export interface NewFlag {
  key: string;
  name: string;
  description: string;
  tags: string[];
  kind: FlagKind;
  variants: Variant[];
  offVariant?: string;
  defaultVariant?: string;
}
