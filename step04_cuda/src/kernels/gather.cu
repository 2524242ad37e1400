// gather.cu - chapter 4: the embedding: rows of a table, by token.
#include "weights.cuh"

namespace kvlab::KVLAB_KERNELS {

// x[r] = row tokens[r] of a table in panels. A thread has eight numbers, the least that a 4-bit
// format hands out. In panels the numbers of one row lie 64 apart: 32 sectors per request, the
// price of the layout that the output matrix's product wants, paid for one row. Grid (depth / 8
// / threads, R), any block size.
__global__ void gather_panels(GatherArgs args) {
    const Weights& table = args.table;
    const int k = (blockIdx.x * blockDim.x + threadIdx.x) * kEight;
    const int token = args.tokens[blockIdx.y];
    if (k >= table.depth) return;
    float eight[kEight];
    load_eight(table.type, panel_of(table, token / kPanel), table.depth, k, token % kPanel,
               eight);
    float* out = row(args.x, blockIdx.y) + k;
#pragma unroll
    for (int i = 0; i < kEight; ++i)
        if (k + i < table.depth) out[i] = eight[i];
}

// The same for a table in rows, of floats: a thread has one number.
__global__ void gather_rows(GatherArgs args) {
    const int k = blockIdx.x * blockDim.x + threadIdx.x, token = args.tokens[blockIdx.y];
    if (k < args.table.depth)
        row(args.x, blockIdx.y)[k] =
            args.table.rows[static_cast<long long>(token) * args.table.depth + k];
}

}  // namespace kvlab::KVLAB_KERNELS

#if KVLAB_HOST_CODE
KVLAB_LAUNCHABLE(gather_panels)
KVLAB_LAUNCHABLE(gather_rows)

namespace kvlab::kernels {

void launch_gather(const GatherArgs& args) {
    const bool in_rows = args.table.rows != nullptr;
    const Index each = in_rows ? 1 : raw::kEight;
    launch(in_rows ? gather_rows : gather_panels,
           {groups((args.table.depth + each - 1) / each, kThreads), groups(args.rows, 1)},
           kThreads, 0, args);
}

}  // namespace kvlab::kernels
#endif
