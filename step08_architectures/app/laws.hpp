// laws.hpp - chapter 8: what has to hold for every memory, counted in floats of logits: a text
// gives the same bits however it came.
#pragma once

#include <span>
#include <string>
#include <vector>

#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/report.hpp>

#include "models.hpp"

namespace kvlab::app {

struct LawCases {
    std::vector<Index> chunks = {7, 64};    // tokens of a step
    std::vector<Index> backs = {1, 100};    // tokens that are taken back
    std::vector<Index> forks = {64};        // length of the text that is forked
    bool batch = false;                     // beside another text in one batch
    std::vector<EngineFlags> engines = {};  // other threads and SIMD levels
};

struct Law {
    std::string name;
    Difference floats;  // compared with the logits of the whole text at once
    // How often it was put to the test: steps that the text came in; for going back and forks,
    // rows of logits that another text changed meanwhile. 0: it says nothing.
    Index happened = 0;
};

struct LawsHeld {
    std::vector<Law> laws;
    Index length = 0;                          // of the text
    Index bytes_measured = 0, bytes_form = 0;  // of its memory
    std::string checksum;                      // of all logits of the whole text

    Difference all() const;
    bool all_happened() const;

    bool hold() const {
        return all().differ == 0 && all_happened() && bytes_measured == bytes_form;
    }
};

// `text` begins with BOS. `folder` is where `engines` open the model again.
LawsHeld check_laws(OpenedMixers& opened,
                    const std::string& folder,
                    std::span<const Token> text,
                    const LawCases& cases);

Json laws_json(const LawsHeld& held);

// The first `length` tokens of a file, BOS before them and counted.
std::vector<Token> text_for_laws(const OpenedMixers& opened,
                                 const std::string& file,
                                 Index length);

}  // namespace kvlab::app
