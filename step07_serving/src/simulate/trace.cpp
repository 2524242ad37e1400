#include <kvlab/serving/trace.hpp>

#include <algorithm>
#include <fstream>
#include <initializer_list>

#include <nlohmann/json.hpp>

#include <kvlab/tensor/random.hpp>
#include <kvlab/tensor/text.hpp>
#include <kvlab/weights/input_file.hpp>

#include "../shallow_json.hpp"

namespace kvlab {

namespace {

using Json = nlohmann::ordered_json;

constexpr Index kMostTokens = Index{1} << 24;                // of a text, more than any context
constexpr Index kMostPriority = 1000;                        // in both directions
constexpr std::int64_t kMostNumber = std::int64_t{1} << 53;  // what every JSON library can hold

std::string found(const Json& json) {
    return json.is_discarded() ? "no JSON" : quote(json.dump(), 40);
}

const Json& field(const Json& line, const char* name) {
    check(line.contains(name), name, ": expected in the object, found no such field");
    return line.at(name);
}

void check_fields(const Json& line, std::initializer_list<const char*> names) {
    check(line.is_object(), "expected an object, found ", found(line));
    for (const auto& [key, value] : line.items())
        check(std::find(names.begin(), names.end(), key) != names.end(), quote(key),
              ": unknown field");
}

std::int64_t whole(const Json& json, const char* name, std::int64_t least, std::int64_t most) {
    const bool fits = json.is_number_integer() &&
                      (!json.is_number_unsigned() ||
                       json.get<std::uint64_t>() <= static_cast<std::uint64_t>(kMostNumber)) &&
                      json.get<std::int64_t>() >= least && json.get<std::int64_t>() <= most;
    check(fits, name, ": expected a whole number from ", least, " to ", most, ", found ",
          found(json));
    return json.get<std::int64_t>();
}

std::string text(const Json& json, const char* name) {
    check(json.is_string(), name, ": expected a text, found ", found(json));
    return json.get<std::string>();
}

std::vector<PromptPiece> take_prompt(const Json& json) {
    check(json.is_array() && !json.empty(), "prompt: expected a list of pieces, one at least, ",
          "found ", found(json));
    std::vector<PromptPiece> pieces;
    for (const Json& piece : json) {
        check(piece.is_array() && piece.size() == 2, "prompt: expected pieces [seed, count], ",
              "found ", found(piece));
        pieces.push_back({whole(piece[0], "prompt: seed", 0, kMostNumber),
                          whole(piece[1], "prompt: count", 1, kMostTokens)});
    }
    return pieces;
}

TracedRequest take_request(const Json& line) {
    check_fields(line, {"arrival_us", "prompt", "max_tokens", "scope", "priority"});
    TracedRequest request;
    request.arrival_us = whole(field(line, "arrival_us"), "arrival_us", 0, kMostNumber);
    request.prompt = take_prompt(field(line, "prompt"));
    request.max_tokens = whole(field(line, "max_tokens"), "max_tokens", 1, kMostTokens);
    request.scope = text(field(line, "scope"), "scope");
    request.priority =
        whole(field(line, "priority"), "priority", -kMostPriority, kMostPriority);
    check(request.prompt_tokens() <= kMostTokens, "prompt: ", request.prompt_tokens(),
          " tokens; at most ", kMostTokens);
    return request;
}

void take_line(const Json& line, Index number, RequestTrace& trace) {
    if (number == 1) {
        check_fields(line, {"kvlab_requests", "trace"});
        check(whole(field(line, "kvlab_requests"), "kvlab_requests", 0, kMostNumber) == 1,
              "not a trace of version 1");
        trace.name = printable(text(field(line, "trace"), "trace"));
        return;
    }
    TracedRequest request = take_request(line);
    check(trace.requests.empty() || request.arrival_us >= trace.requests.back().arrival_us,
          "arrival_us: ", request.arrival_us, " comes before the request above it");
    trace.requests.push_back(std::move(request));
}

}  // namespace

Index TracedRequest::prompt_tokens() const {
    Index sum = 0;
    for (const PromptPiece& piece : prompt) sum += piece.count;
    return sum;
}

Index RequestTrace::longest() const {
    Index most = 0;
    for (const TracedRequest& request : requests)
        most = std::max(most, request.prompt_tokens() + request.max_tokens);
    return most;
}

// ANCHOR: piece_tokens
std::vector<Token> piece_tokens(const PromptPiece& piece, Index vocab) {
    Rng rng(static_cast<std::uint64_t>(piece.seed));
    std::vector<Token> tokens(usize(piece.count));
    for (Token& token : tokens) token = static_cast<Token>(rng.below(vocab));
    return tokens;
}

Request to_request(const TracedRequest& traced, Index vocab) {
    Request request;
    for (const PromptPiece& piece : traced.prompt) {
        const std::vector<Token> tokens = piece_tokens(piece, vocab);
        request.prompt.insert(request.prompt.end(), tokens.begin(), tokens.end());
    }
    request.max_tokens = traced.max_tokens;
    request.choice.sampling.temperature = 0;
    request.priority = traced.priority;
    request.scope = traced.scope;
    request.arrival = traced.arrival();
    return request;
}

// ANCHOR_END: piece_tokens

std::string to_text(const RequestTrace& trace) {
    Json header;
    header["kvlab_requests"] = 1;
    header["trace"] = trace.name;
    std::string all = header.dump() + '\n';
    for (const TracedRequest& request : trace.requests) {
        Json line;
        line["arrival_us"] = request.arrival_us;
        line["prompt"] = Json::array();
        for (const PromptPiece& piece : request.prompt)
            line["prompt"].push_back({piece.seed, piece.count});
        line["max_tokens"] = request.max_tokens;
        line["scope"] = request.scope;
        line["priority"] = request.priority;
        all += line.dump() + '\n';
    }
    return all;
}

RequestTrace read_request_trace(const std::string& path) {
    std::ifstream file = open_input(path);
    RequestTrace trace;
    Index number = 0;
    try {
        for (std::string line; std::getline(file, line) && ++number;)
            take_line(parse_shallow<Json>(line, false), number, trace);
        check(!file.bad(), "cannot be read");
        ++number;  // what is missing would stand in the next line
        check(!trace.requests.empty(), "expected a trace's name and a request, one in a line");
    } catch (const std::exception& error) {  // of this reader, or of the JSON library
        throw Error(concat(path, ": line ", number, ": ", error.what()));
    }
    return trace;
}

}  // namespace kvlab
