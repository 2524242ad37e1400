// kernel.hpp - chapter 4: what a kernel file (.cu) includes. On a CPU it defines the words of
// CUDA; nvcc knows them already, so there it defines three macros and nothing else.
//
// A kernel file holds kernels and device functions, and behind them, where KVLAB_HOST_CODE is
// 1, how the host launches them (launch.hpp):
//
//   struct ScaleArgs { float* x; float by; int n; };
//   namespace kvlab::KVLAB_KERNELS { __global__ void scale(ScaleArgs args) { ... } }
//   #if KVLAB_HOST_CODE
//   KVLAB_LAUNCHABLE(scale)
//   ...
//   #endif
//
// It is compiled two or three times, and all results are in the program: namespace raw,
// optimised for a CPU, and with it the host's part; namespace checked, without optimisation and
// with -fsanitize=thread, which calls one of our functions (simt/hooks.cpp) before every access
// to memory; and, where there is nvcc, namespace gpu. The namespace keeps them apart for the
// linker. A kernel that is a template gets an ordinary kernel around it: host code calls
// kernels by name.
#pragma once

#include <kvlab/cuda/todo_device.hpp>
#include <kvlab/cuda/vector_types.hpp>

#ifdef __CUDACC__
#include <cooperative_groups.h>
#include <cuda_pipeline_primitives.h>
#define KVLAB_KERNELS gpu
#define KVLAB_HOST_CODE 0
// Dynamic shared memory, the third figure of a launch, as a pointer `name` to Type.
#define KVLAB_DYNAMIC_SHARED(Type, name)                                  \
    extern __shared__ __align__(16) unsigned char kvlab_dynamic_shared[]; \
    Type* const name = reinterpret_cast<Type*>(kvlab_dynamic_shared)
#else

#include <kvlab/cuda/atomic_words.hpp>
#include <kvlab/cuda/device_calls.hpp>
#include <kvlab/cuda/device_words.hpp>
#include <kvlab/cuda/forbidden_words.hpp>
#include <kvlab/cuda/kernel_variant.hpp>

#define KVLAB_STRING_(text) #text
#define KVLAB_STRING(text) KVLAB_STRING_(text)

#define __global__
#define __device__
#define __host__
#define __forceinline__ KVLAB_INLINE
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
// Blocks run one after another, so a static variable is a block's memory; that of blocks that
// wait at a grid barrier is put aside. Its section tells the executor where shared memory is;
// each declaration has one of its own, since GCC 14 lets no variable of a template into the
// section of an ordinary one. An array has at most 48 KiB: aligned to 64 KiB, each is followed
// by a gap, and an index that is too large never falls into the next array. "used": an
// optimiser would shorten an array of which it sees a part alone in use.
#if KVLAB_IS_CHECKED
#define KVLAB_SHARED_ALIGNMENT 65536
#else
#define KVLAB_SHARED_ALIGNMENT 256
#endif
#define __shared__                                                                      \
    static __attribute__((                                                              \
        section("kvlab_shared_" KVLAB_STRING(KVLAB_KERNELS) KVLAB_STRING(__COUNTER__)), \
        aligned(KVLAB_SHARED_ALIGNMENT), used))
#define KVLAB_DYNAMIC_SHARED(Type, name) \
    Type* const name = static_cast<Type*>(::kvlab::simt::dynamic_shared())

#define threadIdx (::kvlab::simt::thread_index())
#define blockIdx (::kvlab::simt::block_index())
#define blockDim (::kvlab::simt::block_size())
#define gridDim (::kvlab::simt::grid_size())
inline constexpr int warpSize = 32;

KVLAB_INLINE void __syncthreads() {
    ::kvlab::simt::barrier(false);
}

// A barrier that also counts the threads of the block for which `predicate` is not 0.
KVLAB_INLINE int __syncthreads_count(int predicate) {
    return static_cast<int>(::kvlab::simt::barrier(predicate != 0));
}

KVLAB_INLINE int __syncthreads_or(int predicate) {
    return __syncthreads_count(predicate) != 0 ? 1 : 0;
}

KVLAB_INLINE int __syncthreads_and(int predicate) {
    return __syncthreads_count(predicate == 0 ? 1 : 0) == 0 ? 1 : 0;
}

// All blocks of the launch, which has to be a cooperative one (launch.hpp).
namespace cooperative_groups {

struct grid_group {  // NOLINT(readability-identifier-naming): CUDA's name

    // Waits for all threads of the grid; what they did before is seen by all.
    KVLAB_INLINE void sync() const { ::kvlab::simt::grid_barrier(); }
};

KVLAB_INLINE grid_group this_grid() {
    return {};
}

}  // namespace cooperative_groups

// Copies 4, 8 or 16 bytes from global to shared memory, both at a multiple of the size, while
// the thread goes on; the last `zeros` bytes are not read, but 0. Each thread waits for its
// own copies; others see them behind a barrier after that wait.
KVLAB_INLINE void __pipeline_memcpy_async(void* to_shared,
                                          const void* from_global,
                                          std::size_t bytes,
                                          std::size_t zeros = 0) {
    ::kvlab::simt::async_copy(to_shared, from_global, bytes, zeros);
}

// The thread's copies since the last call are a group; it may be empty.
KVLAB_INLINE void __pipeline_commit() {
    ::kvlab::simt::async_commit();
}

// Until all groups but the last `groups` have arrived.
KVLAB_INLINE void __pipeline_wait_prior(std::size_t groups) {
    ::kvlab::simt::async_wait(groups);
}

// Orders memory between blocks on a GPU. Here blocks run one after another; no race that it
// would excuse is excused.
KVLAB_INLINE void __threadfence() {}

KVLAB_INLINE void __syncwarp(unsigned mask = 0xffffffffu) {
    ::kvlab::simt::warp_call(::kvlab::simt::WarpCall::sync, mask, 0, 0, 32);
}

KVLAB_INLINE unsigned __ballot_sync(unsigned mask, int predicate) {
    return static_cast<unsigned>(::kvlab::simt::warp_call(::kvlab::simt::WarpCall::ballot, mask,
                                                          predicate != 0 ? 1 : 0, 0, 32));
}

KVLAB_INLINE int __any_sync(unsigned mask, int predicate) {
    return __ballot_sync(mask, predicate) != 0 ? 1 : 0;
}

KVLAB_INLINE int __all_sync(unsigned mask, int predicate) {
    return __ballot_sync(mask, predicate) == mask ? 1 : 0;
}

template <class T>
KVLAB_INLINE T __shfl_sync(unsigned mask, T value, int lane, int width = 32) {
    return ::kvlab::simt::shuffle(::kvlab::simt::WarpCall::shuffle, mask, value, lane, width);
}

template <class T>
KVLAB_INLINE T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32) {
    return ::kvlab::simt::shuffle(::kvlab::simt::WarpCall::shuffle_xor, mask, value, lanes,
                                  width);
}

// A lane that is not in the mask may be the source of `down` and `up`, since that happens at
// the end of every partial warp. As on a GPU, what then comes has no meaning: here it is a NaN.
template <class T>
KVLAB_INLINE T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
    return ::kvlab::simt::shuffle(::kvlab::simt::WarpCall::shuffle_down, mask, value,
                                  static_cast<int>(by), width);
}

template <class T>
KVLAB_INLINE T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
    return ::kvlab::simt::shuffle(::kvlab::simt::WarpCall::shuffle_up, mask, value,
                                  static_cast<int>(by), width);
}

#if KVLAB_IS_CHECKED
namespace kvlab::checked {

// Found before the library's fmaf by every kernel of this namespace.
KVLAB_INLINE float fmaf(float a, float b, float c) {
    return __fmaf_rn(a, b, c);
}

}  // namespace kvlab::checked
#endif
#endif
