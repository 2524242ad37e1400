"""The judge of a chapter, loaded from tests/course/stepNN.py."""
import importlib

from course import judge


def cases_of(step):
    """{name: Case} of a chapter, in the order of its judge."""
    importlib.import_module(f"step{step:02}")
    return {name: case for name, case in judge.CASES.items() if name.startswith(f"{step}.")}
