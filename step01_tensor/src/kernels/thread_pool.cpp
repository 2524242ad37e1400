#include <kvlab/tensor/thread_pool.hpp>

#include <exception>
#include <utility>

namespace kvlab {

namespace {

// A decoder calls the pool hundreds of times per token, so a waiting thread first spins for
// some microseconds; then it sleeps in the kernel, because a spinning pool collapses on
// a busy machine.
constexpr int kSpins = 1000;

void pause_briefly() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    std::atomic_signal_fence(std::memory_order_seq_cst);
#endif
}

template <class T>
void wait_while(const std::atomic<T>& value, T old) {
    for (int spin = 0; spin < kSpins; ++spin) {
        if (value.load(std::memory_order_acquire) != old) return;
        pause_briefly();
    }
    while (value.load(std::memory_order_acquire) == old)
        value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(Index threads) {
    check(threads >= 1 && threads <= 256, "thread pool: threads must be 1 to 256, found ",
          threads);
    workers_.reserve(usize(threads - 1));
    try {
        for (Index i = 1; i < threads; ++i) workers_.emplace_back([this] { worker_loop(); });
    } catch (const std::exception& error) {
        const Index started = this->threads();
        stop();  // a thread that is neither joined nor detached would end the program
        throw Error(concat("thread pool: expected ", threads, " threads, the system gave ",
                           started, ": ", error.what()));
    }
}

ThreadPool::~ThreadPool() {
    stop();
}

void ThreadPool::stop() {
    stop_.store(true);
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
    for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run_job(Index n, Call call, void* context) {
    const SoleUse::Guard alone(use_, "thread pool");
    call_ = call;
    context_ = context;
    tasks_ = n;
    next_task_.store(0, std::memory_order_relaxed);
    state_.store(kOpen, std::memory_order_release);
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
    work_on_job();
    std::uint32_t inside = state_.fetch_and(~kOpen, std::memory_order_acq_rel) & ~kOpen;
    while (inside != 0) {
        wait_while(state_, inside);
        inside = state_.load(std::memory_order_acquire);
    }
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void ThreadPool::work_on_job() {
    try {
        for (Index i = next_task_.fetch_add(1, std::memory_order_relaxed); i < tasks_;
             i = next_task_.fetch_add(1, std::memory_order_relaxed))
            call_(context_, i);
    } catch (...) {
        const std::lock_guard lock(error_mutex_);
        if (!error_) error_ = std::current_exception();
        next_task_.store(tasks_, std::memory_order_relaxed);  // the other threads stop early
    }
}

// Enters the job if it is still open, works on it and leaves.
void ThreadPool::help() {
    std::uint32_t state = state_.load(std::memory_order_relaxed);
    do {
        if ((state & kOpen) == 0) return;
    } while (!state_.compare_exchange_weak(state, state + 1, std::memory_order_acquire,
                                           std::memory_order_relaxed));
    work_on_job();
    state_.fetch_sub(1, std::memory_order_release);
    state_.notify_all();
}

void ThreadPool::worker_loop() {
    std::uint32_t seen = 0;
    for (;;) {
        wait_while(generation_, seen);
        seen = generation_.load(std::memory_order_acquire);
        if (stop_.load()) return;
        help();
    }
}

}  // namespace kvlab
