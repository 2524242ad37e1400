#include <kvlab/serving/ranks.hpp>

#include <algorithm>

namespace kvlab {

void Ranks::all_gather(std::span<const float> mine,
                       std::span<const Index> counts,
                       std::span<float> all) {
    check(std::ssize(counts) == size(), "all_gather: ", counts.size(), " counts for ", size(),
          " ranks");
    byte_counts_.clear();
    Index total = 0;
    for (const Index count : counts) {
        check(count >= 0, "all_gather: a rank with ", count, " numbers");
        total = checked_sum("all_gather", {total, count});
        byte_counts_.push_back(checked_product("all_gather", {count, Index{sizeof(float)}}));
    }
    check(std::ssize(mine) == at(counts, rank()), "all_gather: rank ", rank(), " has ",
          mine.size(), " numbers, the counts say ", at(counts, rank()));
    check(std::ssize(all) == total, "all_gather: space for ", all.size(),
          " numbers, there are ", total);
    gather_bytes(std::as_bytes(mine), byte_counts_, std::as_writable_bytes(all));
    bytes_sent_ += at(byte_counts_, rank()) * (size() - 1);
}

std::vector<Index> Ranks::gather_numbers(Index mine) {
    std::vector<Index> all(usize(size()));
    byte_counts_.assign(usize(size()), Index{sizeof(Index)});
    gather_bytes(std::as_bytes(std::span(&mine, 1)), byte_counts_,
                 std::as_writable_bytes(std::span(all)));
    return all;
}

void Ranks::check_other(const char* call, Index other) const {
    check(other >= 0 && other < size() && other != rank(), call, ": rank ", rank(), " of ",
          size(), " has no other rank ", other);
}

void Ranks::send(Index to, std::span<const std::byte> bytes) {
    check_other("send", to);
    send_bytes(to, bytes);
    bytes_sent_ += std::ssize(bytes);
}

void Ranks::receive(Index from, std::span<std::byte> bytes) {
    check_other("receive", from);
    receive_bytes(from, bytes);
}

}  // namespace kvlab
