#include <kvlab/policies/policy_kernels.hpp>

#include <kvlab/tensor/error.hpp>
#include <kvlab/tensor/simd_level.hpp>

namespace kvlab {

namespace portable {
extern const PolicyKernels kPolicyKernels;
}

namespace avx2 {
extern const PolicyKernels kPolicyKernels;
}

namespace avx512 {
extern const PolicyKernels kPolicyKernels;
}

const PolicyKernels& policy_kernels(SimdLevel level) {
    check_simd_level(level);
#ifdef KVLAB_HAS_avx512
    if (level == SimdLevel::avx512) return avx512::kPolicyKernels;
#endif
#ifdef KVLAB_HAS_avx2
    if (level == SimdLevel::avx2) return avx2::kPolicyKernels;
#endif
    return portable::kPolicyKernels;
}

}  // namespace kvlab
