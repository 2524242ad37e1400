// rope.cu - chapter 4: rotary position embedding, in place; and queries scaled for base 2.
#include "rope.cuh"

namespace kvlab::KVLAB_KERNELS {

// The first rope_dim floats of a head are rotated in pairs (2i, 2i + 1), all are multiplied by
// the factor. A thread has one pair. Cosines and sines come from a table that the host made in
// double precision (rule 5): sinf and cosf of a GPU are not exact. Grid (heads * D / 2 /
// threads, R), any block size.
// ANCHOR: rope
__global__ void rotate_heads(RotateArgs args) {
    const int pair = blockIdx.x * blockDim.x + threadIdx.x, pairs = (args.head_dim + 1) / 2;
    if (pair >= args.n_heads * pairs) return;
    const int i = pair % pairs;
    float* head = row(args.heads, blockIdx.y) + pair / pairs * args.head_dim;
    const bool alone = 2 * i + 1 == args.head_dim;
    const long long at = static_cast<long long>(blockIdx.y) * (args.rope_dim / 2);
    const float2 y =
        rotated_pair(make_float2(head[2 * i], alone ? 0.0f : head[2 * i + 1]), i, args.head_dim,
                     args.rope_dim, args.cosines + at, args.sines + at, args.factor);
    head[2 * i] = y.x;
    if (!alone) head[2 * i + 1] = y.y;
}

// ANCHOR_END: rope

}  // namespace kvlab::KVLAB_KERNELS

#if KVLAB_HOST_CODE
KVLAB_LAUNCHABLE(rotate_heads)

namespace kvlab::kernels {

void launch_rotate(const RotateArgs& args) {
    const Index pairs = (Index{args.head_dim} + 1) / 2;
    launch(rotate_heads, {groups(args.n_heads * pairs, kThreads), groups(args.rows, 1)},
           kThreads, 0, args);
}

}  // namespace kvlab::kernels
#endif
