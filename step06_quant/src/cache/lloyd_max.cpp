#include <kvlab/quant/lloyd_max.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace kvlab {

namespace {

// Of N(0, 1): the density, and the share above t. 1 / sqrt(2 pi) and sqrt(2).
double density(double t) {
    return 0.398942280401432677940 * std::exp(-t * t / 2);
}

double share_above(double t) {
    return std::erfc(t / 1.41421356237309504880) / 2;
}

}  // namespace

std::vector<double> lloyd_max_step(const std::vector<double>& levels) {
    std::vector<double> better(levels.size());
    double below = -std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < levels.size(); ++i) {
        const double above = i + 1 < levels.size() ? (levels[i] + levels[i + 1]) / 2
                                                   : std::numeric_limits<double>::infinity();
        better[i] =
            (density(below) - density(above)) / (share_above(below) - share_above(above));
        below = above;
    }
    return better;
}

std::vector<double> lloyd_max_levels(Index bits) {
    check(bits >= 1 && bits <= 4, "lloyd-max: ", bits, " bits, expected 1 to 4");
    const Index count = Index{1} << bits;
    std::vector<double> levels;
    for (Index i = 0; i < count; ++i)
        levels.push_back((static_cast<double>(2 * i + 1) / static_cast<double>(count) - 1) * 2);
    // Each step moves the levels by less than the last; 16 of them need some thousand steps.
    constexpr double kStill = 1e-14;
    for (double moved = 1; moved > kStill;) {
        const std::vector<double> better = lloyd_max_step(levels);
        moved = 0;
        for (std::size_t i = 0; i < levels.size(); ++i)
            moved = std::max(moved, std::fabs(better[i] - levels[i]));
        levels = better;
    }
    return levels;
}

const float kLloyd1[16] = {-0.797884561f, 0.797884561f, -0.797884561f, 0.797884561f,
                           -0.797884561f, 0.797884561f, -0.797884561f, 0.797884561f,
                           -0.797884561f, 0.797884561f, -0.797884561f, 0.797884561f,
                           -0.797884561f, 0.797884561f, -0.797884561f, 0.797884561f};
const float kLloyd2[16] = {-1.51041761f, -0.452780035f, 0.452780035f, 1.51041761f,
                           -1.51041761f, -0.452780035f, 0.452780035f, 1.51041761f,
                           -1.51041761f, -0.452780035f, 0.452780035f, 1.51041761f,
                           -1.51041761f, -0.452780035f, 0.452780035f, 1.51041761f};
const float kLloyd3[16] = {-2.1519457f,  -1.34390928f, -0.756005281f, -0.245094179f,
                           0.245094179f, 0.756005281f, 1.34390928f,   2.1519457f,
                           -2.1519457f,  -1.34390928f, -0.756005281f, -0.245094179f,
                           0.245094179f, 0.756005281f, 1.34390928f,   2.1519457f};
const float kLloyd4[16] = {-2.73258957f,  -2.06901723f,  -1.61804639f,  -1.2562312f,
                           -0.942340456f, -0.656759119f, -0.388048299f, -0.12839503f,
                           0.12839503f,   0.388048299f,  0.656759119f,  0.942340456f,
                           1.2562312f,    1.61804639f,   2.06901723f,   2.73258957f};

}  // namespace kvlab
