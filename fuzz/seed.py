"""Writes a corpus for compile_evaluate from the evaluation vectors: each flag with the contexts that it is asked about."""

import json
import pathlib

ROOT = pathlib.Path(__file__).parent
CORPUS = ROOT / "corpus" / "compile_evaluate"


def main() -> None:
    CORPUS.mkdir(parents=True, exist_ok=True)
    n_seeds = 0
    for path in sorted((ROOT.parent / "spec" / "vectors").glob("evaluation-*.json")):
        vectors = json.loads(path.read_text())
        flags = {flag["key"]: flag for flag in vectors["flags"] if isinstance(flag, dict) and "key" in flag}
        for index, case in enumerate(vectors["cases"]):
            flag = flags.get(case["flag"])
            if flag is None:
                continue
            needed = [flags[needed["flag"]] for needed in flag.get("prerequisites") or [] if needed["flag"] in flags]
            seed = {"flags": [flag, *needed], "segments": vectors.get("segments", [])[:4], "context": case["context"]}
            (CORPUS / f"{path.stem}-{index}").write_text(json.dumps(seed, separators=(",", ":")))
            n_seeds += 1
    print(f"{n_seeds} seeds")


if __name__ == "__main__":
    main()
