// by_hand.cpp - chapter 1: the subcommand that prints the worked examples, one of them or all.
#include "by_hand.hpp"

#include <kvlab/tensor/worked_examples.hpp>

namespace kvlab::app {

namespace {

const cli::Subcommand kByHand = cli::worked_examples(50,
                                                     {{"order", by_hand_order},
                                                      {"blocks", by_hand_blocks},
                                                      {"float", by_hand_float},
                                                      {"fma", by_hand_fma},
                                                      {"zero", by_hand_zero},
                                                      {"exp2", by_hand_exp2},
                                                      {"libm", by_hand_libm},
                                                      {"view", by_hand_view},
                                                      {"product", by_hand_product},
                                                      {"norm", by_hand_norm},
                                                      {"softmax", by_hand_softmax},
                                                      {"turn", by_hand_turn},
                                                      {"draw", by_hand_draw}});

}  // namespace

}  // namespace kvlab::app
