#include <kvlab/tensor/tensor_kernels.hpp>

#include <kvlab/tensor/error.hpp>
#include <kvlab/tensor/simd_level.hpp>

namespace kvlab {

// Each level's table is defined by tensor_kernels.simd.cpp, compiled once per level.
namespace portable {
extern const TensorKernels kTensorKernels;
}

namespace avx2 {
extern const TensorKernels kTensorKernels;
}

namespace avx512 {
extern const TensorKernels kTensorKernels;
}

const TensorKernels& tensor_kernels(SimdLevel level) {
    check_simd_level(level);
#ifdef KVLAB_HAS_avx512
    if (level == SimdLevel::avx512) return avx512::kTensorKernels;
#endif
#ifdef KVLAB_HAS_avx2
    if (level == SimdLevel::avx2) return avx2::kTensorKernels;
#endif
    return portable::kTensorKernels;
}

}  // namespace kvlab
