"""What a program makes of times, recomputed from the readings of the counting clock."""
from reports.checked import reading


class Counting:
    """The counting clock, read as often as the program reads it."""

    def __init__(self):
        self.readings = 0

    def read(self):
        self.readings += 1
        return reading(self.readings - 1)

    def interval(self):
        """Two readings in a row: a watch that starts, and says what passed."""
        start = self.read()
        return self.read() - start


def quartiles(samples):
    """By name, as a report holds them: a quarter of the way between neighbours counts as such."""
    ordered = sorted(samples)

    def at(part):
        below, rest = divmod(part * (len(ordered) - 1), 1)
        low = ordered[int(below)]
        return low + (ordered[min(int(below) + 1, len(ordered) - 1)] - low) * rest

    return {"smallest": ordered[0], "low": at(0.25), "median": at(0.5), "high": at(0.75), "largest": ordered[-1],
            "samples": len(ordered)}


def median(samples):
    return quartiles(samples)["median"]
