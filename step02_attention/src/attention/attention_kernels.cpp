#include <kvlab/attention/attention_kernels.hpp>

#include <kvlab/tensor/error.hpp>
#include <kvlab/tensor/simd_level.hpp>

namespace kvlab {

namespace portable {
extern const AttentionKernels kAttentionKernels;
}

namespace avx2 {
extern const AttentionKernels kAttentionKernels;
}

namespace avx512 {
extern const AttentionKernels kAttentionKernels;
}

const AttentionKernels& attention_kernels(SimdLevel level) {
    check_simd_level(level);
#ifdef KVLAB_HAS_avx512
    if (level == SimdLevel::avx512) return avx512::kAttentionKernels;
#endif
#ifdef KVLAB_HAS_avx2
    if (level == SimdLevel::avx2) return avx2::kAttentionKernels;
#endif
    return portable::kAttentionKernels;
}

}  // namespace kvlab
