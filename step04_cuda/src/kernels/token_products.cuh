// token_products.cuh - chapter 4: y = W x for one token, by all warps of a grid.
//
// The work is cut into (panel, chain) items: 64 outputs, 64 inputs. A warp takes an item, each
// of its lanes two outputs, and writes the 64 sums of that chain; they are added later, in
// order (chain_sums.cuh). An item's weights lie side by side in memory, in every format. So a
// warp copies them to shared memory as they are, 16 bytes a lane, some stages ahead of what it
// computes with:
//
//   ring   [ stage s | stage s + 1 | stage s + 2 ]      copies of s + 1 and s + 2 are under way
//            computed                                   while stage s is computed with
//
// The weights do not depend on the token. So the copies can begin before the input is there:
// before a norm, or even before a barrier of the whole grid.
#pragma once

#include "chain_sums.cuh"
#include "groups.cuh"
#include "token_arguments.hpp"

namespace kvlab::KVLAB_KERNELS {

constexpr int kOfLane = kPanel / kWarp;  // outputs, a warp apart: no bank conflicts
constexpr int kMostStages = 9;           // more groups of copies than 8 cannot be waited for
static_assert(kOfLane * kWarp == kSumBlock, "a lane also prepares as many inputs");

// Inputs of a stage: a group of a quantised format, 2 KB of the others.
__device__ __forceinline__ int stage_inputs(TensorType type) {
    return type == TensorType::f32                               ? 8
           : type == TensorType::f16 || type == TensorType::bf16 ? 16
                                                                 : kGroup;
}

// A place in a warp's walk over its items of a product.
struct Place {
    int item, panel, chain;
    int in;    // first input of the stage, within the chain
    int slot;  // of the ring
};

// A warp's walk, stage by stage. `stages` slots of the ring are its own.
// ANCHOR: walk
struct Walk {
    Weights w;
    int inputs, bytes;  // of a stage
    int chains, items;  // of the whole product
    int step;           // from one item of this warp to the next
    int stages;
    unsigned char* ring;  // [stages][kStageBytes]
    Place at;             // what is computed with next
    Place ahead;          // what is copied next

    // `slots` stages at `rings` are the block's. Neighbouring items go to different blocks, so
    // that few items keep many processors busy; the warps that have some share the slots.
    __device__ __forceinline__ Walk(const Weights& weights, int slots, unsigned char* rings)
        : w(weights),
          inputs(stage_inputs(weights.type)),
          bytes(group_bytes(weights.type) / (kGroup / inputs)),
          chains(chains_of(weights.depth)),
          items(chain_items(weights)) {
        const int warp = threadIdx.x / kWarp, blocks = gridDim.x;
        const int busy = smaller(kTokenWarps, (items + blocks - 1) / blocks);
        stages = smaller(slots / busy, kMostStages);
        ring = rings + warp * stages * kStageBytes;
        step = busy * blocks;
        const int first = warp < busy ? warp * blocks + blockIdx.x : items;
        at = ahead = {first, first / chains, first % chains, 0, 0};
    }

    __device__ __forceinline__ void advance(Place& place) const {
        place.slot = place.slot + 1 == stages ? 0 : place.slot + 1;
        place.in += inputs;
        if (place.in < kSumBlock) return;
        place.in = 0;
        place.item += step;
        place.panel = place.item / chains;
        place.chain = place.item % chains;
    }

    __device__ __forceinline__ int input(const Place& place) const {
        return place.chain * kSumBlock + place.in;
    }

    // Starts to copy one more stage. There is a group of copies for each stage, also for one
    // that does not exist: then "all groups but the last n" always means the same.
    __device__ __forceinline__ void copy_ahead() {
        if (ahead.item < items) {
            const int k = input(ahead), here = smaller(inputs, w.depth - k);
            const int size = here * (bytes / inputs);  // a quantised group is never cut
            const unsigned char* from =
                panel_of(w, ahead.panel) + static_cast<long long>(k / inputs) * bytes;
            unsigned char* to = ring + ahead.slot * kStageBytes;
            for (int i = threadIdx.x % kWarp * 16; i < size; i += kWarp * 16)
                __pipeline_memcpy_async(to + i, from + i, 16);
        }
        __pipeline_commit();
        advance(ahead);
    }

    // The first copies, before anything is known of the input.
    __device__ __forceinline__ void prefetch() {
        for (int stage = 0; stage + 1 < stages; ++stage) copy_ahead();
    }
};

// ANCHOR_END: walk

// Goes on with the lane's chains over the `count` inputs of a stage.
template <TensorType type>
__device__ __forceinline__ void go_on(const unsigned char* stage,
                                      const float* inputs,
                                      int count,
                                      float (&chain)[kOfLane]) {
    const int lane = threadIdx.x % kWarp;
    Scale scales[kOfLane];
#pragma unroll
    for (int j = 0; j < kOfLane; ++j) scales[j] = scale_of<type>(stage, lane + j * kWarp);
    for (int k = 0; k < count; k += kEight)
#pragma unroll
        for (int j = 0; j < kOfLane; ++j) {
            float eight[kEight] = {};
            load_column<type>(stage, scales[j], k, count - k, lane + j * kWarp, eight);
#pragma unroll
            for (int i = 0; i < kEight; ++i)
                if (k + i < count) chain[j] = fmaf(inputs[k + i], eight[i], chain[j]);
        }
}

// All items of this warp, whose walk has called prefetch(). input(k) is number k of x; all
// lanes ask together, and those behind the last k ask for it. `inputs` [64] is the warp's own.
// ANCHOR: products
template <class Input>
__device__ __forceinline__ void products(Walk& walk,
                                         float* inputs,
                                         const ChainSums& sums,
                                         Input input) {
    const int lane = threadIdx.x % kWarp, depth = walk.w.depth;
    float chain[kOfLane] = {};
    for (; walk.at.item < walk.items; walk.advance(walk.at)) {
        const Place& at = walk.at;
        const int k = walk.input(at);
        if (at.in == 0)  // a chain begins
#pragma unroll
            for (int j = 0; j < kOfLane; ++j) {
                inputs[lane + j * kWarp] = input(smaller(k + lane + j * kWarp, depth - 1));
                chain[j] = 0.0f;
            }
        walk.copy_ahead();
        __pipeline_wait_prior(walk.stages - 1);
        __syncwarp();  // each lane has waited for its own copies
        for_type(walk.w.type, [&](auto type) {
            go_on<type.value>(walk.ring + at.slot * kStageBytes, inputs + at.in,
                              smaller(walk.inputs, depth - k), chain);
        });
        if (at.in + walk.inputs == kSumBlock)  // the item's last stage, which may be empty
#pragma unroll
            for (int j = 0; j < kOfLane; ++j)
                if (const int n = at.panel * kPanel + lane + j * kWarp; n < sums.outputs)
                    sums.first[static_cast<long long>(at.chain) * sums.outputs + n] = chain[j];
        __syncwarp();  // before the next copies overwrite this stage
    }
    __pipeline_wait_prior(0);
}

// ANCHOR_END: products

}  // namespace kvlab::KVLAB_KERNELS
