// scheduler.cpp - chapter 4: blocks one after another, threads of a block in turns.
#include <cstdlib>
#include <cstring>
#include <numeric>

#include "machine.hpp"

namespace kvlab::simt {

namespace {

// An array of shared memory never begins in the middle of a row of banks or of a sector.
constexpr std::size_t kSharedAlignment = 65536;

}  // namespace

Machine& Machine::instance() {
    static Machine machine;
    return machine;
}

Machine::Machine() : threads_(kMaxThreads) {
    all_fibers_.push_back(std::make_unique<Fibers>(kMaxThreads, thread_main));
    fibers_ = all_fibers_.front().get();
    dynamic_shared = std::aligned_alloc(kSharedAlignment, kSharedLimit);
    check(dynamic_shared != nullptr, "no memory for dynamic shared memory");
}

void Machine::thread_main() {
    Machine& machine = instance();
    (*machine.body_)();
    machine.end_of_thread();
    machine.thread().state = Thread::State::returned;
}

void Machine::run(const LaunchShape& launched,
                  const void* function,
                  const std::function<void()>& body) {
    shape = launched;
    static_shared_ = ProgramImage::instance().shared_arrays_of(function);
    for (const Symbol& array : static_shared_) shape.static_shared += array.end - array.begin;
    check_launch(shape);
    body_ = &body;
    thread_count_ = shape.block.x * shape.block.y * shape.block.z;
    begin_launch();
    MemoryMap::instance().set_dynamic_shared(dynamic_shared, shape.dynamic_shared);
    const bool checked = options.mode == Mode::checked;
    if (!checked) MemoryMap::instance().forget_uninitialised();
    try {
        if (shape.cooperative)
            run_resident_blocks();
        else
            run_blocks();
    } catch (...) {
        stop_all();
        throw;
    }
}

// Nothing is left of a launch before, which may have failed.
void Machine::begin_launch() {
    rng_ = Rng(options.seed);
    counters = {};
    finding_ = nullptr;
    open_task_ = nullptr;
    too_early_ = nullptr;
    arriving_.clear();
    leaving_.clear();
    block_intervals_.clear();
    launch_begin_ = interval_ + 1;
}

void Machine::run_blocks() {
    const std::size_t blocks = std::size_t{shape.grid.x} * shape.grid.y * shape.grid.z;
    check(blocks <= UINT32_MAX, "launch of '", shape.kernel, "': ", blocks,
          " blocks are more than the executor can count");
    std::vector<unsigned> order;  // forward needs none, and a grid may be large
    if (options.order != Order::forward) {
        order.resize(blocks);
        std::iota(order.rbegin(), order.rend(), 0u);
    }
    if (options.order == Order::shuffled) shuffle_order(order);
    for (std::size_t b = 0; b < blocks; ++b) {
        block = block_at(order.empty() ? static_cast<unsigned>(b) : order[b]);
        run_block();
    }
}

uint3 Machine::block_at(unsigned number) const {
    const unsigned x = shape.grid.x, y = shape.grid.y;
    return {number % x, number / x % y, number / x / y};
}

// Fisher and Yates.
void Machine::shuffle_order(std::vector<unsigned>& order) {
    for (std::size_t i = order.size(); i > 1; --i)
        std::swap(order[i - 1], at(order, rng_.below(static_cast<Index>(i))));
}

void Machine::next_interval() {
    check(++interval_ != 0, "the executor has run out of intervals: restart the program");
}

void Machine::begin_block() {
    next_interval();
    block_begin_ = block_first_ = interval_;
    block_intervals_.push_back({interval_, block});
    for (const Symbol& array : static_shared_)
        std::memset(reinterpret_cast<void*>(array.begin), kPoison, array.end - array.begin);
    std::memset(dynamic_shared, kPoison, shape.dynamic_shared);
    order_.resize(thread_count_);
    std::iota(order_.begin(), order_.end(), 0u);
    if (options.order != Order::forward) std::iota(order_.rbegin(), order_.rend(), 0u);
    const unsigned x = shape.block.x, y = shape.block.y;
    for (unsigned t = 0; t < thread_count_; ++t) {
        Thread& thread = threads_[t];
        thread.state = Thread::State::runs;
        thread.index = {t % x, t / x % y, t / x / y};
        thread.calls.clear();
        thread.paths.clear();
        thread.copies.clear();
    }
    for (Warp& warp : warps_) warp = {};
}

void Machine::run_block() {
    begin_block();
    run_threads();
}

// Until all threads have returned, or wait at a barrier of the grid.
void Machine::run_threads() {
    // Threads that run make progress; when none can, all wait or have returned.
    for (;;) {
        if (run_turns() > 0) continue;
        throw_found();
        unsigned waiting = 0, at_grid = 0;
        for (unsigned t = 0; t < thread_count_; ++t) {
            if (threads_[t].state == Thread::State::in_warp_call) report_stuck_warp(t);
            waiting += threads_[t].state == Thread::State::at_barrier ? 1u : 0u;
            at_grid += threads_[t].state == Thread::State::at_grid_barrier ? 1u : 0u;
        }
        if (waiting > 0) {
            release_barrier();
            continue;
        }
        if (at_grid > 0) check_all_at(Thread::State::at_grid_barrier);
        break;
    }
    for (Warp& warp : warps_) warp.traffic.flush(counters);
}

// Throws what was found, if anything was. A thread that read too early went on with a value
// that means nothing: what it did wrong then is not the cause.
void Machine::throw_found() {
    const bool race = finding_ && finding_->kind == FaultKind::race;
    if (too_early_ && !race) throw_finding(*too_early_);
    if (finding_) throw_finding(*finding_);
}

// One turn for each thread that can run; returns how many did.
unsigned Machine::run_turns() {
    if (options.order == Order::shuffled) shuffle_order(order_);
    unsigned ran = 0;
    for (const unsigned t : order_) {
        if (threads_[t].state != Thread::State::runs) continue;
        current = t;
        checking = options.mode == Mode::checked;
        fibers_->resume(t);
        checking = false;
        if (open_task_ != nullptr) todo(open_task_);
        if (finding_) throw_found();
        ++ran;
        if (threads_[t].state == Thread::State::in_warp_call) complete_warp_call(t);
    }
    return ran;
}

void Machine::wait(Thread::State state, const void* pc) {
    Thread& self = thread();
    self.state = state;
    self.spot = {pc, self.path()};
    fibers_->yield(current);
}

unsigned Machine::barrier(bool yes, const void* pc) {
    thread().bits = yes ? 1 : 0;
    wait(Thread::State::at_barrier, pc);
    return static_cast<unsigned>(thread().bits);
}

// No thread runs, none is in a warp call, and one at least waits in `state`, at a barrier of
// the block or of the grid: all must.
void Machine::check_all_at(Thread::State state) {
    unsigned first = 0;
    while (threads_[first].state != state) ++first;
    for (unsigned t = 0; t < thread_count_; ++t) {
        if (threads_[t].state == Thread::State::returned)
            throw_finding({FaultKind::exited_at_barrier,
                           concat("waits at a barrier that thread ", position(t),
                                  ", which has returned, never comes to"),
                           {},
                           first,
                           threads_[first].spot.pc,
                           nullptr,
                           threads_[first].calls});
        // An optimised kernel may hold one barrier of its source in several copies.
        const bool elsewhere =
            options.mode == Mode::checked && !(threads_[t].spot == threads_[first].spot);
        if (threads_[t].state != state || elsewhere)
            throw_finding(
                {FaultKind::divergent_barrier,
                 concat("waits at this barrier, thread ", position(first), " at another one"),
                 {},
                 t,
                 threads_[t].spot.pc,
                 threads_[first].spot.pc,
                 threads_[t].calls});
    }
}

void Machine::release_barrier() {
    check_all_at(Thread::State::at_barrier);
    std::uint64_t yes = 0;
    for (unsigned t = 0; t < thread_count_; ++t) yes += threads_[t].bits;
    for (unsigned t = 0; t < thread_count_; ++t) threads_[t].bits = yes;
    for (unsigned t = 0; t < thread_count_; ++t) threads_[t].state = Thread::State::runs;
    for (Warp& warp : warps_) warp.traffic.flush(counters);
    ++counters.barriers;
    next_interval();
}

}  // namespace kvlab::simt
