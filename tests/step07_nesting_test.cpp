// Step 7: brackets within brackets, in what comes from outside: bodies of requests, and traces.
// The parser has no limit of its own, but whatever walks through a value afterwards calls
// itself once for each level. Mistake in mind: a depth that is looked at when it is too late.
#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>
#include <unistd.h>

#include <kvlab/serving/trace.hpp>

#include "server_rig.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

std::string lists(Index depth) {
    return std::string(usize(depth), '[') + std::string(usize(depth), ']');
}

std::string objects(Index depth) {
    std::string text = "{}";
    for (Index i = 1; i < depth; ++i) text = concat(R"({"a": )", text, "}");
    return text;
}

void check_too_deep(const ApiRefusal& r) {
    CHECK(r.status == 400);
    CHECK(r.code == "invalid_json");
    CHECK(r.message ==
          "the body is nested too deeply; at most 16 lists and objects may lie within each "
          "other");
}

std::string message_of_trace(const std::string& line) {
    const std::filesystem::path path =
        std::filesystem::temp_directory_path() / concat("kvlab_nesting_", ::getpid(), ".jsonl");
    std::ofstream(path, std::ios::binary)
        << "{\"kvlab_requests\":1,\"trace\":\"t\"}\n" + line + "\n";
    std::string message = "no error";
    try {
        read_request_trace(path.string());
    } catch (const Error& error) {
        message = error.what();
        message = message.substr(message.find("line "));
    }
    std::filesystem::remove(path);
    return message;
}

}  // namespace

TEST_SUITE_BEGIN("step07");

TEST_CASE("nesting: a body that is nested deeply is refused wherever that is") {
    const ServerRules rules;
    for (const std::string name :
         {"prompt", "stop", "tools", "logit_bias", "metadata", "unknown"}) {
        CAPTURE(name);
        const std::string before = name == "prompt" ? "" : R"("prompt": "a", )";
        for (const std::string& value : {lists(100000), objects(16), lists(16)})
            check_too_deep(
                refusal([&] { rules.completion(concat(before, "\"", name, "\": ", value)); }));
    }
    check_too_deep(refusal([&] { rules.talk("\"messages\": " + lists(100000)); }));
    for (const std::string& body : {lists(100000), objects(17), lists(17)})
        check_too_deep(refusal([&] { parse_completion(body, rules.of(*rules.bytes)); }));
}

TEST_CASE("nesting: what is not deep is read") {
    const ServerRules rules;
    for (const std::string& value : {lists(15), objects(15)})
        CHECK_NOTHROW(rules.completion(R"("prompt": "a", "metadata": )" + value));
    // Brackets in a string are letters, and side by side they are not deep.
    CHECK_NOTHROW(rules.completion(
        concat(R"("max_tokens": 1, "prompt": ")", std::string(50, '['), "\"")));
    std::string wide = "[";
    for (int i = 0; i < 50; ++i) wide += "[],";
    CHECK_NOTHROW(rules.completion(R"("prompt": "a", "metadata": )" + wide + "[]]"));
}

TEST_CASE("nesting: a list in a message has a name and not its contents") {
    const ServerRules rules;
    const auto with_user = [&](const std::string& value) {
        return refusal([&] { rules.completion(R"("prompt": "a", "user": )" + value); }).message;
    };
    CHECK(with_user("[[1], 2]") == "user: expected a string, found a list");
    CHECK(with_user(R"({"a": 1})") == "user: expected a string, found an object");
    CHECK(with_user("5") == "user: expected a string, found '5'");
}

TEST_CASE("nesting: a line of a trace that is nested deeply is refused with its number") {
    const std::string expected =
        "line 2: nested too deeply; at most 16 lists and objects may lie within each other";
    for (const std::string& value : {lists(200000), objects(16)}) {
        CHECK(message_of_trace(R"({"arrival_us":0,"prompt":)" + value + "}") == expected);
        CHECK(message_of_trace(R"({"arrival_us":)" + value + "}") == expected);
    }
    CHECK(message_of_trace(lists(200000)) == expected);
    CHECK(message_of_trace(lists(16)).starts_with("line 2: expected an object, found '[[["));
    CHECK(message_of_trace(std::string(200000, '[')) == expected);
    CHECK(message_of_trace("[[") == "line 2: expected an object, found no JSON");
}

TEST_SUITE_END();
