"""The programs that the tools of this folder try, and how a tool is told which."""
import sys
from pathlib import Path

PROGRAMS = {  # program: the folder of its sources
    "step01_tensor": "step01_tensor", "kvlab_weights": "weights", "step02_attention": "step02_attention",
    "step03_kvcache": "step03_kvcache", "step04_cuda": "step04_cuda", "step05_policies": "step05_policies",
    "step06_quant": "step06_quant", "step07_serving": "step07_serving",
    "step07_parallel": "step07_serving/parallel",  # only where there is MPI
    "step08_architectures": "step08_architectures",
}

# Those whose reports are checked.
REPORTERS = [name for name in PROGRAMS if (Path(__file__).parent / "reports" / "fields" / f"{name}.txt").exists()]


def asked(usage):
    """(folder of programs, those to try, whether --write was given) of a command line BIN_FOLDER [PROGRAM ...] [--write]."""
    arguments = [a for a in sys.argv[1:] if a != "--write"]
    if not arguments or set(arguments[1:]) - set(PROGRAMS):
        print(usage, file=sys.stderr)
        sys.exit(2)
    return Path(arguments[0]).resolve(), arguments[1:] or list(PROGRAMS), "--write" in sys.argv
