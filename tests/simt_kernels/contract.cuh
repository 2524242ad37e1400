// contract.cuh - the kernels of contract.cu, for host code.
#pragma once

#include <kvlab/cuda/launch.hpp>

namespace kvlab {

KVLAB_KERNEL(contract_functions, (const float* x, float* out, int n));
KVLAB_KERNEL(contract_halves, (float* out));

}  // namespace kvlab
