// async_copy.cpp - chapter 4: asynchronous copies. A GPU's may arrive at any time between the
// call and the wait that covers it. Here they arrive as late as they may: at that wait. Until
// then there is poison, so that whoever reads too early does not find the right bytes by luck.
#include "async_copy.hpp"

#include <algorithm>
#include <cstring>

#include "machine.hpp"

namespace kvlab::simt {

void Machine::async_copy(const AsyncCopy& started) {
    AsyncCopies& copies = thread().copies;
    AsyncCopy copy = started;
    copy.group = copies.open_group;
    if (checking) judge_or_halt([&] { judge_copy(copy); });
    std::memset(copy.to, kPoison, copy.bytes);
    copies.in_flight.push_back(copy);
    ++counters.async_copies;
}

void Machine::async_commit() {
    ++thread().copies.open_group;
}

// Of the groups that were committed, all but the last `groups` arrive. A copy that was never
// committed is in none of them.
void Machine::async_wait(std::size_t groups, const void* pc) {
    AsyncCopies& copies = thread().copies;
    if (groups >= copies.open_group) return;
    const std::uint64_t first_that_may_fly = copies.open_group - groups;
    const auto rest = std::stable_partition(
        copies.in_flight.begin(), copies.in_flight.end(),
        [&](const AsyncCopy& copy) { return copy.group < first_that_may_fly; });
    for (auto copy = copies.in_flight.begin(); copy != rest; ++copy) {
        if (checking) judge_or_halt([&] { judge_arrival(*copy, pc); });
        std::memcpy(copy->to, copy->from, copy->read());
        std::memset(static_cast<char*>(copy->to) + copy->read(), 0, copy->zeros);
    }
    copies.in_flight.erase(copies.in_flight.begin(), rest);
}

void Machine::end_of_thread() {
    const AsyncCopies& copies = thread().copies;
    if (!checking || copies.in_flight.empty()) return;
    const AsyncCopy& copy = copies.in_flight.front();
    judge_or_halt([&] {
        throw Finding{FaultKind::copy_in_flight,
                      concat("returns while its copy of ", copy.bytes,
                             " bytes is in flight: no wait covers it"),
                      {},
                      current,
                      copy.pc,
                      nullptr,
                      {}};
    });
}

// Before the copy starts: the source is read, the destination is no longer what it was.
void Machine::judge_copy(const AsyncCopy& copy) {
    const auto to = reinterpret_cast<std::uintptr_t>(copy.to);
    const auto from = reinterpret_cast<std::uintptr_t>(copy.from);
    const auto refuse = [&](FaultKind kind, const Region* region, const std::string& text) {
        throw Finding{kind,
                      concat("copies ", copy.bytes, " bytes", text),
                      region != nullptr ? region->name : std::string(),
                      current,
                      copy.pc,
                      nullptr,
                      thread().calls};
    };
    if (copy.bytes != 4 && copy.bytes != 8 && copy.bytes != 16)
        refuse(FaultKind::wrong_copy, nullptr, ", expected 4, 8 or 16");
    if (copy.zeros > copy.bytes)
        refuse(FaultKind::wrong_copy, nullptr, concat(", of which ", copy.zeros, " are zeros"));
    MemoryMap& map = MemoryMap::instance();
    const Region* target = map.find(to);
    if (target != nullptr && !target->shared)
        refuse(FaultKind::wrong_copy, target, " to global memory, expected shared memory");
    const Region* source = copy.read() > 0 ? map.find(from) : nullptr;
    if (source != nullptr && source->shared)
        refuse(FaultKind::wrong_copy, source, " from shared memory, expected global memory");
    if (source != nullptr && from % copy.bytes != 0)
        refuse(FaultKind::misaligned, source,
               concat(" from ", source->describe(from), ", which is not at a multiple of ",
                      copy.bytes));
    if (copy.read() > 0) judge(from, copy.read(), Access::read, copy.pc);
    judge(to, copy.bytes, Access::write, copy.pc);
    mark_in_flight(copy, 1);
}

// Where a wait covers the copy, its thread writes what it has read.
void Machine::judge_arrival(const AsyncCopy& copy, const void* pc) {
    mark_in_flight(copy, -1);
    const auto touch = [&](const void* memory, std::size_t bytes, Access kind) {
        const auto address = reinterpret_cast<std::uintptr_t>(memory);
        Region* region = bytes == 0 ? nullptr : MemoryMap::instance().find(address);
        if (region != nullptr && !region->frozen) check_race(*region, address, bytes, kind, pc);
    };
    touch(copy.from, copy.read(), Access::read);
    touch(copy.to, copy.bytes, Access::write);
}

void Machine::mark_in_flight(const AsyncCopy& copy, int copies) {
    const auto mark = [&](WordsInFlight& words, const void* memory, std::size_t bytes) {
        const auto first = reinterpret_cast<std::uintptr_t>(memory);
        for (std::uintptr_t at = first; at < first + bytes; at += kCopiedWord) {
            WordInFlight& word = words[at / kCopiedWord];
            if (copies > 0) word = {block, current, copy.pc, word.copies};
            word.copies += copies;
            if (word.copies == 0) words.erase(at / kCopiedWord);
        }
    };
    mark(arriving_, copy.to, copy.bytes);
    mark(leaving_, copy.from, copy.read());
}

// Nobody may touch what a copy will write, nor change what it will read.
void Machine::check_in_flight(const Region& region,
                              std::uintptr_t address,
                              std::size_t bytes,
                              Access kind,
                              const void* pc) {
    const WordsInFlight& words = region.shared ? arriving_ : leaving_;
    if (words.empty() || (!region.shared && kind == Access::read)) return;
    for (std::uintptr_t at = address / kCopiedWord; at <= (address + bytes - 1) / kCopiedWord;
         ++at) {
        const auto found = words.find(at);
        if (found == words.end()) continue;
        const WordInFlight& word = found->second;
        const std::string of_block = region.shared ? "" : " of block " + triple(word.block);
        const char* verb = kind == Access::read    ? "reads "
                           : kind == Access::write ? "writes "
                                                   : "updates ";
        throw Finding{
            FaultKind::copy_in_flight,
            concat(verb, bytes, bytes == 1 ? " byte" : " bytes", " at ",
                   region.describe(address), ", which a copy that thread ",
                   position(word.thread), of_block, " has started and not waited for ",
                   region.shared ? "will write" : "may still read"),
            region.name,
            current,
            pc,
            word.pc,
            thread().calls};
    }
}

}  // namespace kvlab::simt
