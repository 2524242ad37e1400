// accepted.hpp - chapter 7: how many guesses were right. See drafts.hpp.
#pragma once

#include <functional>

#include <kvlab/serving/token_choice.hpp>

namespace kvlab {

// Whoever takes the tokens that are kept: `logits` [V] is the row that it was chosen from,
// empty if there are none. False ends the text: then it was the last one.
using Keep = std::function<bool(Token token, std::span<const float> logits)>;

// Goes through the rows of logits [1 + d, V] that a text's last token and d guesses got. From
// each row a token is chosen and kept, at the end of `tokens` and by `keep`; and as long as it
// is the next guess, the next row is right and is used, too. So at least one token is kept and
// at most 1 + d. The last token that is kept has never been fed, since no row after it is used.
//
// A model without logits (StepModel::run) gives no rows, and every token is 0. Returns how many
// guesses were right.
Index accept(const View<const float>& logits,
             std::span<const Token> guesses,
             TokenChooser& chooser,
             std::vector<Token>& tokens,
             const Keep& keep);

}  // namespace kvlab
