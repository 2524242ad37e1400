#include <kvlab/tensor/simd_level.hpp>

#ifdef KVLAB_HAS_avx2
#include <cpuid.h>
#endif

#include <algorithm>
#include <cstdlib>

#include <kvlab/tensor/error.hpp>

namespace kvlab {

const char* simd_level_name(SimdLevel level) {
    switch (level) {
        case SimdLevel::avx512:
            return "avx512";
        case SimdLevel::avx2:
            return "avx2";
        default:
            return "portable";
    }
}

namespace {

#ifdef KVLAB_HAS_avx2
// Conversion of f16; not every compiler's __builtin_cpu_supports knows the name.
bool has_f16c() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}
#endif

std::vector<SimdLevel> detect_simd_levels() {
    std::vector<SimdLevel> levels = {SimdLevel::portable};
    // Every processor with AVX2 converts f16 as well (F16C); not every compiler can
    // ask for that.
#ifdef KVLAB_HAS_avx2
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c())
        levels.push_back(SimdLevel::avx2);
#endif
#ifdef KVLAB_HAS_avx512
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        levels.push_back(SimdLevel::avx512);
#endif
    return levels;
}

}  // namespace

const std::vector<SimdLevel>& supported_simd_levels() {
    static const std::vector<SimdLevel> levels = detect_simd_levels();
    return levels;
}

void check_simd_level(SimdLevel level) {
    const auto& levels = supported_simd_levels();
    if (std::find(levels.begin(), levels.end(), level) == levels.end()) [[unlikely]]
        throw Error(concat("SIMD level ", simd_level_name(level),
                           " is not supported by this processor or not built in"));
}

SimdLevel parse_simd_level(std::string_view name) {
    for (SimdLevel level : {SimdLevel::portable, SimdLevel::avx2, SimdLevel::avx512}) {
        if (name != simd_level_name(level)) continue;
        check_simd_level(level);
        return level;
    }
    throw Error(concat("SIMD level must be portable, avx2 or avx512, found '", name, "'"));
}

SimdLevel default_simd_level() {
    if (const char* name = std::getenv("KVLAB_SIMD")) return parse_simd_level(name);
    return supported_simd_levels().back();
}

}  // namespace kvlab
