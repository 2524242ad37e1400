// grid.cpp - chapter 4: cooperative launches: all blocks are there together, and meet at
// barriers of the grid.
//
// Between two grid barriers blocks still run one after another, each as far as it can. So a
// block that waits for another in any other way waits for ever. A grid barrier orders
// all that came before it, like the end of a launch: so it begins a new phase, whose accesses
// are judged as if it were a launch of its own.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "machine.hpp"

namespace kvlab::simt {

namespace {

// The shared arrays of the kernels that are not run now are nobody's.
bool is_of_variant(const Symbol& array, Mode mode) {
    return !array.name.starts_with(mode == Mode::raw ? "_ZZN5kvlab7checked" : "_ZZN5kvlab3raw");
}

}  // namespace

void Machine::grid_barrier(const void* pc) {
    if (!shape.cooperative) {
        finding_ = std::make_unique<Finding>(
            Finding{FaultKind::not_cooperative,
                    "waits for the other blocks: launch_cooperative() starts them together",
                    {},
                    current,
                    pc,
                    nullptr,
                    thread().calls});
        halt();
    }
    wait(Thread::State::at_grid_barrier, pc);
}

void Machine::run_resident_blocks() {
    check_resident(shape, options.resident_blocks);
    const std::size_t blocks = std::size_t{shape.grid.x} * shape.grid.y * shape.grid.z;
    residents_ = std::vector<Resident>(blocks);
    std::vector<unsigned> order(blocks);
    std::iota(order.begin(), order.end(), 0u);
    if (options.order != Order::forward) std::iota(order.rbegin(), order.rend(), 0u);
    for (unsigned slot = 0; slot < order.size(); ++slot) {
        Resident& resident = residents_[slot];
        resident.index = block_at(slot);
        resident.threads.resize(kMaxThreads);
        MemoryMap& map = MemoryMap::instance();
        for (const Symbol& array : ProgramImage::instance().shared_arrays())
            if (is_of_variant(array, options.mode))
                resident.shared.push_back({map.find(array.begin), {}, nullptr});
        if (shape.dynamic_shared > 0)
            resident.shared.push_back(
                {map.find(reinterpret_cast<std::uintptr_t>(dynamic_shared)), {}, nullptr});
        for (Resident::Array& array : resident.shared)
            array.bytes.assign(array.region->bytes(), static_cast<char>(kPoison));
    }
    do {
        if (options.order == Order::shuffled) shuffle_order(order);
        run_phase(order);
    } while (release_grid_barrier());
    leave_grid();
}

// Each block until it waits for the others, or has returned.
void Machine::run_phase(const std::vector<unsigned>& order) {
    launch_begin_ = interval_ + 1;
    block_intervals_.clear();
    for (const unsigned slot : order) {
        Resident& resident = residents_[slot];
        bring_in(slot);
        if (resident.first_interval == 0) {
            begin_block();
            resident.first_interval = block_first_;
        } else {
            next_interval();
            block_begin_ = interval_;
            block_first_ = resident.first_interval;
            block_intervals_.push_back({interval_, block});
        }
        run_threads();
        put_aside(slot);
    }
}

// Whether the blocks go on.
bool Machine::release_grid_barrier() {
    const auto waits = [&](unsigned slot) {
        return residents_[slot].threads[0].state == Thread::State::at_grid_barrier;
    };
    const auto blocks = static_cast<unsigned>(residents_.size());
    unsigned first = 0;
    while (first < blocks && !waits(first)) ++first;
    if (first == blocks) return false;
    for (unsigned slot = 0; slot < blocks; ++slot) {
        if (!waits(slot)) {
            bring_in(first);
            throw_finding(
                {FaultKind::exited_at_barrier,
                 concat("waits at a grid barrier that block ", triple(residents_[slot].index),
                        ", which has returned, never comes to"),
                 {},
                 0,
                 threads_[0].spot.pc,
                 nullptr,
                 threads_[0].calls});
        }
        const Spot there = residents_[first].threads[0].spot;
        if (options.mode == Mode::checked && !(residents_[slot].threads[0].spot == there)) {
            bring_in(slot);
            throw_finding({FaultKind::divergent_barrier,
                           concat("waits at this grid barrier, block ",
                                  triple(residents_[first].index), " at another one"),
                           {},
                           0,
                           threads_[0].spot.pc,
                           there.pc,
                           threads_[0].calls});
        }
    }
    for (Resident& resident : residents_)
        for (unsigned t = 0; t < thread_count_; ++t)
            resident.threads[t].state = Thread::State::runs;
    ++counters.grid_barriers;
    return true;
}

void Machine::bring_in(unsigned slot) {
    Resident& resident = residents_[slot];
    block = resident.index;
    fibers_ = &fibers_of(slot);
    threads_.swap(resident.threads);
    warps_.swap(resident.warps);
    arriving_.swap(resident.arriving);
    for (Resident::Array& array : resident.shared) {
        std::memcpy(reinterpret_cast<void*>(array.region->begin), array.bytes.data(),
                    array.bytes.size());
        array.region->shadow = std::move(array.shadow);
    }
}

void Machine::put_aside(unsigned slot) {
    Resident& resident = residents_[slot];
    threads_.swap(resident.threads);
    warps_.swap(resident.warps);
    arriving_.swap(resident.arriving);
    for (Resident::Array& array : resident.shared) {
        std::memcpy(array.bytes.data(), reinterpret_cast<void*>(array.region->begin),
                    array.bytes.size());
        array.shadow = std::move(array.region->shadow);
    }
}

Fibers& Machine::fibers_of(unsigned slot) {
    while (all_fibers_.size() <= slot)
        all_fibers_.push_back(std::make_unique<Fibers>(kMaxThreads, thread_main));
    return *all_fibers_[slot];
}

// Threads that were stopped in the middle are not gone on with.
void Machine::stop_all() {
    const std::size_t used = shape.cooperative ? residents_.size() : 1;
    for (std::size_t slot = 0; slot < std::min(used, all_fibers_.size()); ++slot)
        for (unsigned t = 0; t < thread_count_; ++t) all_fibers_[slot]->abandon(t);
    leave_grid();
}

void Machine::leave_grid() {
    residents_.clear();
    fibers_ = all_fibers_.front().get();
}

}  // namespace kvlab::simt
