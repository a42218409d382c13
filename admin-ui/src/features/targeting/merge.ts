/** Two changes of the same targeting, put together: theirs, which is stored, and ours, which is not yet. */

import type { Rule } from "../../api/types";
import { same, type Targeting } from "./draft";

export type Side = "theirs" | "mine";

/** A part of the targeting that was changed since both began. */
export interface Piece {
  id: string;
  title: string;
  /** Absent parts are undefined. */
  base: unknown;
  theirs: unknown;
  mine: unknown;
  /** Whose change it is; null where both changed it, each otherwise: a person has to choose. */
  from: Side | null;
}

const WHOLE_FIELDS = [
  ["prerequisites", "Prerequisites"],
  ["targets", "Units by name"],
  ["default", "Everyone else"],
] as const;

const ORDER = "rules order";

/** The parts in which the sides differ. */
export function piecesOf(base: Targeting, theirs: Targeting, mine: Targeting): Piece[] {
  const fields = WHOLE_FIELDS.map(([field, title]) => piece(field, title, base[field], theirs[field], mine[field]));
  return [...fields, ...rulePieces(base, theirs, mine)].filter((each) => each !== null);
}

function piece(id: string, title: string, base: unknown, theirs: unknown, mine: unknown): Piece | null {
  if (same(theirs, mine)) return null;
  const from = same(base, theirs) ? "mine" : same(base, mine) ? "theirs" : null;
  return { id, title, base, theirs, mine, from };
}

/** Rules by their names; a rule without one is new. Null where names come twice, so that they name nothing. */
function named(rules: Rule[]): Map<string, Rule> | null {
  const byName = new Map(rules.map((rule, at) => [rule.id ? `rule ${rule.id}` : `new ${at}`, rule]));
  return byName.size === rules.length ? byName : null;
}

function rulePieces(base: Targeting, theirs: Targeting, mine: Targeting): (Piece | null)[] {
  const [before, their, our] = [named(base.rules), named(theirs.rules), named(mine.rules)];
  if (!before || !their || !our) return [piece("rules", "Rules", base.rules, theirs.rules, mine.rules)];
  const names = [...new Set([...before.keys(), ...their.keys(), ...our.keys()])];
  const title = (name: string) => (name.startsWith("new ") ? "A new rule" : `Rule ${name.slice("rule ".length)}`);
  const each = names.map((name) => piece(name, title(name), before.get(name), their.get(name), our.get(name)));
  const common = (rules: Map<string, Rule>) => [...rules.keys()].filter((name) => before.has(name) && their.has(name) && our.has(name));
  return [...each, piece(ORDER, "Order of the rules", common(before), common(their), common(our))];
}

/** The targeting with the chosen side of each piece; what only one side changed is that side's unless chosen otherwise. */
export function merge(base: Targeting, theirs: Targeting, mine: Targeting, choices: Readonly<Record<string, Side>>): Targeting {
  const pieces = new Map(piecesOf(base, theirs, mine).map((each) => [each.id, each]));
  const side = (id: string): Side => choices[id] ?? pieces.get(id)?.from ?? "mine";
  const field = <F extends keyof Targeting>(name: F): Targeting[F] => (side(name) === "mine" ? mine : theirs)[name];
  return { prerequisites: field("prerequisites"), targets: field("targets"), rules: mergedRules(theirs, mine, side), default: field("default") };
}

function mergedRules(theirs: Targeting, mine: Targeting, side: (id: string) => Side): Rule[] {
  const [their, our] = [named(theirs.rules), named(mine.rules)];
  if (!their || !our) return (side("rules") === "mine" ? mine : theirs).rules;
  const chosen = (name: string) => (side(name) === "mine" ? our : their).get(name);
  const [first, second] = side(ORDER) === "mine" ? [our, their] : [their, our];
  const order = [...first.keys()];
  // What only the other side has goes behind the rule that it stands behind there.
  let previous = -1;
  for (const name of second.keys()) {
    const at = order.indexOf(name);
    if (at >= 0) previous = at;
    else order.splice(++previous, 0, name);
  }
  return order.map(chosen).filter((rule) => rule !== undefined);
}
