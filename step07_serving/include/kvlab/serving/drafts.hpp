// drafts.hpp - chapter 7: guesses of the next tokens, which the model checks in one step.
//
// A step that feeds the last token and d guesses computes d + 1 rows of logits for hardly more
// than the price of one, since decoding waits for weights. Row i says what comes after guess i;
// as long as the token that is chosen there IS the next guess, the next row is right, too:
//
//   fed      [ the  | cat  sat  on ]      three guesses
//   chosen     cat    sat  in             two were right; "in" is kept, the row after "on" not
//
// What is chosen is chosen as without guesses, by the same dice in the same order. So the text
// is the same for one seed, and not only its distribution, as with the rejection sampling of
// Leviathan et al. (2023).
#pragma once

#include <memory>
#include <span>
#include <vector>

#include <kvlab/attention/decoder.hpp>
#include <kvlab/weights/token.hpp>

namespace kvlab {

// Guesses for many texts. Whatever it keeps of a text is only there to guess faster.
class Drafter {
public:
    virtual ~Drafter() = default;

    virtual const char* name() const = 0;

    // Up to `count` guesses of what comes after `tokens`, a text's prompt and all
    // that was kept.
    virtual void guess(Index text,
                       std::span<const Token> tokens,
                       Index count,
                       std::vector<Token>& to) = 0;

    // The text has ended: what was kept of it can go.
    virtual void forget(Index text) = 0;
};

// Looks for the last place before the end where the last tokens already stood, the longest run
// of them first, `longest` down to `shortest`, and guesses what followed there (prompt look-up
// decoding, Saxena 2023).
std::unique_ptr<Drafter> make_lookup_drafter(Index longest = 3, Index shortest = 1);

// Greedy guesses of a smaller model with the same vocabulary. It keeps a cache for each text.
std::unique_ptr<Drafter> make_model_drafter(std::shared_ptr<const Model> model, Engine& engine);

// The first `layers` layers of a model, with its own embedding, last norm and output matrix.
std::shared_ptr<const Model> first_layers(const std::shared_ptr<const Model>& model,
                                          Index layers);

}  // namespace kvlab
