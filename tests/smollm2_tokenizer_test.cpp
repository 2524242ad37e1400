// The real vocabulary against llama.cpp: tests/reference/llama_tokenizer.py wrote what it says.
// Without the model these cases are skipped, aloud.
#include <doctest/doctest.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include <kvlab/tensor/checksum.hpp>
#include <kvlab/weights/bpe_tokenizer.hpp>
#include <kvlab/weights/chat.hpp>
#include <kvlab/weights/gguf_file.hpp>
#include <kvlab/weights/unicode.hpp>
#include "skip.hpp"
#include "smollm2.hpp"

using namespace kvlab;
using namespace kvlab::test;
using nlohmann::json;

namespace {

// nullptr, and the case counted as skipped, if the model is not there.
const Tokenizer* smollm2() {
    static const std::unique_ptr<const Tokenizer> tokenizer = [] {
        const std::string path = smollm2_path();
        return path.empty() ? nullptr : make_tokenizer(GgufFile::open(path).metadata());
    }();
    if (tokenizer == nullptr) skip(kNoSmollm2);
    return tokenizer.get();
}

std::ifstream open_reference(const char* name) {
    std::ifstream in(std::string(KVLAB_TEST_DATA "/reference/") + name, std::ios::binary);
    REQUIRE_MESSAGE(in.good(), name);
    return in;
}

std::vector<json> lines_of(const char* name) {
    std::ifstream in = open_reference(name);
    std::vector<json> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(json::parse(line));
    return lines;
}

std::string from_hex(const std::string& hex) {
    std::string bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
        bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    return bytes;
}

std::string fnv1a(const std::vector<Token>& tokens) {
    std::uint64_t value = 0xcbf29ce484222325;
    for (const Token token : tokens)
        value = (value ^ static_cast<std::uint32_t>(token)) * 1099511628211u;
    return hex64(value);
}

}  // namespace

TEST_SUITE_BEGIN("smollm2");

TEST_CASE("tokenizer: SmolLM2 gives the tokens of llama.cpp for every text") {
    const Tokenizer* tokenizer = smollm2();
    if (tokenizer == nullptr) return;
    const std::vector<json> cases = lines_of("tokenizer_cases.jsonl");
    CHECK(cases.size() >= 250);
    for (const json& one : cases) {
        const std::string text = from_hex(one["hex"]);
        EncodeReport report;
        const std::vector<Token> tokens =
            tokenizer->encode(text, {.parse_special = one["special"]}, &report);
        INFO(one["name"].get<std::string>());
        CHECK(tokens == one["tokens"].get<std::vector<Token>>());
        CHECK((tokenizer->decode(tokens) == text) == report.lossless());
    }
    MESSAGE(cases.size() << " texts compared");
}

TEST_CASE("tokenizer: SmolLM2 classifies every code point as llama.cpp does") {
    const Tokenizer* tokenizer = smollm2();
    if (tokenizer == nullptr) return;
    const json sweep = json::parse(open_reference("tokenizer_sweep.json"));
    const char32_t block = sweep["block"].get<std::uint32_t>();
    char32_t code = 0;
    for (const json& expected : sweep["checksums"]) {
        std::string text;
        for (const char32_t end = code + block; code < end; ++code) {
            text += "  ";
            append_utf8(text, code);
            text += "'s";
        }
        INFO("code points before " << static_cast<std::uint32_t>(code));
        CHECK(fnv1a(tokenizer->encode(text)) == expected.get<std::string>());
    }
    CHECK(code == 0x110000);
}

TEST_CASE("tokenizer: SmolLM2 chat equals its template") {
    const Tokenizer* tokenizer = smollm2();
    if (tokenizer == nullptr) return;
    const ChatFormat chat(*tokenizer);
    CHECK(chat.default_system() ==
          "You are a helpful AI assistant named SmolLM, trained by Hugging Face");
    const std::vector<json> cases = lines_of("chat_cases.jsonl");
    CHECK(cases.size() >= 20);
    for (const json& one : cases) {
        std::vector<ChatMessage> messages;
        for (const json& m : one["messages"]) messages.push_back({m["role"], m["content"]});
        const std::vector<Token> tokens = chat.encode(messages, one["generation_prompt"]);
        INFO(one["rendered"].get<std::string>());
        CHECK(tokens == one["tokens"].get<std::vector<Token>>());
        CHECK(tokenizer->decode(tokens) == one["rendered"].get<std::string>());
    }
}

TEST_CASE("tokenizer: SmolLM2 cannot write 21 bytes and is lossless on the rest") {
    const Tokenizer* tokenizer = smollm2();
    if (tokenizer == nullptr) return;
    CHECK(tokenizer->vocab_size() == 49152);
    CHECK(tokenizer->unwritable_bytes() == 21);
    CHECK(tokenizer->bos() == 1);
    CHECK(tokenizer->eos() == 2);
    CHECK_FALSE(tokenizer->wants_bos());
    EncodeReport report;
    tokenizer->encode("\x04\x06\x13\x14\x16\x1d", {}, &report);
    CHECK(report.dropped_bytes == 6);
    std::mt19937 random(5);
    for (int i = 0; i < 300; ++i) {
        std::string text;
        for (int n = 0; n < 40; ++n) {
            const char32_t code =
                random() % 4 == 0 ? random() % 0x20000 : 0x20 + random() % 0x5f;
            append_utf8(text, code);
        }
        report = {};
        const std::string back = tokenizer->decode(tokenizer->encode(text, {}, &report));
        CHECK(static_cast<Index>(text.size() - back.size()) == report.dropped_bytes);
        CHECK((back == text) == report.lossless());
    }
}

TEST_CASE("tokenizer: SmolLM2 on a long run of one letter") {
    const Tokenizer* tokenizer = smollm2();
    if (tokenizer == nullptr) return;
    for (const char* unit : {"a", " ", "ab"}) {
        std::string text;
        while (text.size() < 1000000) text += unit;
        CHECK(tokenizer->decode(tokenizer->encode(text)) == text);
    }
}

TEST_SUITE_END();
