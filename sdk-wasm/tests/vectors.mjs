// The language-neutral vectors of `spec/`, asked through the package. Runs in Node.js and in browsers alike: no imports.

/** The time of cases that do not say theirs. */
const DEFAULT_NOW = "2026-01-01T00:00:00Z";

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
