#include <kvlab/quant/int8_kernels.hpp>

#include <kvlab/tensor/error.hpp>
#include <kvlab/tensor/simd_level.hpp>

namespace kvlab {

// Each level's table is defined by int8_kernels.simd.cpp, compiled once per level.
namespace portable {
extern const Int8Kernels kInt8Kernels;
}

namespace avx2 {
extern const Int8Kernels kInt8Kernels;
}

namespace avx512 {
extern const Int8Kernels kInt8Kernels;
}

namespace vnni {
extern const Int8Kernels kInt8Kernels;
}

namespace {

bool has_vnni() {
#ifdef KVLAB_HAS_vnni
    return __builtin_cpu_supports("avx512vnni");
#else
    return false;
#endif
}

}  // namespace

const char* int8_level_name(Int8Level level) {
    static constexpr const char* kNames[] = {"portable", "avx2", "avx512", "vnni"};
    return kNames[static_cast<std::size_t>(level)];
}

Int8Level best_int8_level(SimdLevel level) {
    check_simd_level(level);
    if (level == SimdLevel::avx512) return has_vnni() ? Int8Level::vnni : Int8Level::avx512;
    return level == SimdLevel::avx2 ? Int8Level::avx2 : Int8Level::portable;
}

const Int8Kernels& int8_kernels(Int8Level level) {
    check_simd_level(level == Int8Level::portable ? SimdLevel::portable
                     : level == Int8Level::avx2   ? SimdLevel::avx2
                                                  : SimdLevel::avx512);
    check(level != Int8Level::vnni || has_vnni(),
          "SIMD level vnni is not supported by this processor or not built in");
#ifdef KVLAB_HAS_vnni
    if (level == Int8Level::vnni) return vnni::kInt8Kernels;
#endif
#ifdef KVLAB_HAS_avx512
    if (level == Int8Level::avx512) return avx512::kInt8Kernels;
#endif
#ifdef KVLAB_HAS_avx2
    if (level == Int8Level::avx2) return avx2::kInt8Kernels;
#endif
    return portable::kInt8Kernels;
}

}  // namespace kvlab
