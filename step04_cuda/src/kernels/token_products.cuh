// token_products.cuh - chapter 4: y = W x for one token, by all warps of a grid.
//
// The work is cut into (panel, chain) items: 64 outputs, 64 inputs. A warp takes an item, each
// of its lanes two outputs, and writes the 64 sums of that chain; they are added later, in
// order (sum_chains). An item's weights lie side by side in memory, in every format. So a warp
// copies them to shared memory as they are, 16 bytes a lane, some stages ahead of what it
// computes with:
//
//   ring   [ stage s | stage s + 1 | stage s + 2 ]      copies of s + 1 and s + 2 are under way
//            computed                                   while stage s is computed with
//
// The weights do not depend on the token. So the copies can begin before the input is there:
// before a norm, or even before a barrier of the whole grid.
#pragma once

#include "token_arguments.hpp"
#include "weights.cuh"

namespace kvlab::KVLAB_KERNELS {

constexpr int kColumns = kPanel / kWarp;  // outputs of a lane, a warp apart: no bank conflicts
static_assert(kColumns * kWarp == kSumBlock, "a lane also prepares as many inputs");

constexpr int kMostStages = 9;  // more groups of copies than eight cannot be waited for

// How a format is cut into stages.
struct StageShape {
    int inputs;  // of a stage
    int bytes;   // of a stage
};

__device__ __forceinline__ StageShape stage_shape(TensorType type) {
    switch (type) {
        case TensorType::f16:
        case TensorType::bf16:
            return {16, 16 * kPanel * 2};
        case TensorType::q8_0:
            return {kGroup, kScales + kGroup * kPanel};
        case TensorType::q4_0:
            return {kGroup, kScales + kGroup * kPanel / 2};
        case TensorType::q4_1:
            return {kGroup, 2 * kScales + kGroup * kPanel / 2};
        default:
            return {8, 8 * kPanel * 4};
    }
}

// A warp's walk over its items of one product, stage by stage.
// ANCHOR: walk
struct Walk {
    Weights w;
    StageShape shape;
    int chains, items;    // of the whole product
    int per_item;         // stages
    int first, step;      // this warp's items: first, first + step ...
    int stages;           // of this warp's ring
    unsigned char* ring;  // [stages][kStageBytes]

    // `slots` stages at `rings` are the block's. Neighbouring items go to different blocks, so
    // that few items keep many processors busy; the warps that have some share the slots.
    __device__ __forceinline__ Walk(const Weights& weights, int slots, unsigned char* rings)
        : w(weights),
          shape(stage_shape(weights.type)),
          chains(chains_of(weights.depth)),
          items(chain_items(weights)),
          per_item(kSumBlock / shape.inputs) {
        const int warp = threadIdx.x / kWarp, blocks = gridDim.x;
        const int busy = smaller(kTokenWarps, (items + blocks - 1) / blocks);
        stages = smaller(slots / busy, kMostStages);
        ring = rings + warp * stages * kStageBytes;
        first = warp < busy ? warp * blocks + blockIdx.x : items;
        step = busy * blocks;
    }

    __device__ __forceinline__ int total() const {
        return first < items ? ((items - first - 1) / step + 1) * per_item : 0;
    }

    __device__ __forceinline__ int item(int stage) const {
        return first + stage / per_item * step;
    }

    // The first input of a stage.
    __device__ __forceinline__ int input(int stage) const {
        return item(stage) % chains * kSumBlock + stage % per_item * shape.inputs;
    }

    // Starts to copy a stage. There is a group of copies for each stage, also for one that
    // does not exist: then waiting for "all but the last n groups" always means the same.
    __device__ __forceinline__ void start(int stage) const {
        if (stage < total()) {
            const int k = input(stage), here = smaller(shape.inputs, w.depth - k);
            const int bytes = here * (shape.bytes / shape.inputs);  // a group is never cut
            const unsigned char* from = panel_of(w, item(stage) / chains) +
                                        static_cast<long long>(k / shape.inputs) * shape.bytes;
            unsigned char* to = ring + stage % stages * kStageBytes;
            for (int at = threadIdx.x % kWarp * 16; at < bytes; at += kWarp * 16)
                __pipeline_memcpy_async(to + at, from + at, 16);
        }
        __pipeline_commit();
    }

    // The first copies, before anything is known of the input.
    __device__ __forceinline__ void prefetch() const {
        for (int stage = 0; stage + 1 < stages; ++stage) start(stage);
    }
};

// ANCHOR_END: walk

// Goes on with the lane's two chains over the `count` inputs of a stage.
__device__ __forceinline__ void go_on(TensorType type,
                                      const unsigned char* stage,
                                      const float* inputs,
                                      int count,
                                      float (&sums)[kColumns]) {
    for (int k = 0; k < count; k += kEight)
#pragma unroll
        for (int column = 0; column < kColumns; ++column) {
            float eight[kEight];
            load_eight(type, stage, count, k, threadIdx.x % kWarp + column * kWarp, eight);
#pragma unroll
            for (int i = 0; i < kEight; ++i)
                if (k + i < count) sums[column] = fmaf(inputs[k + i], eight[i], sums[column]);
        }
}

// All items of this warp; input(k) is number k of x, asked once per item and k. The walk's
// prefetch() has been called. `inputs` [64] is this warp's.
// ANCHOR: products
template <class Input>
__device__ __forceinline__ void products(const Walk& walk,
                                         float* inputs,
                                         float* sums,
                                         Input input) {
    const int lane = threadIdx.x % kWarp, depth = walk.w.depth;
    float chain[kColumns] = {};
    for (int stage = 0; stage < walk.total(); ++stage) {
        const int k = walk.input(stage), in = k % kSumBlock;
        if (in == 0)  // a chain begins
#pragma unroll
            for (int column = 0; column < kColumns; ++column) {
                const int i = lane + column * kWarp;
                if (k + i < depth) inputs[i] = input(k + i);
                chain[column] = 0.0f;
            }
        walk.start(stage + walk.stages - 1);
        __pipeline_wait_prior(walk.stages - 1);
        __syncwarp();  // each lane has waited for its own copies
        go_on(walk.w.type, walk.ring + stage % walk.stages * kStageBytes, inputs + in,
              smaller(walk.shape.inputs, depth - k), chain);
        if (in + walk.shape.inputs == kSumBlock) {  // its last stage, which may be empty
            const int item = walk.item(stage), panel = item / walk.chains;
            float* to =
                sums +
                static_cast<long long>(item % walk.chains) * sums_stride(walk.w.outputs) +
                panel * kPanel + lane;
#pragma unroll
            for (int column = 0; column < kColumns; ++column)
                to[column * kWarp] = chain[column];
        }
        __syncwarp();  // before the next copies overwrite this stage
    }
    __pipeline_wait_prior(0);
}

// ANCHOR_END: products

// Output n of a product: its chains' sums, in order, eight of them under way at a time.
// ANCHOR: sum_chains
__device__ __forceinline__ float sum_chains(const float* sums, const Weights& w, int n) {
    const int chains = chains_of(w.depth), stride = sums_stride(w.outputs);
    float total = 0.0f;
    for (int begin = 0; begin < chains; begin += kEight) {
        float chain[kEight];
#pragma unroll
        for (int i = 0; i < kEight; ++i)
            chain[i] = begin + i < chains ? sums[static_cast<long long>(begin + i) * stride + n]
                                          : 0.0f;
#pragma unroll
        for (int i = 0; i < kEight; ++i)
            if (begin + i < chains) total = add_block(begin + i == 0, total, chain[i]);
    }
    return total;
}

// ANCHOR_END: sum_chains

}  // namespace kvlab::KVLAB_KERNELS
