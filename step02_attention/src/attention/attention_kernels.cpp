#include <kvlab/attention/attention_kernels.hpp>

#include <kvlab/tensor/kernel_levels.hpp>

namespace kvlab {

KVLAB_KERNELS_OF_LEVEL(AttentionKernels, attention_kernels, kAttentionKernels)

}  // namespace kvlab
