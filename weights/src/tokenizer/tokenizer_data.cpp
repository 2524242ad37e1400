// From a file's metadata to TokenizerData: the one place that knows the names of the keys.
#include <limits>

#include <kvlab/weights/tokenizer.hpp>

namespace kvlab {

namespace {

Token token_or_none(const Metadata& metadata, const char* key) {
    if (!metadata.contains(key)) return kNoToken;
    const std::uint64_t value = metadata.get_u64(key);
    // Some writers say "none" with all bits set.
    if (value == std::numeric_limits<std::uint32_t>::max()) return kNoToken;
    check(value <= std::numeric_limits<Token>::max(), metadata.source(), ": ", key,
          ": expected a token, got ", value);
    return static_cast<Token>(value);
}

}  // namespace

TokenizerData read_tokenizer_data(const Metadata& metadata) {
    TokenizerData data;
    data.source = metadata.source();
    data.model = metadata.get_string("tokenizer.ggml.model");
    data.pre = metadata.get_string_or("tokenizer.ggml.pre", "");
    data.tokens = metadata.get_strings("tokenizer.ggml.tokens");
    for (const std::int32_t type : metadata.get_i32s_or("tokenizer.ggml.token_type", {}))
        data.types.push_back(static_cast<TokenType>(type));
    data.merges = metadata.get_strings_or("tokenizer.ggml.merges", {});
    data.bos = token_or_none(metadata, "tokenizer.ggml.bos_token_id");
    data.eos = token_or_none(metadata, "tokenizer.ggml.eos_token_id");
    data.eot = token_or_none(metadata, "tokenizer.ggml.eot_token_id");
    data.add_bos = metadata.get_bool_or("tokenizer.ggml.add_bos_token", false);
    data.chat_template = metadata.get_string_or("tokenizer.chat_template", "");
    return data;
}

std::vector<std::string> tokenizer_notes(const Metadata& metadata) {
    const bool merges_words = metadata.get_string_or("tokenizer.ggml.model", "") == "gpt2";
    if (!merges_words || !metadata.get_string_or("tokenizer.ggml.pre", "").empty()) return {};
    return {metadata.source() +
            ": key 'tokenizer.ggml.pre': expected the name of a pre-tokenizer, found no such "
            "key; words are split as by 'gpt-2', which may not be this model's way"};
}

}  // namespace kvlab
