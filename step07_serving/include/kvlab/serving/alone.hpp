// alone.hpp - chapter 7: a request as it is served if there is no other, in chapter 3's cache.
#pragma once

#include <vector>

#include <kvlab/attention/decoder.hpp>
#include <kvlab/attention/layer_rows.hpp>
#include <kvlab/serving/request.hpp>

namespace kvlab {

struct Alone {
    std::vector<Token> tokens;  // that it writes
    std::vector<float> logits;  // [tokens, V], the rows that they are chosen from
    Outcome outcome = Outcome::running;

    std::span<const float> row(Index i) const {
        const Index V = std::ssize(logits) / std::ssize(tokens);
        return std::span(logits).subspan(usize(i * V), usize(V));
    }
};

Alone serve_alone(Decoder& decoder, const Request& request, const MakeRows& rows);

}  // namespace kvlab
