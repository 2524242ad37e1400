#include "travel.hpp"

#include <algorithm>
#include <numeric>

namespace kvlab {

float* Scratch::floats(Index count) {
    if (buffer_ == nullptr || buffer_->size() < count)
        buffer_ = engine_.allocate(std::max(count, Index{1}));
    return buffer_->data();
}

namespace {

void unpack_columns(const float* from, Range columns, const View<float>& to) {
    for (Index r = 0; r < to.dim(0) && columns.count > 0; ++r)
        std::copy_n(from + r * columns.count, columns.count, &to(r, columns.first));
}

Range common_range(const Range& a, const Range& b) {
    const Index first = std::max(a.first, b.first);
    return {first, std::max(std::min(a.end(), b.end()) - first, Index{0})};
}

}  // namespace

std::span<float> Travel::pack(const View<const float>& x, Range columns) {
    const Index R = x.dim(0);
    float* const to = packed_.floats(R * columns.count);
    for (Index r = 0; r < R && columns.count > 0; ++r)
        std::copy_n(&x(r, columns.first), columns.count, to + r * columns.count);
    return {to, usize(R * columns.count)};
}

std::span<const float> Travel::gather(std::span<const float> mine,
                                      std::span<const Index> counts) {
    const Index total = std::accumulate(counts.begin(), counts.end(), Index{0});
    const std::span<float> all = span_of(all_.floats(total), total);
    ranks_.all_gather(mine, counts, all);
    return all;
}

// ANCHOR: gather_columns
void Travel::gather_columns(const std::vector<Range>& columns,
                            const View<const float>& mine,
                            const View<float>& whole) {
    const Index R = mine.dim(0);
    counts_.clear();
    for (const Range& range : columns) counts_.push_back(R * range.count);
    const float* part = gather(pack(mine, at(columns, ranks_.rank())), counts_).data();
    for (const Range& range : columns) {
        unpack_columns(part, range, whole);
        part += R * range.count;
    }
}

// ANCHOR_END: gather_columns

View<const float> Travel::gathered(const std::vector<Range>& columns,
                                   const View<const float>& mine) {
    const View<float> whole = whole_.rows(mine.dim(0), mine.dim(1));
    gather_columns(columns, mine, whole);
    return whole;
}

void Travel::lend(
    Index from, Index to, Range columns, const View<const float>& x, const View<float>& whole) {
    if (ranks_.rank() == from) ranks_.send(to, std::as_bytes(pack(x, columns)));
    if (ranks_.rank() != to) return;
    const Index count = x.dim(0) * columns.count;
    float* const arrived = packed_.floats(count);
    ranks_.receive(from, std::as_writable_bytes(span_of(arrived, count)));
    unpack_columns(arrived, columns, whole);
}

View<const float> Travel::lent(const std::vector<Range>& has,
                               const std::vector<Range>& needs,
                               const View<const float>& x) {
    if (has == needs) return x;
    const View<float> whole = whole_.rows(x.dim(0), x.dim(1));
    const Range own = at(has, ranks_.rank());
    const std::span<const float> kept = pack(x, own);
    unpack_columns(kept.data(), own, whole);
    // All ranks go through the same pairs in the same order, so somebody can always go on.
    for (Index to = 0; to < ranks_.size(); ++to)
        for (Index from = 0; from < ranks_.size(); ++from) {
            const Range columns = common_range(at(has, from), at(needs, to));
            if (from != to && columns.count > 0) lend(from, to, columns, x, whole);
        }
    return whole;
}

}  // namespace kvlab
