// share_out.hpp - chapter 7: how the budget of a step is divided. Numbers only.
#pragma once

#include <span>
#include <vector>

#include <kvlab/tensor/sizes.hpp>

namespace kvlab {

// `unseen` says of each text, in the order of precedence, how many of its tokens its cache has
// not seen: 1 of a text that is being written, more of a prompt. Fills `shares` with how many
// each of them feeds in this step, `budget` in all:
//   - First every text that is being written gets its token: somebody is reading it.
//   - What is left goes to the prompts, in order, as much as each can take.
// Admission lets nobody in for whom nothing would be left, so whoever is in is fed in every
// step. With `chunked` false a prompt is fed whole, or not in this step; the first one is fed
// even if it is too long, for otherwise it could wait for ever.
void share_out(std::span<const Index> unseen,
               Index budget,
               bool chunked,
               std::vector<Index>& shares);

}  // namespace kvlab
