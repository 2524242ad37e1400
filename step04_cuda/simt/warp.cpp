// warp.cpp - chapter 4: shuffles, ballots and __syncwarp: lanes that wait for each other.
#include <cstdio>

#include "machine.hpp"

namespace kvlab::simt {

namespace {

unsigned bit(unsigned lane) {
    return 1u << lane;
}

// The lane that `lane` reads from, by the rules of CUDA's programming guide: inside of its
// segment of `width` lanes, and from itself where that would be left.
unsigned source_lane(WarpCall call, unsigned lane, int operand, int width) {
    const auto segment = static_cast<unsigned>(width);
    const unsigned first = lane & ~(segment - 1), last = first + segment - 1;
    const auto by = static_cast<unsigned>(operand);
    unsigned source = lane;
    switch (call) {
        case WarpCall::shuffle:
            return first | (by & (segment - 1));
        case WarpCall::shuffle_xor:
            source = lane ^ by;
            return source <= last ? source : lane;
        case WarpCall::shuffle_down:
            source = lane + by;
            return source <= last ? source : lane;
        case WarpCall::shuffle_up:
            return lane >= first + by ? lane - by : lane;
        default:
            return lane;
    }
}

const char* call_name(WarpCall call) {
    switch (call) {
        case WarpCall::sync:
            return "__syncwarp";
        case WarpCall::ballot:
            return "a vote";
        default:
            return "a shuffle";
    }
}

std::string mask_text(unsigned mask) {
    char text[16];
    std::snprintf(text, sizeof text, "0x%08x", mask);
    return text;
}

}  // namespace

std::uint64_t Machine::warp_call(
    WarpCall call, unsigned mask, std::uint64_t bits, int operand, int width, const void* pc) {
    Thread& self = thread();
    if ((mask & bit(current % kLanes)) == 0) {
        finding_ = std::make_unique<Finding>(
            Finding{FaultKind::lane_not_in_mask,
                    concat("calls ", call_name(call), " as lane ", current % kLanes,
                           " with the mask ", mask_text(mask), ", which leaves that lane out"),
                    {},
                    current,
                    pc,
                    nullptr,
                    self.calls});
        halt();
    }
    self.call = call;
    self.mask = mask;
    self.bits = bits;
    self.operand = operand;
    self.width = width;
    wait(Thread::State::in_warp_call, pc);
    return self.bits;
}

// Lets the lanes of a call go on if all of them are there. They must make the same call with
// the same mask; shuffles and votes also in the same place, for which an optimised kernel may
// have several copies.
bool Machine::complete_warp_call(unsigned t) {
    const Thread& self = threads_[t];
    const unsigned first = t - t % kLanes;
    unsigned live = 0;
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        const bool exists = first + lane < thread_count_;
        const Thread& other = threads_[exists ? first + lane : t];
        if (exists && other.state != Thread::State::returned) live |= bit(lane);
        if ((self.mask & bit(lane)) == 0) continue;
        if (!exists || other.state != Thread::State::in_warp_call || other.call != self.call ||
            other.mask != self.mask)
            return false;
        if (options.mode == Mode::checked && self.call != WarpCall::sync &&
            !(other.spot == self.spot))
            return false;
    }
    give_results(first / kLanes, self.mask);
    // With all lanes together their requests are complete; half of a warp leaves them open.
    if ((live & ~self.mask) == 0) warps_[first / kLanes].traffic.flush(counters);
    return true;
}

// The results are worked out before any lane goes on: it might come to its next call, with
// another value, while others have not taken this one.
void Machine::give_results(unsigned warp, unsigned mask) {
    Thread* const lanes = &threads_[warp * kLanes];
    std::array<std::uint64_t, kLanes> results{};
    std::uint64_t ballot = 0;
    WarpCall call{};
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if ((mask & bit(lane)) == 0) continue;
        const Thread& thread = lanes[lane];
        call = thread.call;
        if (thread.bits != 0) ballot |= bit(lane);
        const unsigned source = source_lane(call, lane, thread.operand, thread.width);
        const bool relative = call == WarpCall::shuffle_down || call == WarpCall::shuffle_up;
        results[lane] = ~std::uint64_t{0};  // poison
        if ((mask & bit(source)) == 0 && relative) continue;
        if ((mask & bit(source)) == 0)
            throw_finding({FaultKind::inactive_source,
                           concat("shuffles from lane ", source, ", which is not in the mask ",
                                  mask_text(mask)),
                           {},
                           warp * kLanes + lane,
                           thread.spot.pc,
                           nullptr,
                           thread.calls});
        results[lane] = lanes[source].bits;
    }
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if ((mask & bit(lane)) == 0) continue;
        lanes[lane].bits = call == WarpCall::ballot ? ballot : results[lane];
        lanes[lane].state = Thread::State::runs;
    }
    warps_[warp].syncs += call == WarpCall::sync ? 1u : 0u;
    Index& count = call == WarpCall::sync     ? counters.warp_syncs
                   : call == WarpCall::ballot ? counters.ballots
                                              : counters.shuffles;
    ++count;
}

// No thread of the block can run, and this one waits for lanes that do not come.
void Machine::report_stuck_warp(unsigned t) {
    const Thread& self = threads_[t];
    const unsigned first = t - t % kLanes;
    Finding finding{FaultKind::missing_lane, {}, {}, t, self.spot.pc, nullptr, self.calls};
    const std::string waits = concat("waits in ", call_name(self.call), " with the mask ",
                                     mask_text(self.mask), " for ");
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if ((self.mask & bit(lane)) == 0) continue;
        const unsigned other = first + lane;
        const Thread& thread = threads_[other < thread_count_ ? other : t];
        const std::string named = concat(waits, "lane ", lane, ", which ");
        if (other >= thread_count_) {
            finding.text =
                named + concat("does not exist: the block has ", thread_count_, " threads");
        } else if (thread.state == Thread::State::returned) {
            finding.text = named + "has returned";
        } else if (thread.state == Thread::State::at_barrier) {
            finding.text = named + "waits at a barrier";
            finding.other_pc = thread.spot.pc;
        } else if (thread.call != self.call || thread.mask != self.mask ||
                   !(thread.spot == self.spot)) {
            finding.kind = FaultKind::divergent_warp;
            finding.text = named + concat("is in ", call_name(thread.call), " with the mask ",
                                          mask_text(thread.mask),
                                          thread.spot == self.spot ? "" : " elsewhere");
            finding.other_pc = thread.spot.pc;
        } else {
            continue;
        }
        throw_finding(finding);
    }
    throw Error(concat("launch of '", shape.kernel, "': a warp is stuck for no reason"));
}

}  // namespace kvlab::simt
