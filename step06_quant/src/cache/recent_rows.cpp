#include <kvlab/quant/recent_rows.hpp>

#include <algorithm>

#include <kvlab/tensor/half.hpp>

namespace kvlab {

RecentRows::RecentRows(Index capacity, Index kv_heads, Index head_dim)
    : capacity_(capacity),
      kv_heads_(kv_heads),
      head_dim_(head_dim),
      memory_(checked_product("recent rows", {kv_heads, capacity, head_dim, 2}),
              Memory::Fill::zeros) {}

RecentRows RecentRows::clone() const {
    RecentRows copy(capacity_, kv_heads_, head_dim_);
    std::copy_n(memory_.data(), allocated_bytes(), copy.memory_.data());
    return copy;
}

void RecentRows::resize(Index capacity, Index begin, Index end) {
    RecentRows other(capacity, kv_heads_, head_dim_);
    for (Index h = 0; h < kv_heads_; ++h)
        for (Index slot = begin; slot < end; ++slot)
            std::copy_n(halves() + at(h, slot), head_dim_, other.halves() + other.at(h, slot));
    *this = std::move(other);
}

void RecentRows::write(Index kv_head, Index slot, std::span<float> row) {
    std::uint16_t* const to = halves() + at(kv_head, slot);
    for (std::size_t i = 0; i < row.size(); ++i) {
        to[i] = f32_to_f16(row[i]);
        check((to[i] & 0x7c00u) != 0x7c00u, "kivi cache: ", row[i], " does not fit into f16");
        row[i] = f16_to_f32(to[i]);
    }
}

void RecentRows::read(Index kv_head, Index slot, float* row, Index stride) const {
    const std::uint16_t* const from = halves() + at(kv_head, slot);
    for (Index i = 0; i < head_dim_; ++i) row[i * stride] = f16_to_f32(from[i]);
}

}  // namespace kvlab
