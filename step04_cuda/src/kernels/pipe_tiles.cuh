// pipe_tiles.cuh - chapter 4: tiles of x and w in shared memory, two sets in turn: one is
// multiplied while asynchronous copies fill the other.
//
//   inputs    [32][132]  x turned: a row for each input, so that four rows of x are one read
//   weights   as the panel has them, of 32 inputs and 64 columns
//   expanded  [32][64]   the same as floats
#pragma once

#include "groups.cuh"

namespace kvlab::KVLAB_KERNELS {

constexpr int kPipeThreads = 128, kPipeRows = 128;
// Floats from input to input of x's tile. Four rows of eight inputs, a warp's copy, fall into
// 32 different banks.
constexpr int kPipeStride = kPipeRows + 4;
constexpr int kInputFloats = kGroup * kPipeStride, kWeightFloats = kGroup * kPanel;
// Both sets of both tiles. Weights in a narrower format arrive as they are stored, two sets in
// the room of one tile, and are expanded into the other.
constexpr int kPipeBytes = 2 * (kInputFloats + kWeightFloats) * 4;

struct PipeTiles {
    float *inputs, *weights, *expanded;  // [32][132]; as stored; [32][64]
};

__device__ __forceinline__ PipeTiles tiles_of(float* shared, TensorType type, int step) {
    const int set = step % 2;
    float* const weights = shared + 2 * kInputFloats;
    PipeTiles tiles = {shared + set * kInputFloats, weights + set * kWeightFloats, nullptr};
    tiles.expanded = tiles.weights;  // floats need no expansion
    if (type != TensorType::f32) {
        tiles.weights = weights + kWeightFloats + set * (kWeightFloats / 2);
        tiles.expanded = weights;
    }
    return tiles;
}

// Rows of this block's tile: all of it, or the first half if no row of x lies beyond.
__device__ __forceinline__ int tile_rows(const LinearArgs& args) {
    const int there = args.rows - static_cast<int>(blockIdx.y) * kPipeRows;
    return there > kPipeRows / 2 ? kPipeRows : kPipeRows / 2;
}

// Sends off the copies of step's 32 inputs: x turned, so that four rows are one read later; w
// in pieces of 16 bytes. Rows that there are not are zeros, whose products nobody stores.
// ANCHOR: copy
__device__ __forceinline__ void copy_tiles(const LinearArgs& args,
                                           int step,
                                           const PipeTiles& to) {
    const int t = threadIdx.x, begin = step * kGroup, first = blockIdx.y * kPipeRows;
    const int count = smaller(kGroup, args.w.depth - begin);
    const int rows = tile_rows(args);
    const int k = t / 32 * 8 + t % 8;  // a warp copies 8 inputs of 4 rows at a time
    if (k < count)
#pragma unroll 4
        for (int r = t % 32 / 8; r < rows; r += 4) {
            float* const at = to.inputs + k * kPipeStride + r;
            if (first + r < args.rows)
                __pipeline_memcpy_async(at, row(args.x, first + r) + begin + k, 4);
            else
                *at = 0.0f;
        }
    const int bytes = group_bytes(args.w.type);
    const unsigned char* from =
        panel_of(args.w, blockIdx.x) + static_cast<long long>(step) * bytes;
    auto* const stored = reinterpret_cast<unsigned char*>(to.weights);
#pragma unroll 4
    for (int p = t * 16; p < bytes / kGroup * count; p += kPipeThreads * 16)
        __pipeline_memcpy_async(stored + p, from + p, 16);
}

// ANCHOR_END: copy

// Stored weights to floats; a thread has one column of eight inputs at a time.
__device__ __forceinline__ void expand_tile(TensorType of, const PipeTiles& tiles, int count) {
    const int c = threadIdx.x % kPanel;
    for_type(of, [&](auto known) {
        constexpr TensorType type = decltype(known)::value;
        const auto* group = reinterpret_cast<const unsigned char*>(tiles.weights);
        const Scale scale = scale_of<type>(group, c);
        for (int in = threadIdx.x / kPanel * kEight; in < count;
             in += kPipeThreads / kPanel * kEight) {
            const int here = smaller(kEight, count - in);
            float w[kEight] = {};
            load_column<type>(group, scale, in, here, c, w);
#pragma unroll
            for (int i = 0; i < kEight; ++i)
                if (i < here) tiles.expanded[(in + i) * kPanel + c] = w[i];
        }
    });
}

}  // namespace kvlab::KVLAB_KERNELS
