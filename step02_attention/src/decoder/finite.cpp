#include <kvlab/attention/finite.hpp>

#include <kvlab/tensor/error.hpp>
#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

void FirstNonFinite::on(Op op,
                        Index layer,
                        const View<const float>& rows,
                        std::span<const Index> positions) {
    if (!where_.empty()) return;
    for (Index r = 0; r < rows.dim(0); ++r)
        for (Index i = 0; i < rows.dim(1); ++i) {
            if (is_finite(rows(r, i))) continue;
            const bool per_token = usize(rows.dim(0)) == positions.size();
            where_ = concat(
                layer < 0 ? std::string() : concat("layer ", layer, ", "), op_name(op),
                per_token ? concat(", position ", at(positions, r)) : concat(", row ", r),
                ", element ", i, ": ", rows(r, i));
            return;
        }
}

}  // namespace kvlab
