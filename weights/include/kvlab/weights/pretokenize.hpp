// pretokenize.hpp - cuts a text into words before byte pairs are merged: no token
// crosses a cut.
#pragma once

#include <string>
#include <vector>

#include <kvlab/weights/unicode.hpp>

namespace kvlab {

// The regular expressions that these names stand for in llama.cpp, written out as code:
//   gpt2:   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//   smollm: first \p{N} cuts out every digit alone, then gpt2 runs on each part by itself
enum class PreTokenizer { gpt2, smollm };

// "gpt-2", "gpt2" and "" give gpt2, "smollm" gives smollm. Throws Error that names the known
// ones for any other; `source` begins the message.
PreTokenizer pre_tokenizer_by_name(const std::string& name, const std::string& source);

// Where each word ends, as indices into `codes`: ascending, the last one is codes.size(). Empty
// for an empty text.
std::vector<Index> split_words(const std::vector<char32_t>& codes, PreTokenizer kind);

}  // namespace kvlab
