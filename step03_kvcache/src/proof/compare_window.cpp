#include <kvlab/kvcache/compare_window.hpp>

#include <algorithm>

namespace kvlab {

std::vector<NextToken> read_window(Decoder& decoder,
                                   KvStore& store,
                                   std::span<const Token> input) {
    const View<const float> rows = decoder.forward(store, input, LogitsOf::all);
    std::vector<NextToken> read;
    for (Index i = 0; i < rows.dim(0); ++i) read.emplace_back(rows[i].flat());
    return read;
}

void compare_window(Decoder& decoder,
                    KvStore& store,
                    std::span<const Token> input,
                    std::span<const Token> targets,
                    std::span<const NextToken> expected,
                    Index piece,
                    const AddRow& add) {
    check(input.size() == targets.size() && input.size() == expected.size() && piece >= 0,
          "compare window: ", input.size(), " tokens, ", targets.size(), " targets, ",
          expected.size(), " rows, pieces of ", piece);
    const std::size_t step = piece == 0 ? input.size() : usize(piece);
    for (std::size_t begin = 0; begin < input.size(); begin += step) {
        const std::size_t count = std::min(step, input.size() - begin);
        const View<const float> rows =
            decoder.forward(store, input.subspan(begin, count), LogitsOf::all);
        for (std::size_t i = 0; i < count; ++i)
            add(expected[begin + i], NextToken(rows[static_cast<Index>(i)].flat()),
                targets[begin + i]);
    }
}

}  // namespace kvlab
