/** The smallest value that is valid by a schema of the document: what answers where nobody has written an answer. */

import { openapi, type Schema } from "./document";

export function sampleOf(schema: Schema): unknown {
  if (schema.$ref !== undefined) return sampleOf(openapi.components.schemas[schema.$ref.replace("#/components/schemas/", "")] ?? {});
  if (schema.enum) return schema.enum[0];
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices) return sampleOf(choices.find(({ type }) => type === "null") ?? choices[0] ?? {});
  const types = [schema.type ?? (schema.allOf || schema.properties ? "object" : "null")].flat();
  if (types.includes("null")) return null;
  switch (types[0]) {
    case "object":
      return objectOf(schema);
    case "array":
      return [];
    case "boolean":
      return false;
    case "integer":
    case "number":
      return schema.minimum ?? 0;
    default:
      return schema.format === "date-time" ? "2026-01-05T09:00:00.000Z" : "a";
  }
}

function objectOf({ allOf = [], properties = {}, required = [] }: Schema): object {
  const parts = allOf.map(sampleOf);
  const own = required.map((name) => [name, sampleOf(properties[name] ?? {})]);
  return Object.assign({}, ...parts, Object.fromEntries(own));
}
