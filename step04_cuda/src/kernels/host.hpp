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

}  // namespace kvlab::kernels
#endif
