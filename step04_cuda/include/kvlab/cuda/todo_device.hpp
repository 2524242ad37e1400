// todo_device.hpp - chapter 4: the place of an exercise in a kernel, as todo() (chapter 1) is
// in host code.
#pragma once

#ifdef __CUDACC__
#include <cstdio>
#else
#include <kvlab/cuda/device_calls.hpp>
#endif

namespace kvlab {

// todo_device("4.1") never returns. Under the executor it ends the launch, which throws
// NotImplemented. A GPU cannot throw: there the thread prints the task and stops the kernel,
// and Error comes up at the next copy or at device_synchronize().
#ifdef __CUDACC__
[[noreturn]] __device__ inline void todo_device(const char* task) {
    printf("task %s is not solved yet; see the chapter's README.md\n", task);
    __trap();
    __builtin_unreachable();  // the compiler does not know that of __trap()
}
#else
[[noreturn]] KVLAB_INLINE void todo_device(const char* task) {
    simt::stop_at_open_task(task);
}
#endif

}  // namespace kvlab
