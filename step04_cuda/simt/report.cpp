// report.cpp - chapter 4: from what a thread found to one line that names everything.
#include "machine.hpp"

namespace kvlab::simt {

namespace {

std::string text_of(const Fault::Place& place) {
    return concat(place.file, ":", place.line);
}

}  // namespace

std::string fault_name(FaultKind kind) {
    switch (kind) {
        case FaultKind::out_of_bounds:
            return "out of bounds";
        case FaultKind::not_device_memory:
            return "not device memory";
        case FaultKind::use_after_free:
            return "use after free";
        case FaultKind::misaligned:
            return "misaligned";
        case FaultKind::uninitialised:
            return "uninitialised";
        case FaultKind::write_to_frozen:
            return "write to frozen memory";
        case FaultKind::race:
            return "data race";
        case FaultKind::exited_at_barrier:
            return "exited thread at a barrier";
        case FaultKind::divergent_barrier:
            return "divergent barrier";
        case FaultKind::lane_not_in_mask:
            return "lane not in its mask";
        case FaultKind::missing_lane:
            return "missing lane";
        case FaultKind::divergent_warp:
            return "divergent warp";
        case FaultKind::inactive_source:
            return "inactive source lane";
        case FaultKind::not_cooperative:
            return "launch is not cooperative";
        case FaultKind::copy_in_flight:
            return "copy in flight";
        case FaultKind::wrong_copy:
            return "wrong asynchronous copy";
    }
    return "?";
}

std::string triple(const uint3& index) {
    return concat("(", index.x, ",", index.y, ",", index.z, ")");
}

std::string Machine::position(unsigned thread) const {
    const unsigned x = shape.block.x, y = shape.block.y;
    return triple({thread % x, thread / x % y, thread / x / y});
}

// The report is made on the host's stack: a thread's is too small for it.
void Machine::halt() {
    for (;;) fibers_->yield(current);
}

// Not thrown from here: a kernel cannot be unwound. run_turns() does, on the host's stack.
void Machine::stop_at_open_task(const char* task) {
    open_task_ = task;
    halt();
}

// The place is the innermost line outside of our own headers, whose functions may
// be real calls.
void Machine::throw_finding(const Finding& finding) {
    std::vector<const void*> addresses = {finding.pc};
    addresses.insert(addresses.end(), finding.calls.rbegin(), finding.calls.rend());
    addresses.push_back(finding.other_pc != nullptr ? finding.other_pc : finding.pc);
    const std::vector<Fault::Place> lines = ProgramImage::instance().places(addresses);
    Fault::Place place;
    for (std::size_t i = 0; i + 1 < lines.size() && place.line == 0; ++i) place = lines[i];
    const Fault::Place other = finding.other_pc != nullptr ? lines.back() : Fault::Place{};

    std::string text = place.line != 0 ? text_of(place) + ": " : "line unknown: ";
    text += concat(fault_name(finding.kind), ": kernel '", shape.kernel, "', block ",
                   triple(block), ", thread ", position(finding.thread), " ", finding.text);
    if (other.line != 0) text += concat(" (", text_of(other), ")");
    Fault fault(finding.kind, text);
    fault.kernel = shape.kernel;
    fault.block = block;
    fault.thread = threads_[finding.thread].index;
    fault.place = place;
    fault.other = other;
    fault.memory = finding.memory;
    throw fault;
}

}  // namespace kvlab::simt
