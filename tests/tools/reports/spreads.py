"""Means and deviations of windows, and pairs of rows: from the standard library's statistics, and written as decimals. No checks of
its own."""
import statistics
from decimal import ROUND_HALF_EVEN, Decimal

from reports.checked import number


def shown(samples):
    """"0.036 ± 0.012": the deviation in one digit, or two if it begins with a 1; the mean as far."""
    mean, deviation = statistics.fmean(samples), statistics.stdev(samples) if len(set(samples)) > 1 else 0.0
    if deviation == 0:
        return number(samples[0])
    exact = Decimal(deviation)
    one, two = (exact.quantize(Decimal(1).scaleb(exact.adjusted() - more), ROUND_HALF_EVEN) for more in (0, 1))
    # Two digits if those that are shown begin with a 1: 0.0194 is 0.019, 0.0197 is 0.02, and 0.096 is 0.10.
    places = -two.as_tuple().exponent if two.scaleb(-two.adjusted()) < Decimal("1.95") or one.adjusted() > exact.adjusted() else -one.as_tuple().exponent
    if one.adjusted() > exact.adjusted():
        places = -one.adjusted() + 1
    if places <= 6:
        return f"{mean:.{max(0, places)}f} ± {deviation:.{max(0, places)}f}"
    power = max(Decimal(abs(mean)).adjusted(), exact.adjusted())
    left = max(0, places + power)
    return f"({Decimal(mean).scaleb(-power):.{left}f} ± {exact.scaleb(-power):.{left}f})e{power}"


def near(run, path, expected):
    """A divergence: nearly equal numbers were taken from each other, and where hardly anything is left that is rounding."""
    found = run.at(path)
    if expected == 0 or abs(found - expected) > 1e-13:
        run.second_route(path, expected, 1e-8)
    else:
        run.second_route(path, found)


def claim_windows(run, at, kl, agreement, baseline=None, claim=near):
    """The figures of single windows below `at`. kl, agreement: by window. baseline: the path of the row to compare with. Returns what
    the table has in the columns of the mean and of the comparison."""
    for w, value in enumerate(kl):
        claim(run, f"{at}window_kl[{w}]", value)
        run.second_route(f"{at}window_agreement[{w}]", agreement[w], 1e-12)
    found = [run.at(f"{at}window_kl[{w}]") for w in range(len(kl))]
    run.same_report(f"{at}mean_kl_deviation", statistics.stdev(found) if len(found) > 1 else 0.0, 1e-6)
    if baseline is None:
        return shown(found), ""
    others = [run.at(f"{baseline}window_kl[{w}]") for w in range(len(kl))]
    differences = [a - b for a, b in zip(found, others)]
    lower = sum(a < b for a, b in zip(found, others))
    run.same_report(f"{at}kl_against_baseline", statistics.fmean(differences), 1e-9)
    run.same_report(f"{at}kl_against_baseline_deviation", statistics.stdev(differences) if len(found) > 1 else 0.0, 1e-6)
    run.same_report(f"{at}windows_below_baseline", lower)
    return shown(found), f"{lower} of {len(kl)}"
