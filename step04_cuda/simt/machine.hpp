// machine.hpp - chapter 4: one block of a launch while it runs: its threads, what each waits
// for, and the clocks by which accesses are ordered.
//
//   scheduler.cpp   lets threads run in turns, and brings them together at barriers
//   warp.cpp        brings lanes together at shuffles, ballots and __syncwarp
//   grid.cpp        lets the blocks of a cooperative launch meet at grid barriers
//   async_copy.cpp  copies that arrive when their thread waits for them
//   access.cpp      judges every access of checked kernels
//   report.cpp      words for what was found wrong
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <vector>

#include <kvlab/cuda/device_calls.hpp>
#include <kvlab/cuda/launch_shape.hpp>
#include <kvlab/cuda/simt.hpp>
#include <kvlab/tensor/random.hpp>

#include "async_copy.hpp"
#include "fibers.hpp"
#include "memory_map.hpp"
#include "traffic.hpp"

namespace kvlab::simt {

inline constexpr unsigned kLanes = 32, kMaxThreads = 1024, kMaxWarps = kMaxThreads / kLanes;

// Where a thread is: the address behind a call, and a number for the calls that led there.
struct Spot {
    const void* pc = nullptr;
    std::uint64_t path = 0;

    bool operator==(const Spot&) const = default;

    std::uint64_t site() const { return reinterpret_cast<std::uintptr_t>(pc) ^ path; }
};

struct Thread {
    enum class State : std::uint8_t {
        runs,
        at_barrier,
        at_grid_barrier,
        in_warp_call,
        returned
    };

    State state = State::runs;
    uint3 index{};
    Spot spot;  // of the call in which it waits
    // The calls under way, by return address; known for checked kernels only.
    std::vector<const void*> calls;
    std::vector<std::uint64_t> paths;
    // The call in which it waits, then its result; of a barrier `bits` alone.
    WarpCall call{};
    unsigned mask = 0;
    std::uint64_t bits = 0;
    int operand = 0, width = kLanes;
    AsyncCopies copies;

    std::uint64_t path() const { return paths.empty() ? 0 : paths.back(); }
};

struct Warp {
    std::uint32_t syncs = 0;
    Traffic traffic;
};

// A block of a cooperative launch while others have their turn. There is one shared memory,
// which belongs to the block that runs: `shared` keeps what this one left there.
struct Resident {
    struct Array {
        Region* region = nullptr;
        std::vector<char> bytes;
        std::unique_ptr<Shadow> shadow;
    };

    uint3 index{};
    std::uint32_t first_interval = 0;  // 0: it has not begun
    std::vector<Thread> threads;
    std::array<Warp, kMaxWarps> warps;
    std::vector<Array> shared;
    WordsInFlight arriving;
};

// A fault as the kernel's thread leaves it; report.cpp makes the Fault of it.
struct Finding {
    FaultKind kind;
    std::string text;  // what happened, behind "thread (x,y,z) "
    std::string memory;
    unsigned thread = 0;
    const void* pc = nullptr;
    const void* other_pc = nullptr;
    std::vector<const void*> calls;
};

class Machine {
public:
    static Machine& instance();

    // Runs a whole launch. Throws Fault.
    void run(const LaunchShape& shape, const void* function, const std::function<void()>& body);

    // What kernels' threads call.
    unsigned barrier(bool yes, const void* pc);
    void grid_barrier(const void* pc);
    void async_copy(const AsyncCopy& copy);
    void async_commit();
    void async_wait(std::size_t groups, const void* pc);
    std::uint64_t warp_call(WarpCall call,
                            unsigned mask,
                            std::uint64_t bits,
                            int operand,
                            int width,
                            const void* pc);
    void access(std::uintptr_t address, std::size_t bytes, Access kind, const void* pc);
    void enter_function(const void* pc);
    void leave_function();
    [[noreturn]] void stop_at_open_task(const char* task);

    Options options;
    LaunchShape shape{};
    uint3 block{};
    unsigned current = 0;   // the thread that runs
    bool checking = false;  // a checked kernel's thread runs
    void* dynamic_shared = nullptr;
    Counters counters;

    Thread& thread() { return threads_[current]; }

private:
    Machine();
    static void thread_main();

    // scheduler.cpp
    void run_blocks();
    void begin_launch();
    void run_block();
    void run_threads();
    void begin_block();
    unsigned run_turns();
    void release_barrier();
    void check_all_at(Thread::State state);
    void throw_found();
    [[noreturn]] void throw_finding(const Finding& finding);
    void wait(Thread::State state, const void* pc);
    void shuffle_order(std::vector<unsigned>& order);
    void next_interval();
    uint3 block_at(unsigned number) const;
    std::string position(unsigned thread) const;

    // grid.cpp
    void run_resident_blocks();
    void run_phase(const std::vector<unsigned>& order);
    bool release_grid_barrier();
    void bring_in(unsigned slot);
    void put_aside(unsigned slot);
    Fibers& fibers_of(unsigned slot);
    void stop_all();
    void leave_grid();

    // warp.cpp
    bool complete_warp_call(unsigned thread);
    void give_results(unsigned warp, unsigned mask);
    [[noreturn]] void report_stuck_warp(unsigned thread);

    // async_copy.cpp
    void end_of_thread();
    void judge_copy(const AsyncCopy& copy);
    void judge_arrival(const AsyncCopy& copy, const void* pc);
    void check_in_flight(const Region& region,
                         std::uintptr_t address,
                         std::size_t bytes,
                         Access kind,
                         const void* pc);
    void mark_in_flight(const AsyncCopy& copy, int copies);

    // Stops the thread that runs for good; run() throws what was found.
    [[noreturn]] void halt();

    // access.cpp
    template <class Judge>
    void judge_or_halt(Judge&& judge_it);
    void judge(std::uintptr_t address, std::size_t bytes, Access kind, const void* pc);
    // `region` holds the first byte alone, or is null.
    [[noreturn]] void throw_outside(const Region* region,
                                    std::uintptr_t address,
                                    std::size_t bytes,
                                    const char* verb,
                                    const void* pc);
    void check_written(
        Region& region, std::uintptr_t address, std::size_t bytes, Access kind, const void* pc);
    void check_race(
        Region& region, std::uintptr_t address, std::size_t bytes, Access kind, const void* pc);
    std::string who(const Stamp& stamp, Access kind) const;
    Now now(const void* pc) const;

    // Those of ordinary launches; and of each further block of a cooperative one.
    std::vector<std::unique_ptr<Fibers>> all_fibers_;
    Fibers* fibers_ = nullptr;
    std::vector<Resident> residents_;
    WordsInFlight arriving_;  // words of shared memory that copies of this block will write
    WordsInFlight leaving_;   // words of global memory that copies of the launch will read
    const std::function<void()>* body_ = nullptr;
    std::vector<Thread> threads_;
    std::array<Warp, kMaxWarps> warps_;
    std::vector<unsigned> order_;
    std::vector<Symbol> static_shared_;
    std::unique_ptr<Finding> finding_;
    const char* open_task_ = nullptr;  // that a thread has come to
    // A read of shared memory that nobody has written so far in this block. If someone does
    // before the next barrier, it is a race that is to be reported, so this waits until then.
    std::unique_ptr<Finding> too_early_;
    Index accesses_since_ = 0;
    Rng rng_{1};
    unsigned thread_count_ = 0;
    // The first interval of the launch, or since its last grid barrier, before which everything
    // is ordered; of the block's part of it; and of the block, in the launch.
    std::uint32_t launch_begin_ = 1, block_begin_ = 1, block_first_ = 1, interval_ = 0;
    // First interval of each block since launch_begin_: which one an earlier access was in.
    std::vector<std::pair<std::uint32_t, uint3>> block_intervals_;
};

// "(3,0,0)"
std::string triple(const uint3& index);

// What is found is thrown no farther than this: a kernel cannot be unwound. All strings are
// gone from the thread's stack when it stops, because nobody will ever go on with it.
template <class Judge>
void Machine::judge_or_halt(Judge&& judge_it) {
    try {
        judge_it();
        return;
    } catch (const Finding& finding) {
        finding_ = std::make_unique<Finding>(finding);
    }
    halt();
}

}  // namespace kvlab::simt
