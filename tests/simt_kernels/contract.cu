// contract.cu - the numeric contract's functions, one number per thread, to compare with
// chapter 1.
#include "../../step04_cuda/src/kernels/contract.cuh"

namespace kvlab::KVLAB_KERNELS {

// out [n, 5]: 2^x, its p and n, silu, gelu.
__global__ void contract_functions(const float* x, float* out, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const Exp2Parts parts = exp2_parts(x[i]);
    out[5 * i] = exp2_exact(x[i]);
    out[5 * i + 1] = parts.p;
    out[5 * i + 2] = parts.n;
    out[5 * i + 3] = silu(x[i]);
    out[5 * i + 4] = gelu(x[i]);
}

// out [65536, 3]: each 16 bits as f16 and as bf16, and 2^(bits - 32768).
__global__ void contract_halves(float* out) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    out[3 * i] = f16_to_f32(static_cast<unsigned>(i));
    out[3 * i + 1] = bf16_to_f32(static_cast<unsigned>(i));
    out[3 * i + 2] = pow2(static_cast<float>(i - 32768));
}

}  // namespace kvlab::KVLAB_KERNELS
