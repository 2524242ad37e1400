#include <kvlab/quant/expand_kernels.hpp>

#include <kvlab/tensor/error.hpp>
#include <kvlab/tensor/simd_level.hpp>

namespace kvlab {

namespace portable {
extern const ExpandKernels kExpandKernels;
}

namespace avx2 {
extern const ExpandKernels kExpandKernels;
}

namespace avx512 {
extern const ExpandKernels kExpandKernels;
}

const ExpandKernels& expand_kernels(SimdLevel level) {
    check_simd_level(level);
#ifdef KVLAB_HAS_avx512
    if (level == SimdLevel::avx512) return avx512::kExpandKernels;
#endif
#ifdef KVLAB_HAS_avx2
    if (level == SimdLevel::avx2) return avx2::kExpandKernels;
#endif
    return portable::kExpandKernels;
}

}  // namespace kvlab
