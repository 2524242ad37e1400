// device_support.hpp - arrays and views in device memory for the tests of kernels.
#pragma once

#include <vector>

#include <kvlab/cuda/device_memory.hpp>

#include "simt_support.hpp"

namespace kvlab::test {

// A matrix [R, n] in device memory whose rows lie `gap` floats further apart than they are
// long. The gaps are never written: a kernel that reads one is reported, one that writes there
// changes what untouched() sees.
class DeviceRows {
public:
    // Rows to be written by a kernel.
    DeviceRows(Index R, Index n, Index gap = 5)
        : R_(R), n_(n), stride_(n + gap), floats_(R * stride_ + kBehind, "rows") {}

    DeviceRows(Index R, Index n, std::span<const float> values, Index gap = 5)
        : DeviceRows(R, n, gap) {
        for (Index r = 0; r < R; ++r)
            copy_bytes_to_device(floats_.get() + r * stride_, &at(values, r * n),
                                 n * Index{sizeof(float)});
    }

    View<float> view() const { return {floats_.get(), {R_, n_}, {stride_, 1, 0, 0}}; }

    // The same rows as heads [R, heads, D].
    View<float> heads(Index heads) const {
        const Index D = n_ / heads;
        return {floats_.get(), {R_, heads, D}, {stride_, D, 1, 0}};
    }

    std::vector<float> values() const {
        std::vector<float> rows(usize(R_ * n_));
        for (Index r = 0; r < R_; ++r)
            copy_bytes_to_host(&at(rows, r * n_), floats_.get() + r * stride_,
                               n_ * Index{sizeof(float)});
        return rows;
    }

    // Whether everything beside the rows is as it was given out: NaN.
    bool untouched() const {
        const std::vector<float> all = floats_.to_host();
        for (std::size_t i = 0; i < all.size(); ++i) {
            const auto at = static_cast<Index>(i);
            if ((at >= R_ * stride_ || at % stride_ >= n_) && all[i] == all[i]) return false;
        }
        return true;
    }

private:
    static constexpr Index kBehind = 64;

    Index R_, n_, stride_;
    DeviceArray<float> floats_;
};

// Runs `test` raw, and checked where this build has it, with threads in three orders.
template <class Test>
void in_all_modes(Test&& test) {
    for (const simt::Mode mode : test_modes())
        for (const simt::Order order :
             {simt::Order::forward, simt::Order::reverse, simt::Order::shuffled}) {
            const simt::Use use({mode, order, 7, nullptr});
            test();
        }
}

}  // namespace kvlab::test
