// Random test data: seeded, and with the values that break code.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include <kvlab/tensor/random.hpp>
#include <kvlab/tensor/tensor.hpp>

namespace kvlab::test {

inline std::vector<float> normals(Index n, std::uint64_t seed, float scale = 1.0f) {
    std::vector<float> values(usize(n));
    Rng rng(seed);
    for (float& x : values) x = rng.normal() * scale;
    return values;
}

inline Tensor random_tensor(Shape shape, std::uint64_t seed, float scale = 1.0f) {
    Tensor t(shape);
    Rng rng(seed);
    for (float& x : t.flat()) x = rng.normal() * scale;
    return t;
}

// Finite values of every kind: ordinary, large, tiny, subnormal, +0, -0, whole numbers, halves.
inline std::vector<float> extremes(Index n, std::uint64_t seed) {
    const float special[] = {0.0f,
                             -0.0f,
                             1.0f,
                             -1.0f,
                             0.5f,
                             -0.5f,
                             1.5f,
                             0x1p-149f,
                             -0x1p-149f,
                             0x1p-126f,
                             -0x1p-126f,
                             126.5f,
                             127.5f,
                             128.0f,
                             -126.5f,
                             -127.0f,
                             -127.5f,
                             1e3f,
                             -1e3f,
                             1e30f,
                             -1e30f,
                             std::numeric_limits<float>::max(),
                             std::numeric_limits<float>::lowest()};
    std::vector<float> values(usize(n));
    Rng rng(seed);
    for (float& x : values) switch (rng.below(4)) {
            case 0:
                x = special[rng.below(23)];
                break;
            case 1:
                x = rng.normal() * 30.0f;
                break;
            case 2:
                x = rng.normal() * 0x1p-130f;
                break;
            default:
                x = rng.normal();
                break;
        }
    return values;
}

}  // namespace kvlab::test
