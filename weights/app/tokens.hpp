// tokens.hpp - `kvlab_weights tokens`: what a model's tokenizer makes of a text.
#pragma once

#include <string>

#include <kvlab/weights/metadata.hpp>

namespace kvlab {

struct ShowTokens {
    std::string text;
    bool special = false;  // read the names of control tokens as those tokens
    bool steps = false;    // also print each word's merges
};

// Prints to standard output. Throws Error as make_tokenizer() does.
void show_tokens(const Metadata& metadata, const ShowTokens& what);

}  // namespace kvlab
