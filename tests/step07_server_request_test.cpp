// Step 7, the server: bodies of requests that are honoured. Mistakes in mind: a field that does
// not arrive, another default than the API's, two users who share pages, a user who writes the
// template's own tokens.
#include <doctest/doctest.h>

#include <algorithm>

#include "server_rig.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("step07");

TEST_CASE("server request: defaults are those of the API") {
    const ServerRules rules;
    const ApiRequest one = rules.completion(R"("prompt": "ab")");
    REQUIRE(one.prompts.size() == 1);
    CHECK(one.prompts[0].tokens == std::vector<Token>{0, 'a', 'b'});  // BOS stands before
    CHECK(one.prompts[0].text == "ab");
    CHECK(one.common.max_tokens == 16);
    CHECK(one.common.choice.sampling.temperature == 1);
    CHECK(one.common.choice.sampling.top_p == 1);
    CHECK(one.common.choice.sampling.top_k == 0);
    CHECK(one.common.choice.min_p == 0);
    CHECK(one.common.choice.repetition_penalty == 1);
    CHECK(one.common.ends == std::vector<Token>{0});
    CHECK(one.n == 1);
    CHECK(one.stops.empty());
    CHECK_FALSE(one.logprobs.has_value());
    CHECK_FALSE(one.stream);
    CHECK_FALSE(one.chat);
    CHECK_FALSE(one.echo);
}

TEST_CASE("server request: every field that is honoured arrives") {
    const ServerRules rules;
    const ApiRequest one = rules.completion(
        R"("prompt": "ab", "max_tokens": 7, "temperature": 0.5, "top_p": 0.25, "top_k": 3,
           "min_p": 0.125, "repetition_penalty": 1.5, "seed": -1, "n": 2, "stop": ["x", "yz"],
           "logprobs": 2, "stream": true, "stream_options": {"include_usage": true},
           "user": "ann", "ignore_eos": true)");
    CHECK(one.common.max_tokens == 7);
    CHECK(one.common.choice.sampling.temperature == 0.5f);
    CHECK(one.common.choice.sampling.top_p == 0.25f);
    CHECK(one.common.choice.sampling.top_k == 3);
    CHECK(one.common.choice.min_p == 0.125f);
    CHECK(one.common.choice.repetition_penalty == 1.5f);
    CHECK(one.common.choice.sampling.seed == ~std::uint64_t{0});
    CHECK(one.common.ends.empty());
    CHECK(one.n == 2);
    CHECK(one.stops == std::vector<std::string>{"x", "yz"});
    CHECK(one.logprobs == 2);
    CHECK(one.stream);
    CHECK(one.include_usage);
    CHECK(rules.completion(R"("prompt": "a", "stop": "q")").stops ==
          std::vector<std::string>{"q"});
    CHECK(rules.completion(R"("prompt": "a", "top_k": -1)").common.choice.sampling.top_k == 0);
}

TEST_CASE("server request: text i of n has the seed plus i whatever the prompt") {
    const ServerRules rules;
    const ApiRequest many =
        rules.completion(R"("prompt": ["a", "bc", "d"], "n": 2, "seed": 10)");
    REQUIRE(many.choices() == 6);
    for (Index c = 0; c < 6; ++c) {
        const Request one = many.request(c);
        CHECK(one.prompt == at(many.prompts, c / 2).tokens);
        CHECK(one.choice.sampling.seed == static_cast<std::uint64_t>(10 + c % 2));
        CHECK(one.max_tokens == 16);
    }
}

TEST_CASE("server request: who names no seed gets another one each time") {
    const ServerRules rules;
    std::vector<std::uint64_t> seeds;
    for (int i = 0; i < 8; ++i)
        seeds.push_back(rules.completion(R"("prompt": "a")").common.choice.sampling.seed);
    std::sort(seeds.begin(), seeds.end());
    CHECK(std::unique(seeds.begin(), seeds.end()) - seeds.begin() > 1);
}

TEST_CASE("server request: a prompt may be tokens or a list of either") {
    const ServerRules rules;
    const auto tokens = [&](const std::string& prompt, std::size_t i) {
        return rules.completion("\"prompt\": " + prompt).prompts.at(i).tokens;
    };
    CHECK(tokens("[5, 6, 255]", 0) == std::vector<Token>{5, 6, 255});  // as they are
    CHECK(tokens("[[5], [6, 7]]", 1) == std::vector<Token>{6, 7});
    CHECK(tokens(R"(["x", [9]])", 0) == std::vector<Token>{0, 'x'});
    CHECK(tokens(R"("")", 0) == std::vector<Token>{0});  // BOS alone
    CHECK(rules.completion(R"("prompt": [104, 105])").prompts[0].text == "hi");
}

TEST_CASE("server request: users share with themselves and nobody with all") {
    const ServerRules rules;
    const auto scope = [&](const std::string& more) {
        return rules.completion(R"("prompt": "a")" + more).common.scope;
    };
    CHECK(scope(R"(, "user": "ann")") == scope(R"(, "user": "ann")"));
    CHECK(scope(R"(, "user": "ann")") != scope(R"(, "user": "bob")"));
    CHECK(scope(R"(, "user": null)") == scope(""));
    // A name must not be mistaken for the absence of one.
    for (const char* name : {"", "everybody", "user:"})
        CHECK(scope(concat(R"(, "user": ")", name, "\"")) != scope(""));
}

TEST_CASE("server request: a chat is the template's text and its default length the rest") {
    const ServerRules rules;
    const ApiRequest one = rules.talk(kHello);
    const std::vector<ChatMessage> messages{{"user", "low"}};
    REQUIRE(one.prompts.size() == 1);
    CHECK(one.prompts[0].tokens == rules.chat.encode(messages));
    CHECK(one.chat);
    CHECK(one.common.max_tokens ==
          std::min<Index>(120, 200 - std::ssize(one.prompts[0].tokens)));
    CHECK(rules.talk(concat(kHello, R"(, "max_completion_tokens": 5)")).common.max_tokens == 5);
    CHECK(rules.talk(concat(kHello, R"(, "max_tokens": 5)")).common.max_tokens == 5);
    CHECK(refusal([&] {
              rules.talk(concat(kHello, R"(, "max_tokens": 5, "max_completion_tokens": 6)"));
          }).param == "max_completion_tokens");
    // Parts of text are one text, and the template's own words are letters in it.
    const ApiRequest parts = rules.talk(
        R"("messages": [{"role": "user", "content": [{"type": "text", "text": "l"},
           {"type": "text", "text": "ow<|im_end|>"}]}])");
    const std::vector<ChatMessage> joined{{"user", "low<|im_end|>"}};
    CHECK(parts.prompts[0].tokens == rules.chat.encode(joined));
    const Token end = rules.words->find_control("<|im_end|>");
    CHECK(std::count(parts.prompts[0].tokens.begin(), parts.prompts[0].tokens.end(), end) ==
          std::count(one.prompts[0].tokens.begin(), one.prompts[0].tokens.end(), end));
}

TEST_CASE("server request: logprobs of a chat are a flag and a number") {
    const ServerRules rules;
    CHECK_FALSE(rules.talk(concat(kHello, R"(, "logprobs": false)")).logprobs.has_value());
    CHECK(rules.talk(concat(kHello, R"(, "logprobs": true)")).logprobs == 0);
    CHECK(rules.talk(concat(kHello, R"(, "logprobs": true, "top_logprobs": 3)")).logprobs == 3);
    CHECK(refusal([&] { rules.talk(concat(kHello, R"(, "top_logprobs": 3)")); }).param ==
          "top_logprobs");
    CHECK(refusal([&] { rules.talk(concat(kHello, R"(, "logprobs": 3)")); }).param ==
          "logprobs");
    CHECK(refusal([&] {
              rules.completion(R"("prompt": "a", "echo": true, "logprobs": 0)");
          }).param == "logprobs");
}

TEST_SUITE_END();
