"""Writes bucketing-v1.json with an implementation that shares no code with Tidegate.

    pip install xxhash && python spec/vectors/generate_bucketing.py

The vectors are append-only: bucketing version 1 is frozen, so a run may only add rows. Python's integers have no
width, so the formula of spec/README.md stands here as it is written there.
"""

import json
import pathlib

import xxhash

BUCKETS = 100_000
PATH = pathlib.Path(__file__).with_name("bucketing-v1.json")

SALTS = [
    "",
    "a",
    "salt",
    "3f9a1c",
    "checkout-2026",
    "checkout-2026/rollout",
    "01J9Z3T5W8KXQ4N7V2B6M0C1DE",
    "соль",
    "塩 🧂",
    "x" * 300,
]

UNITS = [
    "",
    " ",
    "a",
    "A",
    "ab",
    "abc",
    "abcd",
    "abcdefgh",
    "abcdefghi",
    "user-00000000",
    "user-1",
    "0123456789abcdef",
    "0123456789abcdefg",
    "9d2f7a54-6f0e-4f5b-9a35-0b8f5a7c2e11",
    "ada@example.com",
    "zoë",
    "zoe\u0308",  # the same name, decomposed: other bytes, another unit
    "用户-7",
    "🦀",
    "line\nbreak",
    "nul\u0000inside",
    "0",
    "-1",
    "42",
    "9007199254740991",
    "-9007199254740991",
    "u" * 127,
    "u" * 128,
    "u" * 129,
    "u" * 240,
    "u" * 241,
    "ü" * 150,  # 300 bytes
]

# Where a comparison that is off by one shows: the first, the last, and both sides of usual shares.
EDGES = [0, 1, 999, 1_000, 9_999, 10_000, 24_999, 25_000, 33_332, 33_333, 49_999, 50_000, 74_999, 75_000, 99_998, 99_999]
EDGE_SALTS = ["checkout-2026", "checkout-2026/rollout"]


def row(salt: str, unit: str) -> dict:
    seed = xxhash.xxh3_64_intdigest(salt.encode())
    hash_ = xxhash.xxh3_64_intdigest(unit.encode(), seed=seed)
    return {"salt": salt, "unit": unit, "seed": f"{seed:016x}", "hash": f"{hash_:016x}", "bucket": (hash_ * BUCKETS) >> 64}


def unit_in_bucket(salt: str, bucket: int) -> str:
    """The first of user-0, user-1, … that falls into `bucket`."""
    seed = xxhash.xxh3_64_intdigest(salt.encode())
    number = 0
    while (xxhash.xxh3_64_intdigest(f"user-{number}".encode(), seed=seed) * BUCKETS) >> 64 != bucket:
        number += 1
    return f"user-{number}"


def main() -> None:
    rows = [row(salt, unit) for salt in SALTS for unit in UNITS]
    rows += [row(salt, unit_in_bucket(salt, edge)) for salt in EDGE_SALTS for edge in EDGES]

    if PATH.exists():
        frozen = json.loads(PATH.read_text())["rows"]
        assert rows[: len(frozen)] == frozen, "vectors are append-only: a frozen row would change"

    lines = ",\n".join("    " + json.dumps(row, ensure_ascii=True) for row in rows)
    PATH.write_text(f'{{\n  "algorithm": "xxh3-v1",\n  "rows": [\n{lines}\n  ]\n}}\n')
    print(f"{len(rows)} rows")


if __name__ == "__main__":
    main()
