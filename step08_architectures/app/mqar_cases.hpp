// mqar_cases.hpp - chapter 8: cases of multi-query associative recall (MQAR; Arora et al. 2023,
// "Zoology"), made from numbers as weights/mqar.py makes them for the training: a case is the
// same tokens here and there.
//
//   s[0 .. 2P-1]    P pairs: key value key value ...
//   s[2P .. L-1]    places of two bytes: P of them hold a key again and its value behind it,
//                   all others filler. Early places are likelier
//
// Keys, values and filler are bytes of three kinds, so a model sees which is which.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <kvlab/tensor/checksum.hpp>
#include <kvlab/weights/tokenizer.hpp>

namespace kvlab::app {

// What all cases of one kind have in common.
struct MqarCell {
    Index length, pairs;   // L and P
    bool trained = false;  // models were trained on cases of this kind

    bool operator==(const MqarCell&) const = default;
};

struct MqarCase {
    std::vector<Token> tokens;   // [L + 1]: BOS, which is 0, then s
    std::vector<Index> answers;  // [P], rising: s[j] is an answer, and tokens[j + 1]
};

// The nine of the training and of its test.
const std::vector<MqarCell>& mqar_cells();

// "256/16". Throws Error unless the length is even, with 4 bytes and more for each of at most
// 96 pairs.
MqarCell read_mqar_cell(const std::string& text);

MqarCase make_mqar_case(std::uint64_t seed, const MqarCell& cell, Index number);

// Its tokens, then the places of its answers.
void add_mqar_case(Checksum& sum, const MqarCase& mqar);

}  // namespace kvlab::app
