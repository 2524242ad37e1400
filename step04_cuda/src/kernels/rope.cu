// rope.cu - chapter 4: rotary position embedding, in place; and queries scaled for base 2.
#include "contract.cuh"

namespace kvlab::KVLAB_KERNELS {

// heads [R, heads, D], rows `stride` floats apart; cosines and sines [R, rope_dim / 2], of each
// row's position. The first rope_dim floats of a head are rotated in pairs (2i, 2i + 1), all
// are multiplied by `factor`. A thread has one pair. They come from a table that the host made
// in double precision (rule 5): sinf and cosf of a GPU are not exact. Grid (heads * D / 2 /
// threads, R), any block size.
// ANCHOR: rope
__global__ void rotate_heads(float* heads,
                             int stride,
                             const float* cosines,
                             const float* sines,
                             int n_heads,
                             int head_dim,
                             int rope_dim,
                             float factor) {
    const int pair = blockIdx.x * blockDim.x + threadIdx.x, pairs = (head_dim + 1) / 2;
    if (pair >= n_heads * pairs) return;
    const int i = pair % pairs;
    float* head = heads + static_cast<long long>(blockIdx.y) * stride + pair / pairs * head_dim;
    const float x0 = head[2 * i];
    if (2 * i + 1 == head_dim) {  // an odd head's last number has no partner
        head[2 * i] = x0 * factor;
        return;
    }
    const float x1 = head[2 * i + 1];
    if (2 * i >= rope_dim) {
        head[2 * i] = x0 * factor;
        head[2 * i + 1] = x1 * factor;
        return;
    }
    const long long at = static_cast<long long>(blockIdx.y) * (rope_dim / 2) + i;
    const float c = cosines[at], s = sines[at];
    head[2 * i] = fmaf(x0, c, -(x1 * s)) * factor;
    head[2 * i + 1] = fmaf(x1, c, x0 * s) * factor;
}

// ANCHOR_END: rope

}  // namespace kvlab::KVLAB_KERNELS
