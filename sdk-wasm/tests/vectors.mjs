// The language-neutral vectors of `spec/`, asked through the package. Runs in Node.js and in browsers alike: no imports.

/** The time of cases that do not say theirs. */
const DEFAULT_NOW = "2026-01-01T00:00:00Z";

/**
 * The vectors of bucketing as vectors of evaluation: for each row a flag whose only other range than `elsewhere` is the
 * row's bucket.
 */
export function ofBucketing({ algorithm, rows }) {
  const flags = rows.map(({ salt, bucket }, row) => ({
    key: `row-${row}`,
    kind: "string",
    enabled: true,
    variants: [
      { key: "here", value: "here" },
      { key: "elsewhere", value: "elsewhere" },
    ],
    default: {
      distribution: {
        algorithm,
        salt,
        ranges: [
          { start: 0, end: bucket, variant: "elsewhere" },
          { start: bucket, end: bucket + 1, variant: "here" },
          { start: bucket + 1, end: 100_000, variant: "elsewhere" },
        ],
      },
    },
  }));
  const cases = rows.map(({ salt, unit, bucket }, row) => ({
    name: `unit ${JSON.stringify(unit)} under salt ${JSON.stringify(salt)}`,
    flag: `row-${row}`,
    context: { targetingKey: unit },
    expected: { value: "here", variant: "here", reason: "SPLIT", bucket },
  }));
  return { flags, segments: [], cases };
}

/** What is wrong with the answers to a file's cases, as `spec/README.md` says how to run them. */
export function complaints({ createClient }, { flags, segments, cases }) {
  const logger = { debug: () => {}, warn: () => {} };
  const realNow = Date.now;
  const client = createClient({
    url: "http://localhost",
    key: "tgs_vectors",
    bootstrap: { flags, segments },
    offline: true,
    logger,
  });
  const found = [];
  for (const { name, flag, context, now, expected } of cases) {
    // The client takes the time of an evaluation from here.
    Date.now = () => Math.floor(Date.parse(now ?? DEFAULT_NOW));
    try {
      const answer = parts(client.details(flag, undefined, context));
      if (!same(answer, expected)) found.push(`${name}: expected ${JSON.stringify(expected)}, found ${JSON.stringify(answer)}`);
    } finally {
      Date.now = realNow;
    }
  }
  return found;
}

/** The members of an answer that vectors compare. */
function parts({ value, variant, reason, errorCode, rule, bucket }) {
  const members = { value, variant, reason, errorCode, rule, bucket };
  return Object.fromEntries(Object.entries(members).filter(([, member]) => member !== undefined));
}

/** Whatever the order of members. Numbers are doubles here anyway. */
function same(one, other) {
  if (typeof one !== "object" || one === null || typeof other !== "object" || other === null) return one === other;
  if (Array.isArray(one) !== Array.isArray(other)) return false;
  const names = Object.keys(one);
  return names.length === Object.keys(other).length && names.every((name) => Object.hasOwn(other, name) && same(one[name], other[name]));
}
