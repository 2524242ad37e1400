#!/usr/bin/env python3
"""readme_checksums.py STEP03_KVCACHE: the checksums in README.md are those that this build prints and those that are committed.

Runs `verify` on the two models of the repository and looks its figures up in the README's table; a copy under another
name is known by its content, and one in which a byte differs, or another run, is not compared.

SmolLM2's row, and the checksum of the demo, are looked at with --all where the model is there. Prints what the table should say if it does not.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ["tiny", "deep"]
SMOLLM2 = ROOT / "weights" / "downloads" / "SmolLM2-135M-Instruct-Q4_1.gguf"


def row(program, model):
    """What the table must contain for a model."""
    done = subprocess.run([program, "verify", "-m", str(model)], capture_output=True, text=True, check=False)
    sums = re.search(r"checksums: steps (\w{16}), prompts (\w{16}), cache (\w{16})", done.stdout)
    total = re.search(r"^ *0 of (\d+) floats differ; bit-identical: yes$", done.stdout, re.M)
    if done.returncode != 0 or not sums or not total or not re.search(r"^  as committed: yes$", done.stdout, re.M):
        sys.exit(f"verify -m {model}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    floats = f"{int(total.group(1)):,}".replace(",", " ")
    return f"| {floats} | 0 | " + " | ".join(f"`{s}`" for s in sums.groups()) + " |"


def check_demo(program, readme):
    """What the README shows of `tools/demo.sh`: the checksum of both its runs."""
    done = subprocess.run([program, "generate", "-m", str(SMOLLM2), "-p", "The meaning of life is", "-n", "64"], capture_output=True, text=True, check=False)
    found = re.search(r"checksum of all logits (\w{16})", done.stdout)
    shown = re.findall(r"checksum of all logits (\w{16})", readme)
    return [] if found and shown == [found[1]] * 2 else [f"README.md: the demo's checksum is {found and found[1]}, shown are {shown}"]


def check_what_is_compared(program):
    """`verify` knows a committed model by its content, and claims nothing of other files and other runs."""
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        copy, other = pathlib.Path(folder, "copy.gguf"), pathlib.Path(folder, "other.gguf")
        data = (ROOT / "weights" / "tiny.gguf").read_bytes()
        copy.write_bytes(data)
        other.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))  # the last weight, by its sign or exponent
        for what, options, verdict in ((copy.name, ["-m", copy], "yes"), (other.name, ["-m", other], "not compared, no value is committed for this file"),
                                       ("-n 4", ["-m", copy, "-n", "4"], "not compared, no value is committed for other than the default options"),
                                       ("-t 1", ["-m", copy, "-t", "1"], "not compared, no value is committed for other than the default options")):
            report = pathlib.Path(folder, "report.json")
            done = subprocess.run([program, "verify", "--json", report, *options], capture_output=True, text=True, check=False)
            found = json.loads(report.read_text()) if report.exists() else {}
            expected = True if verdict == "yes" else None
            result = f"compared_with_committed={int(verdict == 'yes')} as_committed={'yes' if verdict == 'yes' else 'not_compared'}\n"
            if done.returncode != 0 or f"  as committed: {verdict}\n" not in done.stdout or not done.stdout.endswith(result) \
                    or found.get("as_committed", 0) is not expected or found["models"][0]["as_committed"] is not expected:
                wrong.append(f"verify {what}: expected exit 0 and 'as committed: {verdict}', found {done.returncode}: {done.stdout}{done.stderr}")
    return wrong


def main():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    models = [ROOT / "weights" / f"{name}.gguf" for name in MODELS]
    if "--all" in sys.argv and SMOLLM2.exists():
        models.append(SMOLLM2)
    wrong = [(m.stem, r) for m in models if (r := row(sys.argv[1], m)) not in readme]
    for name, expected in wrong:
        print(f"README.md: the row of {name} must end with: {expected}")
    others = check_what_is_compared(sys.argv[1]) + (check_demo(sys.argv[1], readme) if SMOLLM2 in models else [])
    print("\n".join(others), end="")
    return 1 if wrong or others else 0


if __name__ == "__main__":
    sys.exit(main())
