#include <kvlab/tensor/tensor_kernels.hpp>

#include <kvlab/tensor/kernel_levels.hpp>

namespace kvlab {

KVLAB_KERNELS_OF_LEVEL(TensorKernels, tensor_kernels, kTensorKernels)

}  // namespace kvlab
