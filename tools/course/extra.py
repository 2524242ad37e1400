"""Hidden cases: more lines for the cases of a judge, which students do not have. Files stepNN.txt, a case and a line in each row:

    # a comment
    3.1 append: a row lies where the layout says | tokens=5 kv_heads=2 seed=77

The left half may be any beginning of a case's name that only one case has. A row that a judge does not understand is
refused: a question that asks for nothing would be passed by everybody.
"""
from course.judge import Parameters, Random, parsed
from course.tasks import Failure

MOST_NUMBERS = 1 << 18  # of one question


class Watched(Parameters):
    """Remembers which parameters the judge has looked at."""

    def __init__(self, *given):
        super().__init__(*given)
        self.seen = set()

    def __getitem__(self, name):
        self.seen.add(name)
        return super().__getitem__(name)

    def __getattr__(self, name):
        self.__dict__["seen"].add(name)
        return super().__getattr__(name)

    def get(self, name, default=None):
        self.seen.add(name)
        return super().get(name, default)

    def __contains__(self, name):
        self.seen.add(name)
        return super().__contains__(name)


def lines_of(folder, step, cases):
    """{case: lines} of the folder's file for a chapter."""
    path = folder / f"step{step:02}.txt"
    if not path.exists():
        raise Failure(f"{path}: there is no such file, expected rows 'CASE | PARAMETERS' for the cases of chapter {step}")
    found = {}
    try:
        rows = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{path}: cannot be read as text: {error}") from None
    for number, row in enumerate(rows, 1):
        if not row.strip() or row.lstrip().startswith("#"):
            continue
        where = f"{path.name}:{number}"
        name, sign, line = (part.strip() for part in row.partition("|"))
        if not sign or not name:
            raise Failure(f"{where}: expected 'CASE | PARAMETERS', found '{row.strip()[:60]}'")
        fitting = [case for case in cases if case == name] or [case for case in cases if case.startswith(name)]
        if len(fitting) != 1:
            raise Failure(f"{where}: {'no case' if not fitting else f'{len(fitting)} cases'} of chapter {step} "
                          f"{'is' if not fitting else 'are'} called '{name}'" + ("; they are: " + "; ".join(cases) if not fitting else ""))
        tried(cases[fitting[0]], line, where)
        if line in cases[fitting[0]].lines or line in found.get(fitting[0], []):
            raise Failure(f"{where}: '{line}' is asked already")
        found.setdefault(fitting[0], []).append(line)
    return found


def tried(case, line, where):
    """Raises Failure unless the judge makes a question of the line, and looks at each of its parameters."""
    try:
        parameters = Watched(parsed(line))
    except ValueError as error:
        raise Failure(f"{where}: {error}") from None
    seed = parameters.pop("seed", 0)
    if not isinstance(seed, int):
        raise Failure(f"{where}: the seed is '{seed}', expected a whole number")
    try:
        given, expected = case.function(parameters, Random(case.name, line, seed, 0))
    except AttributeError as error:
        raise Failure(f"{where}: {error}, which '{case.name}' needs; one of its own lines is '{case.lines[0]}'") from None
    except Exception as error:  # whatever a judge makes of numbers that it was not written for
        raise Failure(f"{where}: '{case.name}' cannot be asked so: {type(error).__name__}: {error}") from None
    unknown = [name for name in parameters if name not in parameters.seen]
    if unknown:
        raise Failure(f"{where}: '{case.name}' has no parameter '{unknown[0]}'; one of its own lines is '{case.lines[0]}'")
    if not expected:
        raise Failure(f"{where}: nothing is expected of an answer to this line")
    if sum(len(getattr(value, "values", ())) for value in given.values()) > MOST_NUMBERS:
        raise Failure(f"{where}: a question of more than {MOST_NUMBERS} numbers")
