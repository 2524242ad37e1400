// attention_flash_memory.cuh - chapter 4: what attention_6_async.cu moves: queries, keys and
// values to shared memory, by asynchronous copies, and the answer to global memory.
#pragma once

#include "attention_flash.cuh"

namespace kvlab::KVLAB_KERNELS {

// Starts the copies of piece `step` of the whole walk: of each tile the keys' pieces, then the
// values'. What is not there becomes zeros.
// ANCHOR: start
template <int kPieces>
__device__ __forceinline__ void start_piece(
    const AttentionArgs& args, long long head, int step, int end, float* pieces) {
    const int tile = step / (2 * kPieces), part = step % (2 * kPieces), D = args.head_dim;
    const int begin = part % kPieces * kSumBlock, slots = smaller(kTile, end - tile * kTile);
    const float* from = (part < kPieces ? args.keys : args.values) + head +
                        static_cast<long long>(tile) * kTile * D + begin;
    float* to = pieces + step % 2 * kTile * kTile;
    constexpr int kColumns = kTile / kFour;
    for (int e = threadIdx.x; e < kTile * kColumns; e += blockDim.x) {
        const int s = e / kColumns, i = e % kColumns * kFour;
        const bool there = s < slots && begin + i < D;
        __pipeline_memcpy_async(to + place(s, i), from + (there ? s * D + i : 0), 16,
                                there ? 0 : 16);
    }
}

// ANCHOR_END: start

// The rows' queries, by a warp each.
__device__ __forceinline__ void start_queries(
    const AttentionArgs& args, int kv_head, int first, int rows, float* queries) {
    const int D = args.head_dim, group = args.group;
    for (int r = threadIdx.x / 32; r < rows; r += blockDim.x / 32) {
        const bool there = first + r < args.tokens * group;
        const int t = there ? (first + r) / group : 0, h = there ? (first + r) % group : 0;
        const float* query = row(args.q, t) + (kv_head * group + h) * D;
        for (int i = threadIdx.x % 32; i < D; i += 32)
            __pipeline_memcpy_async(
                queries + i / kSumBlock * rows * kSumBlock + place(r, i % kSumBlock), query + i,
                4, there ? 0 : 4);
    }
}

// The answer of a warp's eight rows, piece by piece: by way of its weights' place, so that
// neighbours store neighbours, wherever the rows begin.
template <int kPieces>
__device__ __forceinline__ void store_rows(const AttentionArgs& args,
                                           int kv_head,
                                           int first,
                                           const FlashRows& rows,
                                           const FlashSums& sums,
                                           const float4 (&all)[kPieces][kFour],
                                           float* weights) {
    const int lane = threadIdx.x % 32, D = args.head_dim, group = args.group;
#pragma unroll
    for (int p = 0; p < kPieces; ++p) {
        __syncwarp();
#pragma unroll
        for (int j = 0; j < kFour; ++j) {
            const float total = __shfl_sync(0xffffffffu, sums.total, j, kHalfWarp);
            const float4 sum = all[p][j];
            *reinterpret_cast<float4*>(weights + place(rows.first + j, rows.x * kFour)) =
                make_float4(sum.x / total, sum.y / total, sum.z / total, sum.w / total);
        }
        __syncwarp();
        const int mine = threadIdx.x / 32 * 8;
        for (int r = mine; r < smaller(mine + 8, args.tokens * group - first); ++r) {
            float* out = row(args.out, (first + r) / group) +
                         (kv_head * group + (first + r) % group) * D;
            for (int i = lane; i < smaller(kSumBlock, D - p * kSumBlock); i += 32)
                out[p * kSumBlock + i] = weights[place(r, i)];
        }
    }
}

}  // namespace kvlab::KVLAB_KERNELS
