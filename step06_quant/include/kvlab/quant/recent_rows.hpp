// recent_rows.hpp - chapter 6: the newest rows of one layer, in f16, until their group is full
// or their window has passed: KIVI's residual.
#pragma once

#include <cstdint>
#include <span>

#include <kvlab/tensor/memory.hpp>
#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

// A ring: slot s lies at place s % capacity.
class RecentRows {
public:
    RecentRows() = default;
    RecentRows(Index capacity, Index kv_heads, Index head_dim);

    Index capacity() const { return capacity_; }

    RecentRows clone() const;

    // Another capacity; slots [begin, end), which fit into both, stay.
    void resize(Index capacity, Index begin, Index end);

    // Rounds the row [D] to f16, here and in `row`. Throws Error for what does not fit.
    void write(Index kv_head, Index slot, std::span<float> row);
    void read(Index kv_head, Index slot, float* row, Index stride = 1) const;

    Index allocated_bytes() const { return kv_heads_ * capacity_ * head_dim_ * 2; }

    std::span<std::byte> memory() { return {memory_.data(), usize(allocated_bytes())}; }

private:
    const std::uint16_t* halves() const {
        return reinterpret_cast<const std::uint16_t*>(memory_.data());
    }

    std::uint16_t* halves() { return reinterpret_cast<std::uint16_t*>(memory_.data()); }

    Index at(Index kv_head, Index slot) const {
        return (kv_head * capacity_ + slot % capacity_) * head_dim_;
    }

    Index capacity_ = 0, kv_heads_ = 0, head_dim_ = 0;
    Memory memory_;  // f16 [Hkv, capacity, D]
};

}  // namespace kvlab
