// sole_use.hpp - chapter 1: what only one caller may use at a time says so when two do.
//
// A second thread, or a call from inside of the first, would overwrite what the first works on:
// wrong numbers, or a crash, some of the time. One flag turns that into an Error. It is no
// lock: nobody waits, because waiting threads would hide that they share what they should not.
#pragma once

#include <atomic>

#include <kvlab/tensor/error.hpp>

namespace kvlab {

class SoleUse {
public:
    SoleUse() = default;

    // A copy is another thing, and nobody uses it yet.
    SoleUse(const SoleUse&) noexcept {}

    SoleUse& operator=(const SoleUse&) noexcept { return *this; }

    // From construction to destruction `of` is in use. Throws Error if it is already: "<what>:
    // entered while another call is inside; ...".
    class Guard {
    public:
        Guard(SoleUse& of, const char* what) : of_(of) {
            if (of_.inside_.exchange(true, std::memory_order_acquire)) [[unlikely]]
                throw Error(
                    concat(what,
                           ": entered while another call is inside; each thread "
                           "needs one of its own, and a task must not use its caller's"));
        }

        ~Guard() { of_.inside_.store(false, std::memory_order_release); }

        Guard(const Guard&) = delete;
        Guard& operator=(const Guard&) = delete;

    private:
        SoleUse& of_;
    };

private:
    std::atomic<bool> inside_{false};
};

}  // namespace kvlab
