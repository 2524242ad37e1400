#include <kvlab/quant/expand_kernels.hpp>

#include <kvlab/tensor/kernel_levels.hpp>

namespace kvlab {

KVLAB_KERNELS_OF_LEVEL(ExpandKernels, expand_kernels, kExpandKernels)

}  // namespace kvlab
