#include <kvlab/architectures/state_kernels.hpp>

#include <kvlab/tensor/kernel_levels.hpp>

namespace kvlab {

KVLAB_KERNELS_OF_LEVEL(StateKernels, state_kernels, kStateKernels)

}  // namespace kvlab
