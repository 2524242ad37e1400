#include <kvlab/tensor/ladder.hpp>

#include <kvlab/tensor/error.hpp>
#include <kvlab/tensor/simd_level.hpp>

namespace kvlab {

// Each level's table is defined by ladder.simd.cpp, compiled once per level.
namespace portable {
extern const LadderKernels kLadderKernels;
}

namespace avx2 {
extern const LadderKernels kLadderKernels;
}

namespace avx512 {
extern const LadderKernels kLadderKernels;
}

const LadderKernels& ladder_kernels(SimdLevel level) {
    check_simd_level(level);
#ifdef KVLAB_HAS_avx512
    if (level == SimdLevel::avx512) return avx512::kLadderKernels;
#endif
#ifdef KVLAB_HAS_avx2
    if (level == SimdLevel::avx2) return avx2::kLadderKernels;
#endif
    return portable::kLadderKernels;
}

}  // namespace kvlab
