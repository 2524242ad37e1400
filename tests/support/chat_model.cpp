// chat_model.cpp - a model that can chat, small and untrained, and what its transcript must be.
//
//   chat_model make OUT                    writes the model
//   chat_model check MODEL CHAT.json       CHAT.json is what `generate --chat --json` wrote:
//   the
//                                          tokens of its transcript spell the template's text
#include <fstream>
#include <iostream>
#include <vector>

#include <nlohmann/json.hpp>

#include <kvlab/attention/config.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/weights/chat.hpp>
#include <kvlab/weights/gguf_file.hpp>
#include <kvlab/weights/gguf_writer.hpp>

#include "small_vocabulary.hpp"

using namespace kvlab;

namespace {

void make(const std::string& path) {
    const TokenizerData words = small_bpe_data();
    Config config;
    config.name = "chat";
    config.vocab = std::ssize(words.tokens);
    config.dim = 32;
    config.layers = 1;
    config.heads = 2;
    config.kv_heads = 1;
    config.head_dim = 16;
    config.rope_dim = 16;
    config.ffn = 32;
    config.context = 256;
    const auto weights = make_synthetic(config, 5);
    GgufWriter writer;
    for (const Metadata::Entry& entry : weights->metadata().entries())
        writer.metadata().set(entry.key, entry.value);
    writer.metadata().set("tokenizer.ggml.model", words.model);
    writer.metadata().set("tokenizer.ggml.pre", words.pre);
    writer.metadata().set("tokenizer.ggml.tokens", MetaArray(words.tokens));
    std::vector<std::int32_t> types;
    for (const TokenType type : words.types) types.push_back(static_cast<std::int32_t>(type));
    writer.metadata().set("tokenizer.ggml.token_type", MetaArray(types));
    writer.metadata().set("tokenizer.ggml.merges", MetaArray(words.merges));
    writer.metadata().set("tokenizer.ggml.bos_token_id", static_cast<std::uint32_t>(words.bos));
    writer.metadata().set("tokenizer.ggml.eos_token_id", static_cast<std::uint32_t>(words.eos));
    writer.metadata().set("tokenizer.chat_template", words.chat_template);
    for (const TensorInfo& tensor : weights->tensors())
        writer.add(tensor.name, tensor.type, tensor.shape, tensor.bytes);
    writer.write(path);
}

// What the template makes of the conversation; the last reply has not been ended yet.
std::string expected(const Tokenizer& tokenizer, const nlohmann::json& chat) {
    std::string text =
        "<|im_start|>system\n" + chat["system"].get<std::string>() + "<|im_end|>\n";
    bool first = true;
    for (const auto& turn : chat["turns"]) {
        if (turn["finish"] == "context full" && turn["tokens"].empty()) break;
        if (!first) text += "<|im_end|>\n";
        first = false;
        text += "<|im_start|>user\n" + turn["user"].get<std::string>() + "<|im_end|>\n";
        text += "<|im_start|>assistant\n";
        std::string last;  // piece of the reply, when it is an end
        for (const Token token : turn["tokens"]) {
            last = tokenizer.is_end(token) ? tokenizer.piece(token) : "";
            if (!tokenizer.is_end(token)) text += tokenizer.piece(token);
        }
        if (&turn == &chat["turns"].back()) text += last;
    }
    return first ? "" : text;
}

int check_transcript(const std::string& model, const std::string& path) {
    const GgufFile file = GgufFile::open(model);
    const auto tokenizer = make_tokenizer(file.metadata());
    std::ifstream stream(path);
    const auto chat = nlohmann::json::parse(stream);
    const std::string found = tokenizer->decode(chat["transcript"].get<std::vector<Token>>());
    const std::string wanted = expected(*tokenizer, chat);
    if (found == wanted) return 0;
    std::cout << "expected:\n" << wanted << "\nfound:\n" << found << "\n";
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> words(argv + 1, argv + argc);
    try {
        if (words.size() == 2 && words[0] == "make") {
            make(words[1]);
            return 0;
        }
        if (words.size() == 3 && words[0] == "check")
            return check_transcript(words[1], words[2]);
    } catch (const std::exception& error) {
        std::cerr << "chat_model: " << error.what() << "\n";
        return 1;
    }
    std::cerr << "usage: chat_model make OUT | check MODEL CHAT.json\n";
    return 2;
}
