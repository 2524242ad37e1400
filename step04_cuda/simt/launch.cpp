// launch.cpp - chapter 4: options of launches, and a launch from the outside.
#include <algorithm>
#include <mutex>

#include "arena.hpp"
#include "device_memory.hpp"
#include "machine.hpp"

namespace kvlab::simt {

namespace {

Options& options() {
    thread_local Options current;
    return current;
}

Counters& operator+=(Counters& sum, const Counters& more) {
    const auto global = [](GlobalTraffic& a, const GlobalTraffic& b) {
        a.requests += b.requests, a.sectors += b.sectors, a.minimal += b.minimal;
    };
    const auto shared = [](SharedTraffic& a, const SharedTraffic& b) {
        a.requests += b.requests, a.wavefronts += b.wavefronts, a.minimal += b.minimal;
    };
    global(sum.loads, more.loads);
    global(sum.stores, more.stores);
    sum.most_loads = std::max(sum.most_loads, more.most_loads);
    shared(sum.shared_loads, more.shared_loads);
    shared(sum.shared_stores, more.shared_stores);
    for (Index Counters::*field :
         {&Counters::atomics, &Counters::barriers, &Counters::warp_syncs, &Counters::shuffles,
          &Counters::ballots, &Counters::grid_barriers, &Counters::async_copies, &Counters::fma,
          &Counters::add, &Counters::mul})
        sum.*field += more.*field;
    return sum;
}

}  // namespace

Use::Use(const Options& chosen) : before_(options()) {
    check(chosen.mode == Mode::raw || has_checked_kernels(),
          "checked kernels are not part of this build: the thread sanitizer's hooks are taken");
    options() = chosen;
}

Use::~Use() {
    options() = before_;
}

const Options& current_options() {
    return options();
}

bool has_checked_kernels() {
    return KVLAB_SIMT_CHECKED != 0;
}

bool launches_check() {
    return options().mode == Mode::checked;
}

unsigned resident_blocks() {
    return options().resident_blocks;
}

void run(const LaunchShape& shape, const void* function, const std::function<void()>& thread) {
    const std::lock_guard lock(machine_mutex());
    const OpenArena open;
    Machine& machine = Machine::instance();
    machine.options = options();
    machine.run(shape, function, thread);
    if (machine.options.counters != nullptr) *machine.options.counters += machine.counters;
    if (machine.options.records != nullptr) {
        const LaunchShape& ran = machine.shape;
        machine.options.records->push_back({ran.kernel, ran.grid, ran.block, ran.static_shared,
                                            ran.dynamic_shared, machine.counters});
    }
}

std::vector<std::pair<std::string, Index>> counter_lines(const Counters& c) {
    return {{"global loads: requests", c.loads.requests},
            {"global loads: sectors", c.loads.sectors},
            {"global loads: sectors at least", c.loads.minimal},
            {"global loads: by one warp at most", c.most_loads},
            {"global stores: requests", c.stores.requests},
            {"global stores: sectors", c.stores.sectors},
            {"global stores: sectors at least", c.stores.minimal},
            {"shared loads: requests", c.shared_loads.requests},
            {"shared loads: wavefronts", c.shared_loads.wavefronts},
            {"shared loads: bank conflicts", c.shared_loads.conflicts()},
            {"shared stores: requests", c.shared_stores.requests},
            {"shared stores: wavefronts", c.shared_stores.wavefronts},
            {"shared stores: bank conflicts", c.shared_stores.conflicts()},
            {"atomics", c.atomics},
            {"barriers", c.barriers},
            {"grid barriers", c.grid_barriers},
            {"asynchronous copies", c.async_copies},
            {"warp synchronisations", c.warp_syncs},
            {"shuffles", c.shuffles},
            {"ballots", c.ballots},
            {"fma", c.fma},
            {"add", c.add},
            {"mul", c.mul}};
}

}  // namespace kvlab::simt
