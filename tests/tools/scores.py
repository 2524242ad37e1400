#!/usr/bin/env python3
"""The C++ engine's scores of a trained model against those that PyTorch measured when it was trained.

    python3 tests/tools/scores.py BIN_FOLDER MODEL

Both follow the definitions in weights/evaluate.py. Bits per byte and the sink mass agree to the digits that the
log holds, up to the rounding of float32 in another order of sums; a share of right answers may differ by one case
where two logits are nearly equal.
"""
from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    program, model = Path(sys.argv[1]) / "step02_attention", sys.argv[2]
    expected = json.loads((ROOT / f"weights/logs/{model}_scores.json").read_text())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scores.json"
        subprocess.run([program, "score", "-m", model, "--json", path], check=True, stdout=subprocess.DEVNULL)
        found = json.loads(path.read_text())
    wrong = []

    def compare(what: str, a: float, b: float, tolerance: float) -> None:
        if not abs(a - b) <= tolerance:
            wrong.append(f"{what}: PyTorch {a}, here {b}")

    compare("bits per byte", expected["bits_per_byte"], found["bits_per_byte"], 2e-5)
    for layer, (a, b) in enumerate(zip(expected["sink_mass"], found["sink_mass"], strict=True)):
        compare(f"sink mass of layer {layer}", a, b, 2e-6)
    if expected["accuracy"].keys() != found["accuracy"].keys():
        wrong.append(f"tasks: PyTorch {sorted(expected['accuracy'])}, here {sorted(found['accuracy'])}")
    for kind, distances in expected["accuracy"].items():
        for distance, share in distances.items():
            compare(f"{kind} at {distance}", share, found["accuracy"].get(kind, {}).get(distance, -1.0), 0.0101)
    print("\n".join(wrong) if wrong else f"{model}: {found['bits_per_byte']:.5f} bits per byte and all shares agree")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
