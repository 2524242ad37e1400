#include <kvlab/policies/policy_kernels.hpp>

#include <kvlab/tensor/kernel_levels.hpp>

namespace kvlab {

KVLAB_KERNELS_OF_LEVEL(PolicyKernels, policy_kernels, kPolicyKernels)

}  // namespace kvlab
