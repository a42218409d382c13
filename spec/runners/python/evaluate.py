"""A second evaluator, written from spec/README.md alone, and the runner that holds it against the vectors.

    pip install -r spec/runners/python/requirements.txt
    python spec/runners/python/evaluate.py                       every evaluation vector
    python spec/runners/python/evaluate.py FILE…                 these files
    python spec/runners/python/evaluate.py --bucket SALT UNIT    one bucket, for whoever writes vectors

It shares no code with Tidegate and prefers being read to being fast: nothing is compiled but the answer whether a
flag, rule or segment is usable at all. Sections are in the order of spec/README.md.
"""

import datetime
import ipaddress
import json
import pathlib
import re
import sys

import xxhash

VECTORS = pathlib.Path(__file__).resolve().parents[2] / "vectors"
DEFAULT_NOW = "2026-01-01T00:00:00Z"
BUCKETS = 100_000
ABSENT = object()
KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)


class Unusable(Exception):
    """A flag, rule or segment that cannot be used as it is written."""


def demand(condition):
    if not condition:
        raise Unusable


def usable(check, *arguments):
    """Whether `check` passes. A field that is missing or of another shape makes any configuration unusable."""
    try:
        check(*arguments)
        return True
    except (Unusable, KeyError, TypeError, AttributeError, ValueError):
        return False


# --- values: JSON's types, kept apart (in Python, True == 1) ---------------------------------------------------------


def is_text(value):
    return isinstance(value, str)


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_count(value, most=BUCKETS):
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


# --- attributes ------------------------------------------------------------------------------------------------------


def resolve(reference, context, now):
    """The value that `reference` names in the context; absent and null are the same."""
    if reference == "$now":
        return now
    if not reference.startswith("/"):
        value = context.get(reference)
        return ABSENT if value is None else value
    value = context
    for token in reference[1:].split("/"):
        token = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and token in value:
            value = value[token]
        elif isinstance(value, list) and re.fullmatch("0|[1-9][0-9]*", token) and int(token) < len(value):
            value = value[int(token)]
        else:
            return ABSENT
    return ABSENT if value is None else value


# --- operators: `read` turns a JSON value into what is compared, or raises ValueError where it is unusable ------------


def read_scalar(value):
    if isinstance(value, bool) or is_text(value):
        return (type(value), value)
    return (float, read_number(value))


def read_anything(value):
    """For `in`, which knows of every value but null and absent that it is, or is not, equal."""
    if value is ABSENT or value is None:
        raise ValueError
    return None if isinstance(value, (dict, list)) else read_scalar(value)


def read_text(value):
    if not is_text(value):
        raise ValueError
    return value


def read_number(value):
    if not is_number(value):
        raise ValueError
    return float(value)  # numbers are doubles, as in JavaScript


def read_pattern(value):
    # Python understands these, `regex-lite` does not: look-around, back-references, conditionals, atomic groups.
    if re.search(r"\(\?(=|!|<=|<!|>|\(|P=)|\\[1-9]|[*+?}]\+", read_text(value)):
        raise ValueError
    try:
        return re.compile(value, re.ASCII)  # \d, \w, \s and (?i) know ASCII only
    except re.error:
        raise ValueError from None


SEMVER = re.compile(
    r"[vV]?(0|[1-9]\d*)(?:\.(0|[1-9]\d*))?(?:\.(0|[1-9]\d*))?"
    r"(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?",
    re.ASCII,
)


def read_version(value):
    """A tuple in semver's precedence (semver.org §11): numbers before text, fewer identifiers first, none last."""
    match = SEMVER.fullmatch(read_text(value))
    if not match:
        raise ValueError
    major, minor, patch, pre = match.groups()
    identifiers = [(0, int(i), "") if i.isdigit() else (1, 0, i) for i in pre.split(".")] if pre else []
    return (int(major), int(minor or 0), int(patch or 0), not pre, identifiers)


RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:[Zz]|([+-])((?:[01]\d|2[0-3])):([0-5]\d))", re.ASCII
)
EPOCH = datetime.datetime(1970, 1, 1)


def read_instant(value):
    """Whole milliseconds since 1970."""
    if is_number(value):
        return int(value // 1)
    match = RFC3339.fullmatch(read_text(value))
    if not match:
        raise ValueError
    date, time, fraction, sign, hours, minutes = match.groups()
    local = datetime.datetime.strptime(f"{date} {time}", "%Y-%m-%d %H:%M:%S")
    offset = datetime.timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    utc = local + offset if sign == "-" else local - offset
    return (utc - EPOCH) // datetime.timedelta(milliseconds=1) + int((fraction or "0").ljust(3, "0")[:3])


def unmapped(address):
    """::ffff:a.b.c.d is the IPv4 address a.b.c.d."""
    return getattr(address, "ipv4_mapped", None) or address


def read_address(value):
    if "%" in read_text(value):
        raise ValueError  # a zone means something on one machine only
    return unmapped(ipaddress.ip_address(value))


def read_network(value):
    address, slash, length = read_text(value).partition("/")
    address = ipaddress.ip_address(address) if "%" not in address else None
    if address is None or (slash and not re.fullmatch("0|[1-9][0-9]{0,2}", length)):
        raise ValueError
    length = int(length) if slash else address.max_prefixlen
    if getattr(address, "ipv4_mapped", None) and length >= 96:
        address, length = address.ipv4_mapped, length - 96
    return ipaddress.ip_network((address, length), strict=False)


def lowered(found):
    """Texts, bare or as `read_scalar` has them, with every character lower-cased by itself: no rule for a final sigma."""
    if isinstance(found, tuple) and found[0] is str:
        return (str, lowered(found[1]))
    return "".join(character.lower() for character in found) if is_text(found) else found


# name: (read the attribute, read an operand, does attribute `a` hold against operand `b`)
OPERATORS = {
    "in": (read_anything, read_scalar, lambda a, b: a == b),
    "contains": (read_text, read_text, lambda a, b: b in a),
    "startsWith": (read_text, read_text, lambda a, b: a.startswith(b)),
    "endsWith": (read_text, read_text, lambda a, b: a.endswith(b)),
    "matches": (read_text, read_pattern, lambda a, b: bool(b.search(a))),
    "lessThan": (read_number, read_number, lambda a, b: a < b),
    "lessOrEqual": (read_number, read_number, lambda a, b: a <= b),
    "greaterThan": (read_number, read_number, lambda a, b: a > b),
    "greaterOrEqual": (read_number, read_number, lambda a, b: a >= b),
    "semverEqual": (read_version, read_version, lambda a, b: a == b),
    "semverLess": (read_version, read_version, lambda a, b: a < b),
    "semverLessOrEqual": (read_version, read_version, lambda a, b: a <= b),
    "semverGreater": (read_version, read_version, lambda a, b: a > b),
    "semverGreaterOrEqual": (read_version, read_version, lambda a, b: a >= b),
    "before": (read_instant, read_instant, lambda a, b: a < b),
    "after": (read_instant, read_instant, lambda a, b: a > b),
    "inCidr": (read_address, read_network, lambda a, b: a in b),
}
TEXT = ("in", "contains", "startsWith", "endsWith")


# --- conditions ------------------------------------------------------------------------------------------------------


def check_condition(condition, segments):
    """Raises where the condition cannot be used; the whole rule around it then never matches."""
    demand(isinstance(condition, dict))
    for group in ("any", "all", "none"):
        if group in condition:
            demand(len(condition) == 1 and isinstance(condition[group], list) and condition[group])
            for member in condition[group]:
                check_condition(member, segments)
            return
    operator, values = condition["operator"], condition.get("values", [])
    demand(is_text(operator) and isinstance(values, list) and is_text(condition.get("attribute", "")))
    demand(all(isinstance(condition.get(flag, False), bool) for flag in ("negate", "ignoreCase")))
    if operator == "exists":
        return demand(not values)
    demand(values)
    if operator == "segment":
        demand(all(value in segments for value in values))
    else:
        _, read, _ = OPERATORS[operator]
        for value in values:
            read(value)


def holds(condition, context, now, segments):
    def inner(member):
        return holds(member, context, now, segments)

    if "any" in condition:
        return any(map(inner, condition["any"]))
    if "all" in condition:
        return all(map(inner, condition["all"]))
    if "none" in condition:
        return not any(map(inner, condition["none"]))

    negate, values = condition.get("negate", False), condition.get("values", [])
    if condition["operator"] == "segment":
        return any(in_segment(segments[key], context, now, segments) for key in values) != negate
    value = resolve(condition.get("attribute", ""), context, now)
    if condition["operator"] == "exists":
        return (value is not ABSENT) != negate

    answer = decide(condition, value)
    if isinstance(value, list):  # a list is always decided
        answer = any(decide(condition, element) for element in value if element is not None)
    return answer is not None and answer != negate


def decide(condition, value):
    """Whether `value` holds against one of the operands; None: unknown, as the operator cannot use it."""
    read_attribute, read_operand, compare = OPERATORS[condition["operator"]]
    try:
        found = read_attribute(value)
    except (ValueError, TypeError):
        return None
    operands = [read_operand(operand) for operand in condition["values"]]
    if condition.get("ignoreCase"):
        if condition["operator"] in TEXT:
            found, operands = lowered(found), [lowered(operand) for operand in operands]
        elif condition["operator"] == "matches":
            operands = [re.compile(operand.pattern, re.ASCII | re.IGNORECASE) for operand in operands]
    return any(compare(found, operand) for operand in operands)


# --- segments --------------------------------------------------------------------------------------------------------


def in_segment(segment, context, now, segments):
    key = context.get("targetingKey")
    if key is not None and key in segment.get("excluded", []):
        return False
    if key is not None and key in segment.get("included", []):
        return True
    return any(
        all(holds(condition, context, now, segments) for condition in rule["conditions"])
        for rule in segment.get("rules", [])
    )


def check_segment(segment, segments):
    """Raises where anything in it is unusable: one rule left out would widen every rule that negates the segment."""
    for name in ("included", "excluded"):
        demand(isinstance(segment.get(name, []), list) and all(map(is_text, segment.get(name, []))))
    for rule in segment.get("rules", []):
        demand(isinstance(rule["conditions"], list) and rule["conditions"])
        for condition in rule["conditions"]:
            check_condition(condition, segments)


def usable_segments(segments):
    """Those that are no part of a cycle, name none that is unusable, and are sound themselves."""
    named = {
        key: [name for rule in segment.get("rules", []) for c in rule["conditions"] for name in segments_named(c)]
        for key, segment in segments.items()
    }
    found = {key: segment for key, segment in segments.items() if not on_a_cycle(key, named)}
    while True:
        sound = {key: segment for key, segment in found.items() if usable(check_segment, segment, found)}
        if len(sound) == len(found):
            return sound
        found = sound


def segments_named(condition):
    """The keys of the segments that a condition names, however deep."""
    if not isinstance(condition, dict):
        return
    for group in ("any", "all", "none"):
        for member in condition.get(group, []):
            yield from segments_named(member)
    if condition.get("operator") == "segment":
        yield from condition.get("values", [])


# --- buckets ---------------------------------------------------------------------------------------------------------


class UnitMissing(Exception):
    """A bucket is needed, and there is no unit."""


class UnitInvalid(Exception):
    """The unit is neither text nor an integral number within ±(2^53 − 1)."""


def bucket(salt, unit):
    seed = xxhash.xxh3_64_intdigest(salt.encode())
    return (xxhash.xxh3_64_intdigest(unit.encode(), seed=seed) * BUCKETS) >> 64


def unit_of(distribution, context, now):
    value = resolve(distribution.get("bucketBy", "targetingKey"), context, now)
    if value is ABSENT:
        raise UnitMissing
    if is_text(value):
        return value
    if is_number(value) and float(value).is_integer() and abs(value) < 2**53:
        return str(int(value))
    raise UnitInvalid


def ranges_of(distribution):
    """The table of buckets in order, without empty ranges, and with neighbours of one variant joined."""
    if "weights" in distribution:
        ranges, start = [], 0
        for weight in distribution["weights"]:
            ranges.append((start, start + weight["weight"], weight["variant"]))
            start += weight["weight"]
    else:
        ranges = sorted((range_["start"], range_["end"], range_["variant"]) for range_ in distribution["ranges"])
    joined = []
    for start, end, variant in ranges:
        if joined and joined[-1][2] == variant:
            joined[-1] = (joined[-1][0], end, variant)
        elif start < end:
            joined.append((start, end, variant))
    return joined


def split_salt(flag, distribution):
    """A salt of its own is used as it is; the flag's has to be there."""
    own = distribution.get("salt")
    demand(own is not None or flag.get("salt"))
    return flag["salt"] if own is None else own


def rollout_salt(flag, distribution):
    own = distribution["rollout"].get("salt")
    demand(own is not None or flag.get("salt"))
    return flag["salt"] + "/rollout" if own is None else own


# --- flags -----------------------------------------------------------------------------------------------------------


def check_kind(kind, value):
    demand(
        {
            "boolean": lambda: isinstance(value, bool),
            "string": lambda: is_text(value),
            "number": lambda: is_number(value),
            "json": lambda: isinstance(value, (dict, list)),
        }[kind]()
    )


def read_serve(serve):
    """Raises where the JSON is not what a serve looks like."""
    demand(len(serve) == 1)
    if "variant" in serve:
        return demand(KEY.fullmatch(serve["variant"]))
    distribution = serve["distribution"]
    demand(("weights" in distribution) != ("ranges" in distribution))
    for weight in distribution.get("weights", []):
        demand(is_count(weight["weight"], most=2**32 - 1) and KEY.fullmatch(weight["variant"]))
    for range_ in distribution.get("ranges", []):
        demand(is_count(range_["start"], most=2**32 - 1) and is_count(range_["end"], most=2**32 - 1))
        demand(KEY.fullmatch(range_["variant"]))
    if distribution.get("rollout") is not None:
        demand(is_count(distribution["rollout"]["share"], most=2**32 - 1))


def check_serve(flag, serve, variants):
    """Raises where the serve names what is not there, or does not add up."""
    if "variant" in serve:
        return demand(serve["variant"] in variants)
    distribution = serve["distribution"]
    demand(distribution.get("algorithm", "xxh3-v1") == "xxh3-v1")
    demand(distribution.get("bucketBy") != "$now")
    parts = distribution.get("weights") or distribution.get("ranges")
    demand(parts and all(part["variant"] in variants for part in parts))
    if "weights" in distribution:
        demand(len({weight["variant"] for weight in parts}) == len(parts))
        demand(sum(weight["weight"] for weight in parts) == BUCKETS)
    else:
        end = 0
        for range_ in sorted(parts, key=lambda range_: (range_["start"], range_["end"])):
            demand(range_["start"] == end <= range_["end"])
            end = range_["end"]
        demand(end == BUCKETS)
    if distribution.get("rollout") is not None:
        demand(distribution["rollout"]["share"] <= BUCKETS)
        rollout_salt(flag, distribution)
    if len(ranges_of(distribution)) > 1:
        split_salt(flag, distribution)


def serves(flag):
    return [rule["serve"] for rule in flag.get("rules", [])] + [flag["default"]]


def read_flag(flag):
    """Raises where the flag cannot be read, or its variants cannot be used: then not even killing it helps."""
    demand(KEY.fullmatch(flag["key"]))
    demand(flag["kind"] in ("boolean", "string", "number", "json"))
    demand(all(isinstance(flag.get(field, False), bool) for field in ("enabled", "killed")))
    demand(all(isinstance(flag.get(field, []), list) for field in ("prerequisites", "targets", "rules")))
    variants = [variant["key"] for variant in flag["variants"]]
    demand(variants and len(set(variants)) == len(variants) and all(map(KEY.fullmatch, variants)))
    for variant in flag["variants"]:
        check_kind(flag["kind"], variant["value"])
    demand(flag.get("offVariant") is None or flag["offVariant"] in variants)
    for target in flag.get("targets", []):
        demand(KEY.fullmatch(target["variant"]) and all(map(is_text, target["values"])))
    for prerequisite in flag.get("prerequisites", []):
        demand(KEY.fullmatch(prerequisite["flag"]) and all(map(KEY.fullmatch, prerequisite["variants"])))
    for serve in serves(flag):
        read_serve(serve)


def check_flag(flag):
    """Raises where the flag is broken. Unusable conditions do not break a flag: their rule never matches."""
    variants = [variant["key"] for variant in flag["variants"]]
    demand(all(target["variant"] in variants for target in flag.get("targets", [])))
    demand(all(prerequisite["variants"] for prerequisite in flag.get("prerequisites", [])))
    for serve in serves(flag):
        check_serve(flag, serve, variants)


def on_a_cycle(start, following):
    """Whether following `following` (a key to its successors' keys) leads from `start` back to it."""
    seen, open_ = set(), list(following.get(start, []))
    while open_:
        key = open_.pop()
        if key == start:
            return True
        if key not in seen:
            seen.add(key)
            open_ += following.get(key, [])
    return False


class Ruleset:
    """Flags and segments by key, the broken ones told apart."""

    def __init__(self, file):
        self.segments = usable_segments({segment["key"]: segment for segment in file.get("segments", [])})
        self.flags = {flag["key"]: flag for flag in file["flags"]}
        self.unreadable = {key for key, flag in self.flags.items() if not usable(read_flag, flag)}
        readable = {key: flag for key, flag in self.flags.items() if key not in self.unreadable}
        self.broken = {key for key, flag in readable.items() if not usable(check_flag, flag)}
        needed = {
            key: [prerequisite["flag"] for prerequisite in flag.get("prerequisites", [])]
            for key, flag in readable.items()
        }
        self.broken |= {key for key in needed if on_a_cycle(key, needed)}


# --- evaluation ------------------------------------------------------------------------------------------------------


def evaluate(ruleset, key, context, now):
    """What `expected` of a case looks like."""
    if not isinstance(context, dict) or not isinstance(context.get("targetingKey"), (str, type(None))):
        return error("INVALID_CONTEXT")
    if key not in ruleset.flags:
        return error("FLAG_NOT_FOUND")
    if key in ruleset.unreadable:
        return error("PARSE_ERROR")
    flag = ruleset.flags[key]
    if flag.get("killed") or not flag.get("enabled"):
        return answer(flag, flag.get("offVariant"), "DISABLED")
    if key in ruleset.broken:
        return error("PARSE_ERROR")
    try:
        return decided(ruleset, flag, context, now)
    except UnitMissing:
        return error("TARGETING_KEY_MISSING")
    except UnitInvalid:
        return error("INVALID_CONTEXT")


def decided(ruleset, flag, context, now):
    off = flag.get("offVariant")
    for prerequisite in flag.get("prerequisites", []):
        served = evaluate(ruleset, prerequisite["flag"], context, now)
        if served.get("variant") not in prerequisite["variants"]:
            return answer(flag, off, "DISABLED")

    for target in flag.get("targets", []):
        if context.get("targetingKey") in target["values"]:
            return answer(flag, target["variant"], "TARGETING_MATCH")

    for index, rule in enumerate(flag.get("rules", [])):
        conditions = rule.get("conditions", [])
        if not all(usable(check_condition, condition, ruleset.segments) for condition in conditions):
            continue
        if all(holds(condition, context, now, ruleset.segments) for condition in conditions):
            served = serve(flag, rule["serve"], context, now, "TARGETING_MATCH")
            if served:
                return served | {"rule": index}

    decides = flag.get("prerequisites") or flag.get("targets") or flag.get("rules")
    served = serve(flag, flag["default"], context, now, "DEFAULT" if decides else "STATIC")
    return served or answer(flag, off, "DEFAULT")


def serve(flag, serve, context, now, reason_for_one):
    """The answer, or None where the rollout leaves the unit out."""
    if "variant" in serve:
        return answer(flag, serve["variant"], reason_for_one)
    distribution = serve["distribution"]
    share = (distribution.get("rollout") or {"share": BUCKETS})["share"]
    if share == 0:
        return None
    ranges = ranges_of(distribution)
    if share == BUCKETS and len(ranges) == 1:
        return answer(flag, ranges[0][2], reason_for_one)
    unit, found = unit_of(distribution, context, now), None
    if share < BUCKETS:
        found = bucket(rollout_salt(flag, distribution), unit)
        if found >= share:
            return None
    if len(ranges) > 1:
        found = bucket(split_salt(flag, distribution), unit)
    (variant,) = [variant for start, end, variant in ranges if start <= found < end]
    return answer(flag, variant, "SPLIT") | {"bucket": found}


def answer(flag, variant, reason):
    if variant is None:
        return {"reason": reason}
    (value,) = [candidate["value"] for candidate in flag["variants"] if candidate["key"] == variant]
    return {"value": value, "variant": variant, "reason": reason}


def error(code):
    return {"reason": "ERROR", "errorCode": code}


# --- the runner ------------------------------------------------------------------------------------------------------


def canonical(value):
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def failures(path):
    """The number of cases in a vector file, and a line for each that fails."""
    vectors = json.loads(path.read_text(encoding="utf-8"))
    ruleset, lines = Ruleset(vectors), []
    names = [case["name"] for case in vectors["cases"]]
    lines += [f"{path.name}: two cases are named {name!r}" for name in sorted(set(names)) if names.count(name) > 1]
    for case in vectors["cases"]:
        now = read_instant(case.get("now", DEFAULT_NOW))
        found = canonical(evaluate(ruleset, case["flag"], case["context"], now))
        if found != canonical(case["expected"]):
            lines.append(f"{path.name}: {case['name']}\n  expected {canonical(case['expected'])}\n  found    {found}")
    return len(names), lines


def main(arguments):
    if arguments[:1] == ["--bucket"]:
        return print(bucket(*arguments[1:]))
    paths = [pathlib.Path(argument) for argument in arguments] or sorted(VECTORS.glob("evaluation-*.json"))
    results = [failures(path) for path in paths]
    lines = [line for _, lines in results for line in lines]
    print(*lines, f"{sum(count for count, _ in results)} cases in {len(paths)} files, {len(lines)} failed", sep="\n")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
