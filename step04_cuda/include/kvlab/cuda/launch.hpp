// launch.hpp - chapter 4: how host code names a kernel and launches it: one spelling for both
// worlds.
//
//   namespace kvlab { KVLAB_KERNEL(scale, (float* x, float by, int n)); }
//   launch(scale, 4, 128, 0, x, 2.0f, n);   // scale<<<4, 128, 0>>>(x, 2.0f, n)
//
// The definition is in a kernel file (kernel.hpp). Errors are found in both worlds: a launch is
// waited for.
#pragma once

#include <cstddef>
#include <functional>
#include <tuple>

#include <kvlab/cuda/vector_types.hpp>
#include <kvlab/tensor/error.hpp>

namespace kvlab {

inline constexpr std::size_t kStaticSharedLimit = std::size_t{48} << 10;
// Of static and dynamic shared memory together. Larger than 48 KiB has to be asked for, which
// launch() does; 64 KiB is what the smallest processors that nvcc 13 knows have (7.5).
inline constexpr std::size_t kSharedLimit = std::size_t{64} << 10;

struct LaunchShape {
    const char* kernel;
    dim3 grid, block;
    std::size_t static_shared = 0, dynamic_shared = 0;  // bytes
};

// Throws Error for a launch that no GPU accepts: nothing to run, more than 1024 threads in a
// block, a grid or a block too long in one dimension, too much shared memory.
void check_launch(const LaunchShape& shape);

#if KVLAB_GPU

template <class... Parameters>
struct Kernel {
    const char* name;
    void (*function)(Parameters...);
};

template <class... P>
Kernel(const char*, void (*)(P...)) -> Kernel<P...>;

// Launches, waits, and throws Error with CUDA's own words if that failed.
void gpu_launch(const LaunchShape& shape, const void* function, void** arguments);

#ifdef __CUDACC__
#define KVLAB_GLOBAL __global__
#else
#define KVLAB_GLOBAL  // to a plain compiler a kernel is the host function that stands for it
#endif
#define KVLAB_KERNEL(name, parameters)      \
    namespace gpu {                         \
    KVLAB_GLOBAL void name parameters;      \
    }                                       \
    inline constexpr ::kvlab::Kernel name { \
#name, gpu::name                    \
    }

#else

// The same kernel twice; `checked` is null in a build under the thread sanitizer, whose hooks
// are then its own.
template <class... Parameters>
struct Kernel {
    const char* name;
    void (*raw)(Parameters...);
    void (*checked)(Parameters...);
};

template <class... P>
Kernel(const char*, void (*)(P...), void (*)(P...)) -> Kernel<P...>;
template <class... P>
Kernel(const char*, void (*)(P...), std::nullptr_t) -> Kernel<P...>;

namespace simt {

// Whether launches check (simt.hpp). Throws Error if this build cannot.
bool launches_check();

// Runs `thread` once for each thread of the grid. `function` is the kernel that it calls.
void run(const LaunchShape& shape, const void* function, const std::function<void()>& thread);

}  // namespace simt

#if KVLAB_SIMT_CHECKED
#define KVLAB_KERNEL(name, parameters)      \
    namespace raw {                         \
    void name parameters;                   \
    }                                       \
    namespace checked {                     \
    void name parameters;                   \
    }                                       \
    inline constexpr ::kvlab::Kernel name { \
#name, raw::name, checked::name     \
    }
#else
#define KVLAB_KERNEL(name, parameters)      \
    namespace raw {                         \
    void name parameters;                   \
    }                                       \
    inline constexpr ::kvlab::Kernel name { \
#name, raw::name, nullptr           \
    }
#endif

#endif

// Runs the kernel and returns when all of its threads have. `shared_bytes` is dynamic shared
// memory. Throws Error if the shape is refused or the kernel does something wrong.
template <class... Parameters, class... Arguments>
void launch(const Kernel<Parameters...>& kernel,
            dim3 grid,
            dim3 block,
            std::size_t shared_bytes,
            Arguments&&... arguments) {
    static_assert(sizeof...(Parameters) == sizeof...(Arguments), "one argument per parameter");
    std::tuple<Parameters...> values(std::forward<Arguments>(arguments)...);
    const LaunchShape shape{kernel.name, grid, block, 0, shared_bytes};
#if KVLAB_GPU
    std::apply(
        [&](auto&... value) {
            void* pointers[] = {static_cast<void*>(&value)..., nullptr};
            gpu_launch(shape, reinterpret_cast<const void*>(kernel.function), pointers);
        },
        values);
#else
    const auto function = simt::launches_check() ? kernel.checked : kernel.raw;
    simt::run(shape, reinterpret_cast<const void*>(function),
              [&values, function] { std::apply(function, values); });
#endif
}

}  // namespace kvlab
