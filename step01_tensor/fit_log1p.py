#!/usr/bin/env python3
"""Fits the polynomial of log(1 + u) (chapter 1, rule 4) and measures it over every float of [2^-30, 1].

    log(1 + u) = u P(u),   P(u) = 1 + c1 u + ... + c8 u^8,   evaluated by Horner with fma in f32, then one product

c0 is held at 1, so that a small u gives u itself: below 2^-30 the answer is u, as the rounded logarithm is.
Measured as fit.py says, against log1p in double. Fails if the committed coefficients are not those of the fit,
rounded, or if they miss the bound that the contract states.

    fit_log1p.py            the fit, then the committed coefficients over every float
    fit_log1p.py --quick    the last test on every 61st float only (what ctest runs)
"""
import argparse
import sys
import tempfile
from decimal import Decimal

from fit import Meter, remez, show, to_f32

DEGREE = 8
COMMITTED = ["0x1p+0", "-0x1.ffff14p-2", "0x1.5535dap-2", "-0x1.fd1322p-3", "0x1.884456p-3", "-0x1.19ad92p-3",
             "0x1.446c0ep-4", "-0x1.ec9942p-6", "0x1.5f96fep-8"]
BOUND = -22.44  # the contract: relative error <= 2^-22.44

HELPER = r"""
// Reads lines "first step c0 ... c8" and answers each with log2 of the largest relative error over the
// floats u of [first, 1] (every step-th of them), and the u where it is.
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
int main() {
    float first, c[9];
    unsigned step;
    while (std::scanf("%f %u", &first, &step) == 2) {
        for (float& one : c)
            if (std::scanf("%f", &one) != 1) return 1;
        double worst = 0.0;
        float where = 0.0f;
        const std::uint64_t last = std::bit_cast<std::uint32_t>(1.0f);
        for (std::uint64_t b = std::bit_cast<std::uint32_t>(first); b <= last; b += step) {
            const float u = std::bit_cast<float>(static_cast<std::uint32_t>(b));
            float p = c[8];
            for (int k = 7; k >= 0; --k) p = std::fma(p, u, c[k]);
            const double exact = std::log1p(static_cast<double>(u));
            const double error = std::fabs(static_cast<double>(u * p) - exact) / exact;
            if (error > worst) worst = error, where = u;
        }
        std::printf("%.6f %a\n", std::log2(worst), static_cast<double>(where));
        std::fflush(stdout);
    }
}
"""

GRID = [Decimal(i) / 1000 for i in range(1001)]
TRUTH = [(1 + u).ln() / u if u else Decimal(1) for u in GRID]


def main():
    parser = argparse.ArgumentParser(description="fit and test the polynomial of log(1 + u)")
    parser.add_argument("--quick", action="store_true", help="test every 61st float instead of all")
    step = 61 if parser.parse_args().quick else 1
    with tempfile.TemporaryDirectory() as folder:
        meter = Meter(folder, HELPER)
        exact, error = remez({0: Decimal(1)}, DEGREE, GRID, TRUTH)
        show("minimax, in exact arithmetic", [exact[k] for k in range(DEGREE + 1)], error)
        committed = [Decimal(float.fromhex(c)) for c in COMMITTED]
        measured, where = meter.error(committed, 2.0**-30, step)
        meter.close()
    floats = "every float" if step == 1 else "every 61st float"
    show("committed, in f32", committed, measured)
    print(f"committed over {floats} of [2^-30, 1]: largest relative error 2^{measured:.4f} at {where}")
    problems = []
    if measured > BOUND:
        problems.append(f"the committed coefficients miss the bound 2^{BOUND}")
    if committed != [to_f32(exact[k]) for k in range(DEGREE + 1)]:
        problems.append("the fit, rounded, gives other coefficients")
    for problem in problems:
        print("FAILED:", problem)
    print(f"RESULT max_relative_error=2^{measured:.2f} bound=2^{BOUND} ok={'no' if problems else 'yes'}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
