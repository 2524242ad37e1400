// launch_shape.hpp - chapter 4: the sizes of a launch, which ones there can be, and the
// executor as a launch sees it.
#pragma once

#include <cstddef>
#include <functional>

#include <kvlab/cuda/vector_types.hpp>

namespace kvlab {

inline constexpr std::size_t kStaticSharedLimit = std::size_t{48} << 10;
// Of static and dynamic shared memory together. Larger than 48 KiB has to be asked for, which
// launch() does; 64 KiB is what the smallest processors that nvcc 13 knows have (7.5).
inline constexpr std::size_t kSharedLimit = std::size_t{64} << 10;

struct LaunchShape {
    const char* kernel;
    dim3 grid, block;
    std::size_t static_shared = 0, dynamic_shared = 0;  // bytes
    bool cooperative = false;  // all blocks are there together, and may meet
};

// Throws Error for a launch that no GPU accepts: nothing to run, more than 1024 threads in a
// block, a grid or a block too long in one dimension, too much shared memory.
void check_launch(const LaunchShape& shape);

// Throws Error for a cooperative launch of more blocks than may be there together.
void check_resident(const LaunchShape& shape, std::size_t most);

namespace simt {

// Whether launches check (simt.hpp). Throws Error if this build cannot.
bool launches_check();

// The most blocks of a cooperative launch (simt.hpp's Options).
unsigned resident_blocks();

// Runs `thread` once for each thread of the grid. `function` is the kernel that it calls.
void run(const LaunchShape& shape, const void* function, const std::function<void()>& thread);

}  // namespace simt

}  // namespace kvlab
