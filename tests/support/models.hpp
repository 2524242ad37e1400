// models.hpp - the small models that the tests of several steps share.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <kvlab/attention/config.hpp>
#include <kvlab/tensor/random.hpp>
#include <kvlab/weights/token.hpp>

namespace kvlab::test {

// Whether the thread sanitizer watches, which takes its time. (Preset tsan is of g++.)
#if defined(__SANITIZE_THREAD__)
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif

// A small decoder with awkward sizes; attention variant by the number of KV heads.
inline Config small_config(Index heads = 4, Index kv_heads = 2, Index head_dim = 16) {
    Config c;
    c.name = "small";
    c.vocab = 96;
    c.heads = heads;
    c.kv_heads = kv_heads;
    c.head_dim = head_dim;
    c.rope_dim = head_dim;
    c.dim = 72;  // not a multiple of 16, and more than one block
    c.ffn = 100;
    c.layers = 2;
    c.context = 400;
    return c;
}

inline Config small_gpt2() {
    Config c;
    c.architecture = Architecture::gpt2;
    c.name = "small gpt2";
    c.vocab = 90;
    c.dim = 66;
    c.heads = c.kv_heads = 3;
    c.head_dim = 22;
    c.ffn = 130;
    c.layers = 2;
    c.context = 300;
    c.rope_dim = 0;
    c.tied_output = true;
    return c;
}

// The decoder of the course: the tiny model's shape: V = 256, C = 64, 2 layers, 4 and 2 heads.
inline Config tiny_config() {
    return {};
}

inline std::vector<Token> random_tokens(Index count, Index vocab, std::uint64_t seed) {
    Rng rng(seed);
    std::vector<Token> tokens(usize(count));
    for (Token& token : tokens) token = static_cast<Token>(rng.below(vocab));
    return tokens;
}

inline std::filesystem::path weights_file(const std::string& name) {
    return std::filesystem::path(KVLAB_SOURCE_DIR) / "weights" / name;
}

}  // namespace kvlab::test
