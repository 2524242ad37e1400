// sizes.hpp - chapter 4: sizes that kernels and the host code that launches them share. Kernels
// count in int; launch_checks.cpp compares these with the sizes of chapters 1 and 2.
#pragma once

// Before a function that kernels and host code call.
#ifdef __CUDACC__
#define KVLAB_BOTH_SIDES __host__ __device__
#else
#define KVLAB_BOTH_SIDES
#endif

namespace kvlab::kernels {

constexpr int kWarp = 32;

constexpr int kSumBlock = 64;     // terms of one chain (rule 2)
constexpr int kPanel = 64;        // outputs of a panel of weights
constexpr int kTile = kSumBlock;  // slots of a tile (rule 3), whose weights are one chain

constexpr int kTileStride = kTile + 1;  // floats from row to row of a tile in shared memory
constexpr int kMostTileRows = 16;       // rows (token, query head) of one block of threads
constexpr int kWeightStride = kMostTileRows + 4;  // floats from slot to slot of their weights

// Bytes of dynamic shared memory for attention_tile.cuh.
constexpr int tile_bytes(int rows, int head_dim) {
    return (kTile * kTileStride + head_dim * kMostTileRows + kTile * kWeightStride +
            rows * head_dim) *
           4;
}

constexpr int kWide = 4;                    // floats of one load of 16 bytes
constexpr int kWideStride = kTile + kWide;  // floats from row to row where such loads read
constexpr int kVectorThreads = 128;         // of a block that has one tile

// Bytes of dynamic shared memory for attention_piece.cuh.
constexpr int piece_bytes(int rows, int head_dim) {
    return (kTile * kWideStride + (rows + 3) / 4 * 4 * (head_dim + kWideStride)) * 4;
}

constexpr int kMostFlashRows = 64;  // of one block of attention_6_async.cu
constexpr int kThreadsPerRow = 4;   // there

// Bytes of dynamic shared memory for attention_6_async.cu: two pieces of a tile, the queries'
// pieces, the weights.
constexpr int flash_bytes(int rows, int head_dim) {
    const int pieces = (head_dim + kSumBlock - 1) / kSumBlock;
    return (2 * kTile + (pieces + 1) * rows) * kSumBlock * 4;
}

constexpr int kMostArgmaxBlocks = 128;
constexpr int kArgmaxLoads = 4;                         // of one thread at a time
constexpr int kArgmaxInts = 1 + 2 * kMostArgmaxBlocks;  // the answer, then what blocks leave

constexpr int kNormThreads = 256;   // of rms_norm_3_vector.cu
constexpr int kMostWideRow = 4096;  // floats that they hold in registers

// Bytes for a row in blocks of 64 with a gap of 4, and its blocks' sums.
constexpr int wide_row_bytes(int width) {
    return (width + kSumBlock - 1) / kSumBlock * (kWideStride + 1) * 4;
}

// Bytes for a padded row of row_sums.cuh and its blocks' sums.
constexpr int row_bytes(int width) {
    return (width + (width - 1) / kSumBlock + (width + kSumBlock - 1) / kSumBlock) * 4;
}

}  // namespace kvlab::kernels
