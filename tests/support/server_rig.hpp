// server_rig.hpp - what the tests of chapter 7's server share: rules of two vocabularies to
// read bodies with, and a loop around a model that can be told in advance.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include <kvlab/serving/server_loop.hpp>

#include "small_vocabulary.hpp"

namespace kvlab::test {

// Both vocabularies: bytes with a first token, and one with a chat template.
struct ServerRules {
    std::unique_ptr<const Tokenizer> bytes = make_tokenizer(byte_data());
    std::unique_ptr<const Tokenizer> words = make_tokenizer(small_bpe_data());
    ChatFormat chat{*words};

    ApiRules of(const Tokenizer& tokenizer) const {
        return {.model = "m",
                .tokenizer = &tokenizer,
                .chat = &tokenizer == words.get() ? &chat : nullptr,
                .context = 200,
                .most_tokens = 120,
                .most_choices = 8,
                .ends = end_tokens(tokenizer)};
    }

    ApiRequest completion(const std::string& fields) const {
        return parse_completion(R"({"model": "m", )" + fields + "}", of(*bytes));
    }

    ApiRequest talk(const std::string& fields) const {
        return parse_chat(R"({"model": "m", )" + fields + "}", of(*words));
    }
};

struct ApiRefusal {
    int status = 0;
    std::string code, param, message;
};

template <class Parse>
ApiRefusal refusal(Parse parse) {
    try {
        parse();
    } catch (const ApiError& error) {
        return {error.status(), error.code(), error.param(), error.what()};
    }
    return {};
}

inline constexpr const char* kHello = R"("messages": [{"role": "user", "content": "low"}])";

// A model of letters: after 'a' comes 'b', after 'y' 'z', and after 'z' 'a'. After '9' comes
// the token that ends a text, '!' cannot be computed, and for '?' there is no memory. So a test
// knows what a loop must write.
class AlphabetModel final : public StepModel {
public:
    std::atomic<int> pace{0};       // milliseconds of a step
    std::atomic<bool> held{false};  // while it is, no step ends

    std::unique_ptr<PagedCache> make_cache(PagePool& pool) override {
        return std::make_unique<PagedCache>(pool, context());
    }

    Index context() const override { return 512; }

    View<const float> run(std::span<const StepPart> parts) override {
        std::this_thread::sleep_for(std::chrono::milliseconds(pace));
        while (held) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        rows_.clear();
        for (const StepPart& part : parts)
            for (const Token token : part.tokens) {
                if (token == '?') throw std::bad_alloc();
                check(token != '!', "the logits are not finite");
            }
        for (const StepPart& part : parts) {
            part.cache->pretend(std::ssize(part.tokens));
            for (const Token token : part.tokens.last(usize(part.wanted))) add_row(token);
        }
        return {rows_.data(), {std::ssize(rows_) / 256, 256}};
    }

    double now() const override { return 0; }

    void wait_until(double) override {}

private:
    void add_row(Token token) {
        rows_.resize(rows_.size() + 256, 0.0f);
        const Token next = token == 'z' ? 'a' : token == '9' ? 0 : token + 1;
        rows_[rows_.size() - 256 + usize(next)] = 20.0f;
    }

    std::vector<float> rows_;
};

inline KvShape letters_shape() {
    return {.layers = 1, .heads = 1, .kv_heads = 1, .head_dim = 4};
}

struct LoopRig {
    std::unique_ptr<const Tokenizer> bytes = make_tokenizer(byte_data());
    AlphabetModel model;
    PagePool pool;
    std::unique_ptr<PrefixIndex> prefixes;
    std::unique_ptr<ServingLoop> loop;

    explicit LoopRig(LoopOptions options = {}, Index pages = 64)
        : pool(letters_shape(), {.pages = pages}), prefixes(make_chain_index(pool)) {
        loop = std::make_unique<ServingLoop>(model, pool, *bytes, options, prefixes.get());
    }

    ApiRequest request(const std::string& prompt, Index max_tokens) const {
        ApiRequest one;
        one.prompts = {{bytes->encode(prompt), prompt}};
        one.common.max_tokens = max_tokens;
        one.common.ends = {0};
        return one;
    }
};

}  // namespace kvlab::test
