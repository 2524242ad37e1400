// tile_sizes.hpp - chapter 4: how much shared memory the kernels ask for, for host code.
#pragma once

namespace kvlab {

constexpr int kTileStride = 65;    // floats from row to row of a tile in shared memory
constexpr int kMostTileRows = 16;  // rows (token, query head) of one block of threads
constexpr int kWeightStride =
    20;  // floats from slot to slot of the rows' weights: 16, and a gap

// Bytes of dynamic shared memory for attention_tile.cuh.
constexpr int tile_bytes(int rows, int head_dim) {
    return (64 * kTileStride + head_dim * kMostTileRows + 64 * kWeightStride +
            rows * head_dim) *
           4;
}

// Bytes for a padded row of row_sums.cuh and its blocks' sums.
constexpr int row_bytes(int width) {
    return (width + (width - 1) / 64 + (width + 63) / 64) * 4;
}

}  // namespace kvlab
