#include <kvlab/serving/accepted.hpp>

namespace kvlab {

// ANCHOR: accept
Index accept(const View<const float>& logits,
             std::span<const Token> guesses,
             TokenChooser& chooser,
             std::vector<Token>& tokens,
             const Keep& keep) {
    // SOLUTION-BEGIN 7.6
    const bool rows = logits.rank() == 2;  // a view of nothing has rank 0
    for (Index i = 0;; ++i) {
        const std::span<const float> row = rows ? logits[i].flat() : std::span<const float>();
        const Token token = rows ? chooser.choose(row, tokens) : 0;
        tokens.push_back(token);
        const bool right = i < std::ssize(guesses) && token == at(guesses, i);
        if (!keep(token, row) || !right) return i + (right ? 1 : 0);
    }
    // SOLUTION-END 7.6
}

// ANCHOR_END: accept

}  // namespace kvlab
