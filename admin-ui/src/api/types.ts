/** The generated types, by the names that the UI has for them. */

import type {
  AuditRecord,
  Configuration,
  ConfigureFlag,
  CreateFlag,
  EnvironmentState,
  ExportedFile,
  FlagConfig as FileFlag,
  FlagItem,
  FlagStatus,
  FlagVariant,
  ResourceFlag,
  ResourceMadeChannel,
  ResourceMetricSource,
  ResourceNotificationChannel,
  ResourceProject,
  ResourceSegment,
  RolloutView,
  TemplateView,
} from "./generated";

export type {
  Broken,
  CompileIssue,
  CreatedSdkKey,
  DeliveryView,
  Distribution,
  ExportedFile,
  FlagInsights,
  FlagKind,
  GateBaseline,
  GateJudgement,
  GatePreset,
  Me,
  Member,
  NewSdkKey,
  NotificationSeverity,
  NotificationTarget,
  Receipts,
  Role,
  RolloutAction,
  RolloutArms,
  RolloutGate,
  RolloutOnHarm,
  RolloutPreview,
  RolloutSpec,
  RolloutStep,
  RolloutWaiting,
  RolloutWindow,
  SdkKey,
  SdkKeyKind,
  SegmentItem,
  SegmentRule,
  Serve,
  SourceKind,
  Test,
  TestedMetricSource,
  TestResult,
  Token,
  User,
} from "./generated";
export type { Answer, BucketRange, Condition, Explained, Prerequisite, Rule, SegmentConfig, Step, Target } from "./generated";

/** An environment as the evaluator gets it. */
export type FlagFile = ExportedFile;
/** A flag with its configuration, as a flag file has it. */
export type FlagInFile = FileFlag;
export type SegmentInFile = NonNullable<FlagFile["segments"]>[number];

export type Project = ResourceProject;
export type Environment = EnvironmentState;
export type Variant = FlagVariant;
/** A flag, the same in every environment. */
export type Flag = ResourceFlag;
/** What dialogs and switches have to know of a flag. */
export type FlagHead = Pick<Flag, "key" | "name" | "kind" | "variants">;
/** A flag in the list, and how it stands in each environment. */
export type ListedFlag = FlagItem;
export type FlagState = FlagStatus;
/** A flag's configuration in one environment. */
export type FlagConfig = Configuration;
/** The fields of a configuration that people change. */
export type ConfigPatch = ConfigureFlag;
export type NewFlag = CreateFlag;
export type AuditRow = AuditRecord;
export type Rollout = RolloutView;
export type RolloutTemplate = TemplateView;
/** A system that gates ask. */
export type MetricSource = ResourceMetricSource;
/** Where people are told what happens. */
export type NotificationChannel = ResourceNotificationChannel;
export type MadeChannel = ResourceMadeChannel;
export type Segment = ResourceSegment;

export interface Page<T> {
  items: T[];
  nextCursor?: string | null;
}
