// Step 7, the server: bodies of requests that are refused. Mistakes in mind: a field that is
// skipped although it changes the result, a wrong type taken for a default, a number that wraps
// around, a body that ends the program.
#include <doctest/doctest.h>

#include <algorithm>

#include <kvlab/tensor/random.hpp>

#include "server_rig.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

ApiRefusal refused_field(const ServerRules& rules,
                         const std::string& name,
                         const std::string& value) {
    return refusal(
        [&] { rules.completion(concat(R"("prompt": "a", ")", name, "\": ", value)); });
}

ApiRefusal refused_messages(const ServerRules& rules, const std::string& messages) {
    return refusal([&] { rules.talk("\"messages\": " + messages); });
}

}  // namespace

TEST_SUITE_BEGIN("step07");

TEST_CASE("server request: a field that is not known is refused by its name") {
    const ServerRules rules;
    const auto refused = [&](const std::string& field) {
        return refusal([&] { rules.completion("\"prompt\": \"a\", " + field); });
    };
    CHECK(refused(R"("best_off": 2)").param == "best_off");
    CHECK(refused(R"("best_off": 2)").status == 400);
    CHECK(refused(R"("best_off": null)").code == "unknown_field");
    CHECK(refused(R"("stream": true, "stream_options": {"usage": true})").param ==
          "stream_options.usage");
    CHECK(refusal([&] {
              rules.talk(R"("messages": [{"role": "user", "content": "a", "name": "x"}])");
          }).param == "messages[0].name");
    // Of the other endpoint.
    CHECK(refused(R"("messages": [])").param == "messages");
    CHECK(refused(R"("max_completion_tokens": 3)").param == "max_completion_tokens");
    CHECK(refusal([&] { rules.talk(concat(kHello, R"(, "echo": true)")); }).param == "echo");
}

TEST_CASE("server request: what would change nothing is accepted and the rest of it refused") {
    const ServerRules rules;
    const std::vector<std::pair<std::string, std::string>> fields{
        {"presence_penalty", "0.5"},
        {"frequency_penalty", "-1"},
        {"logit_bias", R"({"5": 1})"},
        {"tools", R"([{"type": "function"}])"},
        {"response_format", R"({"type": "json_object"})"},
        {"best_of", "2"},
        {"suffix", R"("x")"},
        {"modalities", R"(["audio"])"}};
    for (const auto& field : fields) {
        const std::string &name = field.first, &value = field.second;
        const ApiRefusal r = refused_field(rules, name, value);
        CAPTURE(name);
        CHECK(r.status == 400);
        CHECK(r.code == "unsupported_value");
        CHECK(r.param == name);
    }
    CHECK_NOTHROW(rules.completion(
        R"("prompt": "a", "presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {},
           "tools": [], "tool_choice": "none", "response_format": {"type": "text"}, "best_of": 1,
           "suffix": "", "store": false, "metadata": {"x": "y"}, "service_tier": "auto")"));
    CHECK_NOTHROW(rules.completion(R"("prompt": "a", "logit_bias": null, "tools": null)"));
    CHECK(refusal([&] { rules.completion(R"("prompt": "a", "n": 2, "best_of": 1)"); }).param ==
          "best_of");
}

TEST_CASE("server request: wrong types and values are refused with their field") {
    const ServerRules rules;
    const std::vector<std::pair<std::string, std::string>> fields{
        {"max_tokens", "0"},
        {"max_tokens", "-1"},
        {"max_tokens", "1.5"},
        {"max_tokens", "\"7\""},
        {"max_tokens", "121"},
        {"max_tokens", "18446744073709551615"},
        {"max_tokens", "true"},
        {"temperature", "-0.1"},
        {"temperature", "2.1"},
        {"temperature", "1e-60"},
        {"temperature", "\"hot\""},
        {"top_p", "0"},
        {"top_p", "1.1"},
        {"top_p", "1e-60"},
        {"top_k", "-2"},
        {"min_p", "1.5"},
        {"min_p", "-1"},
        {"repetition_penalty", "0"},
        {"repetition_penalty", "1e-60"},
        {"repetition_penalty", "1e300"},
        {"seed", "0.5"},
        {"seed", "18446744073709551615"},
        {"n", "0"},
        {"n", "9"},
        {"n", "1.0"},
        {"stream", "1"},
        {"stream", "\"yes\""},
        {"stop", "7"},
        {"stop", "\"\""},
        {"stop", R"(["a", ""])"},
        {"stop", R"(["a", "b", "c", "d", "e"])"},
        {"stop", "[[]]"},
        {"logprobs", "21"},
        {"logprobs", "true"},
        {"user", "5"},
        {"echo", "0"},
        {"stream_options", R"({"include_usage": true})"}};
    for (const auto& field : fields) {
        const std::string &name = field.first, &value = field.second;
        const ApiRefusal r = refused_field(rules, name, value);
        CAPTURE(name);
        CAPTURE(value);
        CHECK(r.status == 400);
        CHECK(r.param == name);
    }
}

TEST_CASE("server request: prompts that are none are refused") {
    const ServerRules rules;
    for (const char* prompt :
         {"null", "5", "[]", "[[]]", "{}", "[256]", "[-1]", "[1.5]", R"([1, "a"])",
          R"(["a", 1])", "[4294967296]", R"(["1", "2", "3", "4", "5", "6", "7", "8", "9"])"}) {
        CAPTURE(prompt);
        const ApiRefusal r = refusal([&] { rules.completion(concat("\"prompt\": ", prompt)); });
        CHECK(r.status == 400);
        CHECK(r.param.starts_with("prompt"));
    }
    // Three prompts and three texts each are nine.
    CHECK(refusal([&] { rules.completion(R"("prompt": ["a", "b", "c"], "n": 3)"); }).param ==
          "n");
    // Bytes without a token: the model would read another text.
    const ApiRefusal lost = refusal([&] {
        parse_completion(R"({"model": "m", "prompt": "a\u0004"})", rules.of(*rules.words));
    });
    CHECK(lost.param == "prompt");
    CHECK(refusal([&] {
              parse_completion(R"({"model": "m", "prompt": ""})", rules.of(*rules.words));
          }).param == "prompt");
}

TEST_CASE("server request: a body that is no JSON object is refused in one line") {
    const ServerRules rules;
    for (const std::string& body :
         {std::string(), std::string("{"), std::string("[1]"), std::string("7"),
          std::string("{\"model\": \"m\"} x"), std::string("{\"model\": NaN}"),
          std::string("{\"prompt\": \"\xff\"}"), std::string("{\"prompt\": \"\\ud800\"}"),
          std::string(100000, '['), std::string("{\"n\": 1e999}"), std::string("\0{}", 3)}) {
        const ApiRefusal r = refusal([&] { parse_completion(body, rules.of(*rules.bytes)); });
        CAPTURE(body.substr(0, 30));
        CHECK(r.status == 400);
        CHECK(r.message.find('\n') == std::string::npos);
        CHECK(r.message.size() < 400);
    }
}

TEST_CASE("server request: another model is not found") {
    const ServerRules rules;
    const auto with = [&](const char* model) {
        return refusal([&] {
            parse_completion(concat(R"({"prompt": "a", "model": )", model, "}"),
                             rules.of(*rules.bytes));
        });
    };
    CHECK(with(R"("gpt-4")").status == 404);
    CHECK(with(R"("gpt-4")").code == "model_not_found");
    CHECK(with("null").status == 400);
    CHECK(with("7").status == 400);
}

TEST_CASE("server request: prompt and tokens have to fit the context") {
    const ServerRules rules;
    const auto with = [&](int letters, const std::string& more) {
        return concat(R"("prompt": ")", std::string(usize(letters), 'a'), "\"", more);
    };
    // 200 in all; BOS is one of them.
    CHECK_NOTHROW(rules.completion(with(99, R"(, "max_tokens": 100)")));
    CHECK(refusal([&] { rules.completion(with(100, R"(, "max_tokens": 100)")); }).code ==
          "context_length_exceeded");
    CHECK(refusal([&] { rules.completion(with(300, "")); }).code == "context_length_exceeded");
    // What nobody has asked for is what there is room for.
    const auto default_of = [&](int letters) {
        return rules.completion(with(letters, "")).common.max_tokens;
    };
    CHECK(default_of(183) == 16);
    CHECK(default_of(184) == 15);
    CHECK(default_of(198) == 1);
    CHECK(refusal([&] { rules.completion(with(199, "")); }).code == "context_length_exceeded");
    // Of several prompts the longest counts.
    CHECK(refusal([&] {
              rules.completion(concat(R"("max_tokens": 100, "prompt": ["a", ")",
                                      std::string(100, 'a'), "\"]"));
          }).code == "context_length_exceeded");
}

TEST_CASE("server request: messages that are none are refused with their place") {
    const ServerRules rules;
    const std::vector<std::pair<std::string, std::string>> wrong{
        {"null", "messages"},
        {"[]", "messages"},
        {"\"hi\"", "messages"},
        {"[7]", "messages[0]"},
        {R"([{"role": "user"}])", "messages[0].content"},
        {R"([{"role": "tool", "content": "x"}])", "messages[0].role"},
        {R"([{"content": "x"}])", "messages[0].role"},
        {R"([{"role": "user", "content": 7}])", "messages[0].content"},
        {R"([{"role": "user", "content": "x"}, {"role": "user", "content": [{"type": "image_url"}]}])",
         "messages[1].content[0].type"}};
    for (const auto& one : wrong) {
        const std::string &messages = one.first, &param = one.second;
        CAPTURE(messages);
        CHECK(refused_messages(rules, messages).param == param);
    }
    const ApiRefusal none = refusal(
        [&] { parse_chat(concat(R"({"model": "m", )", kHello, "}"), rules.of(*rules.bytes)); });
    CHECK(none.code == "no_chat_template");
}

TEST_CASE("server request: damaged bodies are read or refused and nothing else") {
    const ServerRules rules;
    const std::string completion =
        R"({"model": "m", "prompt": ["ab", [1, 2]], "max_tokens": 7, "temperature": 0.5, "top_p":
           0.25, "top_k": 3, "seed": 5, "n": 2, "stop": ["x", "yz"], "stream": true,
           "stream_options": {"include_usage": true}, "user": "ann", "logit_bias": {}})";
    const std::string chat =
        concat(R"({"model": "m", "logprobs": true, "max_tokens": 3, )", kHello, "}");
    Rng rng(3);
    const std::string letters = "{}[]\",:0123456789eE.-+ntu\\\xff\xc3";
    Index read = 0, refused = 0;
    for (int round = 0; round < 6000; ++round) {
        std::string body = round % 2 == 0 ? completion : chat;
        for (Index n = 1 + rng.below(3); n > 0; --n) {
            const auto place = usize(rng.below(std::ssize(body)));
            if (rng.below(2) == 0)
                body[place] = letters[usize(rng.below(std::ssize(letters)))];
            else
                body.erase(place, usize(1 + rng.below(8)));
        }
        try {
            const ApiRequest one = round % 2 == 0
                                       ? parse_completion(body, rules.of(*rules.bytes))
                                       : parse_chat(body, rules.of(*rules.words));
            ++read;
            for (Index c = 0; c < one.choices(); ++c) {
                const Request request = one.request(c);
                REQUIRE(!request.prompt.empty());
                REQUIRE(request.max_tokens >= 1);
                REQUIRE(std::ssize(request.prompt) + request.max_tokens <= 200);
                CHECK_NOTHROW(TokenChooser{request.choice});
            }
        } catch (const ApiError& error) {
            ++refused;
            REQUIRE(error.status() >= 400);
            REQUIRE(std::string(error.what()).find('\n') == std::string::npos);
        }
    }
    CHECK(read > 100);
    CHECK(refused > 1000);
}

TEST_SUITE_END();
