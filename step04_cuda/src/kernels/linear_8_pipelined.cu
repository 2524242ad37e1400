// linear_8_pipelined.cu - chapter 4: y = x w^T for many rows: 8 x 8 outputs per thread, and the
// next tiles are on their way while these are multiplied.
//
// was           linear_5_registers: five reads of shared memory for 16 fma, and between two
//               tiles all threads wait for the copy
// change        a block of 128 threads computes 128 rows x 64 outputs, each thread 8 x 8: four
//               reads of 16 bytes for 64 fma. There are two sets of tiles of 32 inputs. While
//               one is multiplied, asynchronous copies fill the other: they go from global to
//               shared memory past the registers, and no thread waits before it needs them
// why faster    64 fma for 4 reads instead of 16 for 5; the wait for memory is hidden by fma
// still bad     128 registers of a thread hold sums, the chain's and the total's: few warps fit
//               beside each other. A short prompt and few outputs give the machine few blocks.
//               Tensor cores stay out: the order in which they add is nowhere defined
#include "pipe_tiles.cuh"

namespace kvlab::KVLAB_KERNELS {

constexpr int kOwn = 8, kHalf = kOwn / 2;    // rows, and columns, of a thread: two times four
constexpr int kPipeColumns = kPanel / kOwn;  // threads side by side

// A thread's four of one half of a tile, or eight of both: neighbours read side by side.
template <int count>
__device__ __forceinline__ void read_own(const float* from, int half, float (&to)[kOwn]) {
#pragma unroll
    for (int h = 0; h < count / kHalf; ++h) {
        const float4 four = *reinterpret_cast<const float4*>(from + h * half);
        to[h * kHalf] = four.x, to[h * kHalf + 1] = four.y;
        to[h * kHalf + 2] = four.z, to[h * kHalf + 3] = four.w;
    }
}

// Adds `count` inputs to the chains of the thread at (tx, ty): of its first `rows` rows.
// ANCHOR: multiply
template <int rows>
__device__ __forceinline__ void multiply(
    const PipeTiles& tiles, int count, int tx, int ty, float (&chain)[kOwn][kOwn]) {
#pragma unroll 4
    for (int k = 0; k < count; ++k) {
        float in[kOwn] = {}, w[kOwn] = {};
        read_own<rows>(tiles.inputs + k * kPipeStride + ty * kHalf, kPipeRows / 2, in);
        read_own<kOwn>(tiles.expanded + k * kPanel + tx * kHalf, kPanel / 2, w);
#pragma unroll
        for (int i = 0; i < rows; ++i)
#pragma unroll
            for (int j = 0; j < kOwn; ++j) chain[i][j] = fmaf(in[i], w[j], chain[i][j]);
    }
}

// ANCHOR_END: multiply

__device__ __forceinline__ void store(const LinearArgs& args,
                                      int tx,
                                      int ty,
                                      const float (&total)[kOwn][kOwn]) {
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
        const int r =
            blockIdx.y * kPipeRows + i / kHalf * (kPipeRows / 2) + ty * kHalf + i % kHalf;
        if (r >= args.rows) continue;
#pragma unroll
        for (int j = 0; j < kOwn; ++j) {
            const int n =
                blockIdx.x * kPanel + j / kHalf * (kPanel / 2) + tx * kHalf + j % kHalf;
            if (n < args.w.outputs)
                row(args.y, r)[n] =
                    args.bias == nullptr ? total[i][j] : total[i][j] + args.bias[n];
        }
    }
}

// Grid (panels, R / 128), block 128.
// ANCHOR: pipelined
__global__ void __launch_bounds__(kPipeThreads, 2) linear_pipelined(LinearArgs args) {
    KVLAB_DYNAMIC_SHARED(float, shared);
    const int t = threadIdx.x, tx = t % kPipeColumns, ty = t / kPipeColumns;
    const int depth = args.w.depth, steps = (depth + kGroup - 1) / kGroup;
    const TensorType type = args.w.type;
    float total[kOwn][kOwn] = {};
    copy_tiles(args, 0, tiles_of(shared, type, 0));
    __pipeline_commit();
    for (int begin = 0; begin < steps; begin += kSumBlock / kGroup) {
        float chain[kOwn][kOwn] = {};
        for (int step = begin; step < smaller(begin + kSumBlock / kGroup, steps); ++step) {
            const PipeTiles tiles = tiles_of(shared, type, step);
            const int count = smaller(kGroup, depth - step * kGroup);
            if (step + 1 < steps) copy_tiles(args, step + 1, tiles_of(shared, type, step + 1));
            __pipeline_commit();       // after the last step the group is empty
            __pipeline_wait_prior(1);  // my copies have arrived, all but the next step's
            __syncthreads();           // and those of the other threads
            if (type != TensorType::f32) {
                expand_tile(type, tiles, count);
                __syncthreads();
            }
            if (tile_rows(args) == kPipeRows)
                multiply<kOwn>(tiles, count, tx, ty, chain);
            else
                multiply<kHalf>(tiles, count, tx, ty, chain);
            __syncthreads();  // before the copies of the next round overwrite this set
        }
#pragma unroll
        for (int i = 0; i < kOwn; ++i)
#pragma unroll
            for (int j = 0; j < kOwn; ++j)
                total[i][j] = add_block(begin == 0, total[i][j], chain[i][j]);
    }
    store(args, tx, ty, total);
}

// ANCHOR_END: pipelined

}  // namespace kvlab::KVLAB_KERNELS

#if KVLAB_HOST_CODE
KVLAB_LAUNCHABLE(linear_pipelined)

namespace kvlab::kernels {

void launch_linear_pipelined(const LinearArgs& args, unsigned threads, Scratch&) {
    launch(linear_pipelined,
           {groups(args.w.outputs, kPanel), groups(args.rows, raw::kPipeRows)}, threads,
           raw::kPipeBytes, args);
}

}  // namespace kvlab::kernels
#endif
