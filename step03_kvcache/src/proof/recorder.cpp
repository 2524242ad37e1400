#include <kvlab/kvcache/recorder.hpp>

#include <algorithm>

namespace kvlab {

void Recorder::on(Op op,
                  Index layer,
                  const View<const float>& rows,
                  std::span<const Index> positions) {
    const Index R = rows.dim(0), width = rows.dim(1);
    const auto of = positions_of(R, positions);
    OpRecord record{op, layer, {of.begin(), of.end()}, width, {}};
    record.rows.resize(usize(R * width));
    for (Index r = 0; r < R; ++r)  // the rows may lie apart
        std::copy_n(&rows(r, 0), width, record.rows.begin() + r * width);
    step_.push_back(std::move(record));
}

}  // namespace kvlab
