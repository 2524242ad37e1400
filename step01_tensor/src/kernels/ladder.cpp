#include <kvlab/tensor/ladder.hpp>

#include <kvlab/tensor/kernel_levels.hpp>

namespace kvlab {

KVLAB_KERNELS_OF_LEVEL(LadderKernels, ladder_kernels, kLadderKernels)

}  // namespace kvlab
