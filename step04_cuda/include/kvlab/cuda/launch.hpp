// launch.hpp - chapter 4: how host code names a kernel and launches it: one spelling
// for both worlds.
//
//   struct ScaleArgs { float* x; float by; int n; };
//   namespace kvlab { KVLAB_KERNEL(scale, (ScaleArgs args)); }
//   launch(scale, 4, 128, 0, ScaleArgs{x, 2.0f, n});   // scale<<<4, 128, 0>>>(...)
//
// The definition is in a kernel file (kernel.hpp). Where host code stands in that same file,
// KVLAB_LAUNCHABLE(scale) names the kernel, and its parameters are not said twice. device.hpp
// says where it runs, and when its errors come up: under the executor at once, on a GPU later.
//
// To nvcc a kernel is a function of the host as well (a stub), by whose address CUDA finds it.
// We declare that function with our own headers. So that both sides give it one name for the
// linker, a kernel takes numbers, plain structures of our own, and pointers to them, and
// nothing else: CUDA's float4 is not our float4. Inside of the kernel a pointer may be
// cast to one.
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
#include <utility>

#include <kvlab/cuda/device.hpp>
#include <kvlab/cuda/launch_shape.hpp>

namespace kvlab {

// A number, or a structure that is copied byte by byte, and that all compilers lay out alike.
template <class T>
struct IsKernelParameter
    : std::bool_constant<std::is_arithmetic_v<T> ||
                         (std::is_class_v<T> && std::is_trivially_copyable_v<T> &&
                          std::is_standard_layout_v<T>)> {};

// Or a pointer (to a pointer ...) to one.
template <class T>
struct IsKernelParameter<T*> : IsKernelParameter<std::remove_cv_t<T> > {};

// CUDA has its own.
template <>
struct IsKernelParameter<dim3> : std::false_type {};

template <>
struct IsKernelParameter<uint3> : std::false_type {};

template <>
struct IsKernelParameter<float3> : std::false_type {};

template <>
struct IsKernelParameter<int3> : std::false_type {};

// The same kernel up to three times. `checked` is null in a build under the thread sanitizer,
// whose hooks are then its own; `gpu` is null unless nvcc compiled it.
template <class... Parameters>
struct Kernel {
    static_assert((IsKernelParameter<Parameters>::value && ...),
                  "a kernel takes numbers, plain structures and pointers to them "
                  "(see the top of launch.hpp)");

    const char* name;
    void (*raw)(Parameters...);
    void (*checked)(Parameters...);
    void (*gpu)(Parameters...);
};

template <class... P, class Checked, class Gpu>
Kernel(const char*, void (*)(P...), Checked, Gpu) -> Kernel<P...>;

// `function` is the kernel's stub, `arguments` holds a pointer to each of its arguments.
void launch_on_gpu(const LaunchShape& shape, const void* function, void** arguments);

// Runs `run`, or keeps it for a graph that is being recorded (device_graph.hpp).
void launch_on_executor(const LaunchShape& shape, std::function<void()> run);

unsigned cooperative_blocks_on_gpu(const LaunchShape& shape, const void* function);

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

#define KVLAB_VARIANTS(name)                                                          \
    inline constexpr ::kvlab::Kernel name {                                           \
#name, ::kvlab::raw::name, KVLAB_IF_CHECKED(::kvlab::checked::name, nullptr), \
            KVLAB_IF_GPU(::kvlab::gpu::name, nullptr)                                 \
    }

// In namespace kvlab: a kernel of another file.
#define KVLAB_KERNEL(name, parameters) \
    namespace raw {                    \
    void name parameters;              \
    }                                  \
    namespace checked {                \
    void name parameters;              \
    }                                  \
    namespace gpu {                    \
    void name parameters;              \
    }                                  \
    KVLAB_VARIANTS(name)

// Outside of any namespace: a kernel of this file, for kvlab::kernels.
// NOLINTBEGIN(bugprone-macro-parentheses): a declared name takes none
#define KVLAB_LAUNCHABLE(name) \
    namespace kvlab::checked { \
    decltype(raw::name) name;  \
    }                          \
    namespace kvlab::gpu {     \
    decltype(raw::name) name;  \
    }                          \
    namespace kvlab::kernels { \
    KVLAB_VARIANTS(name);      \
    }

// NOLINTEND(bugprone-macro-parentheses)

template <class... Parameters, class... Arguments>
void launch_shape(const Kernel<Parameters...>& kernel,
                  const LaunchShape& shape,
                  Arguments&&... arguments) {
    static_assert(sizeof...(Parameters) == sizeof...(Arguments), "one argument per parameter");
    std::tuple<Parameters...> values(std::forward<Arguments>(arguments)...);
    if (selected_device() == Device::gpu) {
        std::apply(
            [&](auto&... value) {
                void* pointers[] = {static_cast<void*>(&value)..., nullptr};
                launch_on_gpu(shape, reinterpret_cast<const void*>(kernel.gpu), pointers);
            },
            values);
        return;
    }
    launch_on_executor(shape, [raw = kernel.raw, checked = kernel.checked, shape, values] {
        const auto function = simt::launches_check() ? checked : raw;
        simt::run(shape, reinterpret_cast<const void*>(function),
                  [&values, function] { std::apply(function, values); });
    });
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
    launch_shape(kernel, {kernel.name, grid, block, 0, shared_bytes},
                 std::forward<Arguments>(arguments)...);
}

// The same for a kernel whose blocks meet at this_grid().sync(). All must be on the device
// together: throws Error if there are more than cooperative_blocks().
template <class... Parameters, class... Arguments>
void launch_cooperative(const Kernel<Parameters...>& kernel,
                        dim3 grid,
                        dim3 block,
                        std::size_t shared_bytes,
                        Arguments&&... arguments) {
    launch_shape(kernel, {kernel.name, grid, block, 0, shared_bytes, true},
                 std::forward<Arguments>(arguments)...);
}

// How many blocks of this kernel the device can hold at the same time. Under the executor a
// small number that simt::Options choose. Throws Error if such a block is refused.
template <class... Parameters>
unsigned cooperative_blocks(const Kernel<Parameters...>& kernel,
                            dim3 block,
                            std::size_t shared_bytes) {
    const LaunchShape shape{kernel.name, 1, block, 0, shared_bytes, true};
    if (selected_device() == Device::gpu)
        return cooperative_blocks_on_gpu(shape, reinterpret_cast<const void*>(kernel.gpu));
    check_launch(shape);
    return simt::resident_blocks();
}

}  // namespace kvlab
#endif
