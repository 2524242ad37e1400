#include <kvlab/attention/finite.hpp>

#include <bit>
#include <cstdint>

#include <kvlab/tensor/error.hpp>

namespace kvlab {

namespace {

bool not_finite(float value) {
    return (std::bit_cast<std::uint32_t>(value) & 0x7f800000u) == 0x7f800000u;
}

}  // namespace

bool all_finite(std::span<const float> values) {
    std::uint32_t bad = 0;  // no early return: the loop over a row of logits stays vectorised
    for (const float value : values) bad |= static_cast<std::uint32_t>(not_finite(value));
    return bad == 0;
}

void FirstNonFinite::on(Op op,
                        Index layer,
                        View<const float> rows,
                        std::span<const Index> positions) {
    if (!where_.empty()) return;
    for (Index r = 0; r < rows.dim(0); ++r)
        for (Index i = 0; i < rows.dim(1); ++i) {
            if (!not_finite(rows(r, i))) continue;
            const bool per_token = static_cast<std::size_t>(rows.dim(0)) == positions.size();
            where_ =
                concat(layer < 0 ? std::string() : concat("layer ", layer, ", "), op_name(op),
                       per_token ? concat(", position ", positions[static_cast<std::size_t>(r)])
                                 : concat(", row ", r),
                       ", element ", i, ": ", rows(r, i));
            return;
        }
}

}  // namespace kvlab
