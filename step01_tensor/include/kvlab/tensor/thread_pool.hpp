// thread_pool.hpp - chapter 1: a few threads that wait for small work.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

#include <kvlab/tensor/sole_use.hpp>
#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

// As many as this machine runs at once, and at most 64: more only wait for memory.
inline Index machine_threads() {
    return std::clamp<Index>(std::thread::hardware_concurrency(), 1, 64);
}

// Runs the tasks 0..n-1 of one job on `threads` threads, the caller's included. Which thread
// runs which task is left open: a task writes only its own outputs, so the bits do not depend
// on it.
//
// One caller at a time: there is one job. A call that comes while another is inside, from a
// second thread or from a task, throws Error. What a single thread does alone - one task, or a
// pool of one thread - touches nothing of the pool and is allowed at any time, so a pool of one
// thread may be shared by all.
class ThreadPool {
public:
    // Throws Error unless 1 <= threads <= 256, and if the system starts no more threads: those
    // that run are ended first. One thread starts none and costs nothing.
    explicit ThreadPool(Index threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    Index threads() const { return std::ssize(workers_) + 1; }

    // Calls task(i) for every i in [0, n), returns when all are done, and rethrows the first
    // exception of a task. Throws Error, and runs nothing, while another call is inside.
    template <class Task>
    void run(Index n, Task&& task) {
        if (n <= 0) return;
        if (workers_.empty() || n == 1) {
            for (Index i = 0; i < n; ++i) task(i);
            return;
        }
        run_job(
            n,
            [](void* context, Index i) {
                (*static_cast<std::remove_reference_t<Task>*>(context))(i);
            },
            const_cast<void*>(static_cast<const void*>(&task)));
    }

private:
    using Call = void (*)(void*, Index);
    void run_job(Index n, Call call, void* context);
    void work_on_job();
    void worker_loop();
    void help();
    void stop();

    SoleUse use_;
    // The job. Written by run_job() while no worker is inside; read by workers that are.
    Call call_ = nullptr;
    void* context_ = nullptr;
    Index tasks_ = 0;

    // Bit 31: the job is open; the other bits: how many workers are inside. A worker may only
    // enter an open job, and run_job() waits only for those who did: a thread that the machine
    // does not run just now is not missed.
    static constexpr std::uint32_t kOpen = 1u << 31;
    std::atomic<std::uint32_t> state_{0};

    std::atomic<Index> next_task_{0};
    std::atomic<std::uint32_t> generation_{
        0};  // grows with each job: what idle workers wait for
    std::atomic<bool> stop_{false};
    std::mutex error_mutex_;
    std::exception_ptr error_;
    std::vector<std::thread> workers_;
};

}  // namespace kvlab
