/** Contexts to begin with. */

import type { Condition } from "../../api/types";
import type { EvaluationContext } from "./evaluator";

/** Somebody, of whom nothing is known. */
export const SOMEBODY: EvaluationContext = { targetingKey: "user-1" };

const itself = (value: unknown) => value;

/** For a test's operator and one of its values, an attribute that the test holds for. */
const HOLDING: Record<string, (value: unknown) => unknown> = {
  in: itself,
  contains: itself,
  startsWith: itself,
  endsWith: itself,
  lessThan: (value) => Number(value) - 1,
  lessOrEqual: itself,
  greaterThan: (value) => Number(value) + 1,
  greaterOrEqual: itself,
  semverEqual: itself,
  semverLessOrEqual: itself,
  semverGreaterOrEqual: itself,
  inCidr: (network) => String(network).split("/")[0],
};

/** Somebody for whom a rule holds, as far as its conditions say by themselves: what segments and patterns need is left to people. */
export function somebodyFor(conditions: Condition[]): EvaluationContext {
  return Object.assign({}, SOMEBODY, ...conditions.map(attributesFor)) as EvaluationContext;
}

function attributesFor(condition: Condition): EvaluationContext {
  if ("all" in condition) return Object.assign({}, ...condition.all.map(attributesFor)) as EvaluationContext;
  if ("any" in condition) return condition.any.map(attributesFor).find((found) => Object.keys(found).length > 0) ?? {};
  if ("none" in condition) return {};
  const { attribute, operator, values = [], negate } = condition;
  const holding = HOLDING[operator];
  const [value] = values;
  // The time is asked for in a field of its own, and a pointer is of something nested.
  if (!attribute || /^[$/]/.test(attribute) || negate || !holding || value === undefined) return {};
  return { [attribute]: holding(value) };
}
