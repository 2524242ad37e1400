// host.hpp - chapter 4: what the host's part of a kernel file needs; nothing where
// there is none.
#pragma once

#include <kvlab/cuda/kernel.hpp>

#if KVLAB_HOST_CODE
#include <algorithm>

#include <kvlab/cuda/device_memory.hpp>
#include <kvlab/cuda/launch.hpp>

#include "../launch_sizes.hpp"
#include "arguments.hpp"
#include "sizes.hpp"

namespace kvlab::kernels {

constexpr unsigned kThreads = 128;  // of a block, where a thread has one number

// Where a thread has one component of a head.
inline unsigned component_threads(const AttentionArgs& args) {
    return std::min(static_cast<unsigned>(args.head_dim), kThreads);
}

// Room for what all tiles leave of all rows.
inline TileParts tile_parts(const AttentionArgs& args, Scratch& scratch) {
    const long long rows = Index{args.kv_heads} * args.tokens * args.group;
    return tile_parts(scratch.floats(parts_floats(rows, args.tiles, args.head_dim)), rows,
                      args.tiles);
}

// The rungs to which later ones leave what they do not take themselves.
void launch_rms_norm_block(const NormArgs& args, unsigned threads);
void launch_attention_fused(const AttentionArgs& args, unsigned threads, Scratch& scratch);
void launch_attention_split(const AttentionArgs& args, unsigned threads, Scratch& scratch);

}  // namespace kvlab::kernels
#endif
