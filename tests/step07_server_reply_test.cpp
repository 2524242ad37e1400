// Step 7, the server: bodies of replies. Mistakes in mind: a stream whose pieces are not the
// whole reply's text, texts of two choices mixed up, a prompt counted once per text, text that
// is no UTF-8, quotes and newlines that are not escaped.
#include <doctest/doctest.h>

#include <sstream>

#include <nlohmann/json.hpp>

#include <kvlab/serving/server_metrics.hpp>
#include <kvlab/serving/server_reply.hpp>

#include "small_vocabulary.hpp"

using namespace kvlab;

namespace {

using ReplyJson = nlohmann::json;

struct ReplyRig {
    std::unique_ptr<const Tokenizer> bytes = make_tokenizer(byte_data());
    ApiRequest request;

    explicit ReplyRig(Index prompts = 1, Index n = 1) {
        request.prompts.assign(usize(prompts), ApiPrompt{{0, 'p'}, "p"});
        request.n = n;
    }

    ReplyWriter writer() const { return {request, *bytes, {"7", "m", 1234}}; }

    // The events of a stream, [DONE] as null.
    static std::vector<ReplyJson> events(const std::string& text) {
        std::vector<ReplyJson> all;
        std::istringstream lines(text);
        for (std::string line; std::getline(lines, line);) {
            REQUIRE(line.starts_with("data: "));
            const std::string data = line.substr(6);
            all.push_back(data == "[DONE]" ? ReplyJson() : ReplyJson::parse(data));
            std::getline(lines, line);
            REQUIRE(line.empty());
        }
        return all;
    }
};

ReplyPiece piece_of(Index choice, const std::string& text) {
    return {.choice = choice, .sent = {.text = text, .logs = {}}, .end = {}};
}

ReplyPiece last_piece(Index choice, const std::string& text, TextEnd end) {
    return {.choice = choice, .sent = {.text = text, .logs = {}}, .end = std::move(end)};
}

}  // namespace

TEST_SUITE_BEGIN("step07");

TEST_CASE("server reply: a completion by hand") {
    const ReplyRig rig;
    ReplyWriter writer = rig.writer();
    CHECK(writer.add({piece_of(0, "a\"")}) == "");
    CHECK_FALSE(writer.complete());
    CHECK(writer.add({last_piece(0, "b\n", {EndReason::stop, 2, 0, 3, ""})}) == "");
    CHECK(writer.complete());
    CHECK(writer.finish() ==
          R"({"id":"cmpl-7","object":"text_completion","created":1234,"model":"m",)"
          R"("choices":[{"index":0,"text":"a\"b\n","logprobs":null,"finish_reason":"stop"}],)"
          R"("usage":{"prompt_tokens":2,"completion_tokens":3,"total_tokens":5,)"
          R"("prompt_tokens_details":{"cached_tokens":0}}})");
}

TEST_CASE("server reply: a chat and its stream by hand") {
    ReplyRig rig;
    rig.request.chat = true;
    ReplyWriter whole = rig.writer();
    whole.add({last_piece(0, "hi", {EndReason::length, 9, 4, 1, ""})});
    CHECK(
        whole.finish() ==
        R"({"id":"chatcmpl-7","object":"chat.completion","created":1234,"model":"m",)"
        R"("choices":[{"index":0,"message":{"role":"assistant","content":"hi","refusal":null},)"
        R"("logprobs":null,"finish_reason":"length"}],)"
        R"("usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10,)"
        R"("prompt_tokens_details":{"cached_tokens":4}}})");
    rig.request.stream = true;
    ReplyWriter stream = rig.writer();
    const auto first = ReplyRig::events(stream.add({piece_of(0, "h"), piece_of(0, "i")}));
    REQUIRE(first.size() == 2);
    CHECK(first[0]["object"] == "chat.completion.chunk");
    CHECK(first[0]["choices"][0]["delta"] ==
          ReplyJson({{"role", "assistant"}, {"content", "h"}}));
    CHECK(first[0]["choices"][0]["finish_reason"].is_null());
    CHECK_FALSE(first[0].contains("usage"));
    CHECK(first[1]["choices"][0]["delta"] == ReplyJson({{"content", "i"}}));
    const auto last =
        ReplyRig::events(stream.add({last_piece(0, "", {EndReason::stop, 9, 4, 2, ""})}));
    CHECK(last[0]["choices"][0]["delta"] == ReplyJson::object());
    CHECK(last[0]["choices"][0]["finish_reason"] == "stop");
    CHECK(stream.finish() == "data: [DONE]\n\n");
}

TEST_CASE("server reply: a stream's pieces are the whole reply's text for each choice") {
    for (const bool stream : {false, true}) {
        ReplyRig rig(2, 2);
        rig.request.stream = rig.request.include_usage = stream;
        rig.request.echo = true;
        ReplyWriter writer = rig.writer();
        std::string sent;
        for (const char* letters : {"a", "b", "c"})
            for (Index choice = 0; choice < 4; ++choice)
                sent += writer.add({piece_of(choice, concat(letters, choice))});
        for (Index choice = 3; choice >= 0; --choice) {
            CHECK_FALSE(writer.complete());
            sent += writer.add(
                {last_piece(choice, "!", {EndReason::stop, 10 + choice, choice, 5, ""})});
        }
        REQUIRE(writer.complete());
        std::vector<std::string> texts(4);
        ReplyJson usage;
        if (stream) {
            const auto events = ReplyRig::events(sent + writer.finish());
            for (const ReplyJson& event : events) {
                if (event.is_null()) continue;
                for (const ReplyJson& choice : event["choices"])
                    texts.at(choice["index"].get<std::size_t>()) += choice["text"];
                usage = event["usage"];
            }
            CHECK(events.back().is_null());
            CHECK(events[events.size() - 2]["choices"].empty());
            CHECK(events[0]["usage"].is_null());
        } else {
            CHECK(sent.empty());
            const ReplyJson body = ReplyJson::parse(writer.finish());
            for (const ReplyJson& choice : body["choices"])
                texts.at(choice["index"].get<std::size_t>()) = choice["text"];
            usage = body["usage"];
        }
        CHECK(texts ==
              std::vector<std::string>{"pa0b0c0!", "pa1b1c1!", "pa2b2c2!", "pa3b3c3!"});
        // Prompts 0 and 1 are read by the choices 0 and 2.
        CHECK(usage["prompt_tokens"] == 10 + 12);
        CHECK(usage["prompt_tokens_details"]["cached_tokens"] == 0 + 2);
        CHECK(usage["completion_tokens"] == 20);
        CHECK(usage["total_tokens"] == 42);
    }
}

TEST_CASE("server reply: logprobs of both endpoints") {
    ReplyRig rig;
    rig.request.logprobs = 1;
    TokenLog log{{'a', -0.5}, {{'b', -0.25}}, 3};
    TokenLog half{{0xc3, -1.0}, {{0xc3, -1.0}}, 4};
    const ReplyPiece piece{.choice = 0,
                           .sent = {.text = "a", .logs = {log, half}},
                           .end = TextEnd{EndReason::length, 2, 0, 2, ""}};
    ReplyWriter writer = rig.writer();
    writer.add({piece});
    CHECK(ReplyJson::parse(writer.finish())["choices"][0]["logprobs"] ==
          ReplyJson::parse(R"({"tokens": ["a", "bytes:\\xc3"], "token_logprobs": [-0.5, -1.0],
              "top_logprobs": [{"b": -0.25, "a": -0.5}, {"bytes:\\xc3": -1.0}],
              "text_offset": [3, 4]})"));
    rig.request.chat = true;
    ReplyWriter chat = rig.writer();
    chat.add({piece});
    const ReplyJson content =
        ReplyJson::parse(chat.finish())["choices"][0]["logprobs"]["content"];
    REQUIRE(content.size() == 2);
    CHECK(content[0] == ReplyJson::parse(R"({"token": "a", "logprob": -0.5, "bytes": [97],
              "top_logprobs": [{"token": "b", "logprob": -0.25, "bytes": [98]}]})"));
    CHECK(content[1]["bytes"] == ReplyJson::parse("[195]"));
}

TEST_CASE("server reply: an error is told and a text that failed is no answer") {
    CHECK(error_body(400, "invalid_value", "n", "n: \"x\"") ==
          R"({"error":{"message":"n: \"x\"","type":"invalid_request_error","param":"n",)"
          R"("code":"invalid_value"}})");
    CHECK(ReplyJson::parse(error_body(429, "queue_full", "", "full"))["error"]["type"] ==
          "rate_limit_error");
    CHECK(ReplyJson::parse(error_body(503, "", "", ""))["error"]["code"].is_null());
    const ReplyRig rig;
    ReplyWriter writer = rig.writer();
    CHECK(writer.failure().empty());
    writer.add({last_piece(0, "", {EndReason::failed, 0, 0, 0, "not finite"})});
    CHECK(writer.failure() == "not finite");
    CHECK(ReplyJson::parse(models_body("m", 5)) ==
          ReplyJson::parse(R"({"object": "list", "data": [{"id": "m", "object": "model",
              "created": 5, "owned_by": "kvlab"}]})"));
}

TEST_CASE("server metrics: every line is one that Prometheus reads") {
    ServingMetrics metrics;
    metrics.accepted = 3;
    metrics.ended = {1, 2, 3, 4, 5};
    metrics.pages = 9;
    metrics.pages_free = 8;
    metrics.first_token_seconds = 0.25;
    std::istringstream lines(prometheus_text(metrics));
    std::string type;  // the metric that was declared last
    Index values = 0;
    for (std::string line; std::getline(lines, line);) {
        CAPTURE(line);
        if (line.starts_with("# HELP ")) continue;
        if (line.starts_with("# TYPE ")) {
            type = line.substr(7, line.find(' ', 7) - 7);
            continue;
        }
        CHECK(line.starts_with(type));
        CHECK_NOTHROW(static_cast<void>(std::stod(line.substr(line.rfind(' ') + 1))));
        ++values;
    }
    CHECK(values == 22);
    const std::string text = prometheus_text(metrics);
    CHECK(text.find("\nkvlab_texts_total{reason=\"timeout\"} 3\n") != std::string::npos);
    CHECK(text.find("\nkvlab_pages_free 8\n") != std::string::npos);
    CHECK(text.find("\nkvlab_first_token_seconds_sum 0.25\n") != std::string::npos);
    // After two weeks the next step is still to be seen.
    metrics.step_seconds = 1234567.25;
    CHECK(prometheus_text(metrics).find("\nkvlab_step_seconds_total 1234567.25\n") !=
          std::string::npos);
}

TEST_SUITE_END();
