// launch.hpp - chapter 4: how host code names a kernel and launches it: one spelling for both
// worlds.
//
//   namespace kvlab { KVLAB_KERNEL(scale, (float* x, float by, int n)); }
//   launch(scale, 4, 128, 0, x, 2.0f, n);   // scale<<<4, 128, 0>>>(x, 2.0f, n)
//
// The definition is in a kernel file (kernel.hpp). device.hpp says where it runs, and when its
// errors come up: under the executor at once, on a GPU later.
//
// To nvcc a kernel is a function of the host as well (a stub), by whose address CUDA finds it.
// We declare that function with our own headers. So that both sides give it one name for the
// linker, a kernel takes numbers, pointers to numbers, and nothing else: CUDA's float4 is not
// our float4. Inside of the kernel a pointer may be cast to one.
#pragma once

#ifdef __CUDACC__

// A kernel file that includes its own declarations: nvcc compares, and launches nothing.
#define KVLAB_KERNEL(name, parameters) \
    namespace gpu {                    \
    __global__ void name parameters;   \
    }

#else

#include <cstddef>
#include <functional>
#include <tuple>
#include <type_traits>

#include <kvlab/cuda/device.hpp>
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

// A number, or a pointer (to a pointer ...) to numbers.
template <class T>
struct IsKernelParameter : std::is_arithmetic<T> {};

template <class T>
struct IsKernelParameter<T*> : IsKernelParameter<std::remove_cv_t<T> > {};

// The same kernel up to three times. `checked` is null in a build under the thread sanitizer,
// whose hooks are then its own; `gpu` is null unless nvcc compiled it.
template <class... Parameters>
struct Kernel {
    static_assert((IsKernelParameter<Parameters>::value && ...),
                  "a kernel takes numbers and pointers to numbers (see the top of launch.hpp)");

    const char* name;
    void (*raw)(Parameters...);
    void (*checked)(Parameters...);
    void (*gpu)(Parameters...);
};

template <class... P, class Checked, class Gpu>
Kernel(const char*, void (*)(P...), Checked, Gpu) -> Kernel<P...>;

namespace simt {

// Whether launches check (simt.hpp). Throws Error if this build cannot.
bool launches_check();

// Runs `thread` once for each thread of the grid. `function` is the kernel that it calls.
void run(const LaunchShape& shape, const void* function, const std::function<void()>& thread);

}  // namespace simt

// `function` is the kernel's stub, `arguments` holds a pointer to each of its arguments.
void launch_on_gpu(const LaunchShape& shape, const void* function, void** arguments);

#if KVLAB_SIMT_CHECKED
#define KVLAB_IF_CHECKED(yes, no) yes
#else
#define KVLAB_IF_CHECKED(yes, no) no
#endif
#if KVLAB_HAS_GPU
#define KVLAB_IF_GPU(yes, no) yes
#else
#define KVLAB_IF_GPU(yes, no) no
#endif

#define KVLAB_KERNEL(name, parameters)                              \
    namespace raw {                                                 \
    void name parameters;                                           \
    }                                                               \
    namespace checked {                                             \
    void name parameters;                                           \
    }                                                               \
    namespace gpu {                                                 \
    void name parameters;                                           \
    }                                                               \
    inline constexpr ::kvlab::Kernel name {                         \
#name, raw::name, KVLAB_IF_CHECKED(checked::name, nullptr), \
            KVLAB_IF_GPU(gpu::name, nullptr)                        \
    }

// Runs the kernel where device.hpp says: under the executor, it returns when all threads have,
// and throws Error if the kernel does something wrong. `shared_bytes` is dynamic shared memory.
// Throws Error if the shape is refused.
template <class... Parameters, class... Arguments>
void launch(const Kernel<Parameters...>& kernel,
            dim3 grid,
            dim3 block,
            std::size_t shared_bytes,
            Arguments&&... arguments) {
    static_assert(sizeof...(Parameters) == sizeof...(Arguments), "one argument per parameter");
    std::tuple<Parameters...> values(std::forward<Arguments>(arguments)...);
    const LaunchShape shape{kernel.name, grid, block, 0, shared_bytes};
    if (selected_device() == Device::gpu) {
        std::apply(
            [&](auto&... value) {
                void* pointers[] = {static_cast<void*>(&value)..., nullptr};
                launch_on_gpu(shape, reinterpret_cast<const void*>(kernel.gpu), pointers);
            },
            values);
        return;
    }
    const auto function = simt::launches_check() ? kernel.checked : kernel.raw;
    simt::run(shape, reinterpret_cast<const void*>(function),
              [&values, function] { std::apply(function, values); });
}

}  // namespace kvlab
#endif
