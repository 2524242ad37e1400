#!/usr/bin/env python3
"""readme_checksums.py STEP03_KVCACHE: the checksums in README.md are those that this build prints.

Runs `verify` on the two models of the repository and looks its figures up in the README's table;
SmolLM2's row is looked at where the model is there. Prints what the table should say if it does not.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ["tiny", "deep"]
SMOLLM2 = ROOT / "weights" / "downloads" / "SmolLM2-135M-Instruct-Q4_1.gguf"


def row(program, model):
    """What the table must contain for a model."""
    done = subprocess.run([program, "verify", "-m", str(model)], capture_output=True, text=True, check=False)
    sums = re.search(r"checksums: steps (\w{16}), prompts (\w{16}), cache (\w{16})", done.stdout)
    total = re.search(r"^ *0 of (\d+) floats differ; bit-identical: yes$", done.stdout, re.M)
    if done.returncode != 0 or not sums or not total:
        sys.exit(f"verify -m {model}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    floats = f"{int(total.group(1)):,}".replace(",", " ")
    return f"| {floats} | 0 | " + " | ".join(f"`{s}`" for s in sums.groups()) + " |"


def main():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    models = [ROOT / "weights" / f"{name}.gguf" for name in MODELS]
    if "--all" in sys.argv and SMOLLM2.exists():
        models.append(SMOLLM2)
    wrong = [(m.stem, r) for m in models if (r := row(sys.argv[1], m)) not in readme]
    for name, expected in wrong:
        print(f"README.md: the row of {name} must end with: {expected}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
