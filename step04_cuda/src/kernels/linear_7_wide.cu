// linear_7_wide.cu - chapter 4: y = x w^T for few rows: a grid over panels and chains.
//
// was           linear_6_vector: a block of threads for each panel, and w once for each row
// change        a block of threads for each panel and each block of 64 inputs. It asks for all
//               of its weights at once, up to 16 loads of 16 bytes in every thread; they land
//               in shared memory as they are stored. Then a thread has a column, and all rows
//               of x use it. The chains go to global memory, and a second kernel adds them in
//               order
// why faster    81 blocks instead of 9 for 576 x 576, and each waits for the memory once
// still bad     a second launch, and the chains' way to memory and back: for many rows, or for
//               enough panels to fill the machine, that is more than it saves
#include "chain_sums.cuh"
#include "groups.cuh"

namespace kvlab::KVLAB_KERNELS {

constexpr int kChainGroups = kSumBlock / kGroup;  // groups of a chain
constexpr int kMostChainRows = 8;                 // rows of x that share the weights
constexpr int kPiece = 16;                        // bytes of one load

// The weights of a chain, `bytes` of them, to shared memory by the 64 threads of a block: all
// loads, and only then the first store.
// ANCHOR: fetch
template <TensorType type>
__device__ __forceinline__ void fetch_chain(const unsigned char* from, int bytes, uint4* to) {
    constexpr int kEach =
        (kChainGroups * kGroupBytes<type> / kPiece + kPanel - 1) / kPanel;  // of a thread
    uint4 pieces[kEach];
#pragma unroll
    for (int i = 0; i < kEach; ++i)
        if (const int p = i * kPanel + threadIdx.x; p * kPiece < bytes)
            pieces[i] = reinterpret_cast<const uint4*>(from)[p];
#pragma unroll
    for (int i = 0; i < kEach; ++i)
        if (const int p = i * kPanel + threadIdx.x; p * kPiece < bytes) to[p] = pieces[i];
}

// ANCHOR_END: fetch

// The chains of column c for the first `rows` rows of x.
template <TensorType type, int rows>
__device__ __forceinline__ void sum_chain(const unsigned char* weights,
                                          const float (*inputs)[kSumBlock],
                                          int count,
                                          int c,
                                          float (&chain)[kMostChainRows]) {
    for (int first = 0; first < count; first += kGroup) {
        const unsigned char* group = weights + first / kGroup * kGroupBytes<type>;
        const Scale scale = scale_of<type>(group, c);
        for (int k = 0; k < kGroup && first + k < count; k += kEight) {
            const auto eight = [&](int here) {
                float w[kEight] = {};
                load_column<type>(group, scale, k, here, c, w);
#pragma unroll
                for (int i = 0; i < kEight; ++i)
                    if (i < here)
#pragma unroll
                        for (int r = 0; r < rows; ++r)
                            chain[r] = fmaf(inputs[r][first + k + i], w[i], chain[r]);
            };
            if (kIsCoded<type> || count - first - k >= kEight)
                eight(kEight);  // the compiler knows: nothing is asked eight times
            else
                eight(count - first - k);
        }
    }
}

// Grid (panels, chains), block 64, up to 8 rows. Dynamic shared memory: a chain's weights and
// the rows' inputs. sums [chains][R][N].
// ANCHOR: chains
__global__ void linear_chains(LinearArgs args, ChainSums sums) {
    KVLAB_DYNAMIC_SHARED(uint4, weights);
    __shared__ __align__(16) float inputs[kMostChainRows][kSumBlock];
    const int c = threadIdx.x, begin = blockIdx.y * kSumBlock;
    const int count = smaller(kSumBlock, args.w.depth - begin);
    float in[kMostChainRows] = {};  // rows and inputs that there are not are zeros
#pragma unroll
    for (int r = 0; r < kMostChainRows; ++r)
        if (r < args.rows && c < count) in[r] = row(args.x, r)[begin + c];
    float chain[kMostChainRows] = {};
    for_type(args.w.type, [&](auto of) {
        constexpr TensorType type = decltype(of)::value;
        const unsigned char* from =
            panel_of(args.w, blockIdx.x) +
            static_cast<long long>(blockIdx.y) * kChainGroups * kGroupBytes<type>;
        fetch_chain<type>(from, count * kGroupBytes<type> / kGroup, weights);
#pragma unroll
        for (int r = 0; r < kMostChainRows; ++r) inputs[r][c] = in[r];
        __syncthreads();
        const auto* const stored = reinterpret_cast<const unsigned char*>(weights);
        if (args.rows == 1)
            sum_chain<type, 1>(stored, inputs, count, c, chain);
        else if (args.rows <= 4)
            sum_chain<type, 4>(stored, inputs, count, c, chain);
        else
            sum_chain<type, kMostChainRows>(stored, inputs, count, c, chain);
    });
    const int n = blockIdx.x * kPanel + c;
    if (n >= args.w.outputs) return;
    float* const mine =
        sums.first + static_cast<long long>(blockIdx.y) * sums.rows * sums.outputs + n;
#pragma unroll
    for (int r = 0; r < kMostChainRows; ++r)
        if (r < args.rows) mine[static_cast<long long>(r) * sums.outputs] = chain[r];
}

// ANCHOR_END: chains

// Grid (N / threads, R), any block size.
__global__ void combine_chains(ChainSums sums, const float* bias, Rows y) {
    const int n = blockIdx.x * blockDim.x + threadIdx.x, r = blockIdx.y;
    if (n < sums.outputs) row(y, r)[n] = total_of_chains(sums, r, n, bias);
}

}  // namespace kvlab::KVLAB_KERNELS

#if KVLAB_HOST_CODE
KVLAB_LAUNCHABLE(linear_chains)
KVLAB_LAUNCHABLE(combine_chains)

namespace kvlab::kernels {

ChainSums launch_linear_chains(const LinearArgs& args, Scratch& scratch) {
    const unsigned chains = groups(args.w.depth, kSumBlock);
    const ChainSums sums = {scratch.floats(Index{chains} * args.rows * args.w.outputs),
                            to_int(chains), args.rows, args.w.outputs};
    launch(linear_chains, {groups(args.w.outputs, kPanel), chains}, kPanel,
           usize(raw::kChainGroups * raw::group_bytes(args.w.type)), args, sums);
    return sums;
}

// A few rows at a time: so few chains wait in memory at once that a cache keeps them.
void launch_linear_wide(const LinearArgs& all, unsigned, Scratch& scratch) {
    for (int first = 0; first < all.rows; first += raw::kMostChainRows) {
        LinearArgs args = all;
        args.rows = std::min(raw::kMostChainRows, all.rows - first);
        args.x.first += Index{first} * args.x.stride;
        args.y.first += Index{first} * args.y.stride;
        const ChainSums sums = launch_linear_chains(args, scratch);
        launch(combine_chains,
               {groups(args.w.outputs, kThreads), static_cast<unsigned>(args.rows)}, kThreads,
               0, sums, args.bias, args.y);
    }
}

}  // namespace kvlab::kernels
#endif
