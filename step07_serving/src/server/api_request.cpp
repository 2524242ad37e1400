#include <algorithm>
#include <limits>
#include <random>

#include "api_fields.hpp"
#include "api_prompt.hpp"

namespace kvlab {

namespace api {

namespace {

constexpr Index kDefaultTokens = 16;  // of a completion, OpenAI's
constexpr Index kMostLogprobs = 20;   // beside each token
constexpr std::size_t kMostStops = 4;
constexpr std::size_t kLongestStop = 1024;  // bytes
constexpr Index kMostIndex = std::numeric_limits<Index>::max();

void read_model(Fields& fields, const ApiRules& rules) {
    const std::optional<std::string> model = fields.string("model");
    if (!model) refuse("model", "missing; GET /v1/models names it");
    if (*model == rules.model) return;
    throw ApiError(
        404, "model_not_found", "model",
        concat("model: this server has ", shown(rules.model), ", not ", shown(*model)));
}

ChoiceOptions read_choice(Fields& fields) {
    ChoiceOptions choice;
    SamplingOptions& sampling = choice.sampling;
    const double temperature = fields.number("temperature", 0, 2).value_or(1);
    if (temperature != 0 && temperature < static_cast<double>(Sampler::kLeastTemperature))
        refuse("temperature", concat("expected 0 or at least ", Sampler::kLeastTemperature,
                                     ", found ", temperature));
    sampling.temperature = static_cast<float>(temperature);
    sampling.top_p = static_cast<float>(fields.number("top_p", 0, 1).value_or(1));
    if (sampling.top_p <= 0) refuse("top_p", "expected more than 0");
    sampling.top_k = std::max<Index>(0, fields.integer("top_k", -1, kMostIndex).value_or(0));
    choice.min_p = static_cast<float>(fields.number("min_p", 0, 1).value_or(0));
    choice.repetition_penalty =
        static_cast<float>(fields.number("repetition_penalty", 0, 100).value_or(1));
    if (choice.repetition_penalty <= 0) refuse("repetition_penalty", "expected more than 0");
    // Who names no seed wants another text each time.
    const std::optional<Index> seed =
        fields.integer("seed", std::numeric_limits<Index>::min(), kMostIndex);
    sampling.seed = seed ? static_cast<std::uint64_t>(*seed) : std::random_device{}();
    return choice;
}

std::vector<std::string> read_stops(Fields& fields) {
    const Json* const stop = fields.any("stop");
    std::vector<std::string> stops;
    if (stop == nullptr) return stops;
    const auto add = [&](const Json& one) {
        if (!one.is_string() || one.get_ref<const std::string&>().empty() ||
            one.get_ref<const std::string&>().size() > kLongestStop)
            refuse("stop", concat("expected strings of 1 to ", kLongestStop, " bytes, found ",
                                  shown(one)));
        stops.push_back(one.get<std::string>());
    };
    if (!stop->is_array()) {
        add(*stop);
        return stops;
    }
    if (stop->size() > kMostStops)
        refuse("stop", concat("expected up to ", kMostStops, " strings, found ", stop->size()));
    for (const Json& one : *stop) add(one);
    return stops;
}

// A user's texts share pages only with that user's own: how long the first token of a reply
// takes tells whether its beginning was there already, and so what others have asked. Without
// the field a request shares with all that have none.
std::string read_scope(Fields& fields) {
    const std::optional<std::string> user = fields.string("user");
    return user ? concat("user:", *user) : std::string("everybody");
}

// Features of OpenAI's that this server does not have, at values that do not ask for them.
void take_neutral(Fields& fields) {
    const Json none = Json::array(), nothing = Json::object();
    for (const char* name : {"presence_penalty", "frequency_penalty"})
        fields.neutral(name, {0});
    for (const char* name : {"tools", "functions"}) fields.neutral(name, {none});
    for (const char* name : {"tool_choice", "function_call"})
        fields.neutral(name, {"none", "auto"});
    for (const char* name : {"audio", "prediction", "reasoning_effort", "web_search_options"})
        fields.neutral(name, {});
    fields.neutral("logit_bias", {nothing});
    fields.neutral("response_format", {Json{{"type", "text"}}});
    fields.neutral("modalities", {Json::array({"text"})});
    fields.neutral("service_tier", {"auto", "default"});
    fields.neutral("store", {false});
    for (const char* name : {"metadata", "parallel_tool_calls", "safety_identifier"})
        fields.ignored(name);
}

// The fields that both kinds have.
void read_common(Fields& fields, const ApiRules& rules, ApiRequest& request) {
    read_model(fields, rules);
    request.common.choice = read_choice(fields);
    request.common.scope = read_scope(fields);
    request.stops = read_stops(fields);
    if (!fields.boolean("ignore_eos").value_or(false)) request.common.ends = rules.ends;
    request.n = fields.integer("n", 1, rules.most_choices).value_or(1);
    request.stream = fields.boolean("stream").value_or(false);
    if (const Json* const options = fields.any("stream_options")) {
        if (!request.stream) refuse("stream_options", "only for a stream");
        Fields inner(*options, "stream_options");
        request.include_usage = inner.boolean("include_usage").value_or(false);
        inner.finish();
    }
    take_neutral(fields);
}

// What is left of the context after the longest prompt bounds what may be written. What nobody
// has asked for is never too much.
void set_most_tokens(ApiRequest& request, std::optional<Index> wanted, const ApiRules& rules) {
    Index longest = 0;
    for (const ApiPrompt& prompt : request.prompts)
        longest = std::max(longest, std::ssize(prompt.tokens));
    const Index room = rules.context - longest;
    if (room < wanted.value_or(1))
        throw ApiError(
            400, "context_length_exceeded", request.chat ? "messages" : "prompt",
            concat("a text has at most ", rules.context, " tokens here; the prompt has ",
                   longest, ", and ", wanted.value_or(1), " more are to be written"));
    Index most = request.chat ? room : std::min(room, kDefaultTokens);
    if (rules.most_tokens > 0) most = std::min(most, rules.most_tokens);
    request.common.max_tokens = wanted.value_or(most);
}

std::optional<Index> read_most_tokens(Fields& fields, const ApiRules& rules, bool chat) {
    const Index most = rules.most_tokens > 0 ? rules.most_tokens : kMostIndex;
    const std::optional<Index> older = fields.integer("max_tokens", 1, most);
    if (!chat) return older;
    const std::optional<Index> newer = fields.integer("max_completion_tokens", 1, most);
    if (older && newer && *older != *newer)
        refuse("max_completion_tokens", "max_tokens is there, too, and says something else");
    return newer ? newer : older;
}

}  // namespace

}  // namespace api

std::vector<Token> end_tokens(const Tokenizer& tokenizer) {
    std::vector<Token> ends;
    for (Index token = 0; token < tokenizer.vocab_size(); ++token)
        if (tokenizer.is_end(static_cast<Token>(token)))
            ends.push_back(static_cast<Token>(token));
    return ends;
}

Request ApiRequest::request(Index choice) const {
    Request one = common;
    one.prompt = at(prompts, choice / n).tokens;
    one.choice.sampling.seed += static_cast<std::uint64_t>(choice % n);
    return one;
}

ApiRequest parse_completion(std::string_view body, const ApiRules& rules) {
    const api::Json json = api::parse_json(body);
    api::Fields fields(json, "");
    ApiRequest request;
    api::read_common(fields, rules, request);
    request.prompts = api::read_prompts(fields.any("prompt"), rules);
    if (request.choices() > rules.most_choices)
        api::refuse("n", concat("prompts times n: expected up to ", rules.most_choices,
                                " texts, found ", request.choices()));
    request.echo = fields.boolean("echo").value_or(false);
    request.logprobs = fields.integer("logprobs", 0, api::kMostLogprobs);
    if (request.echo && request.logprobs)
        api::refuse("logprobs", "not with echo: the prompt's tokens are not scored here");
    fields.neutral("suffix", {""});
    if (request.n == 1)
        fields.neutral("best_of", {1});  // the best one of one is that one
    else
        fields.neutral("best_of", {});
    const std::optional<Index> wanted = api::read_most_tokens(fields, rules, false);
    fields.finish();
    api::set_most_tokens(request, wanted, rules);
    return request;
}

ApiRequest parse_chat(std::string_view body, const ApiRules& rules) {
    if (rules.chat == nullptr)
        throw ApiError(
            400, "no_chat_template", "model",
            concat("model: ", api::shown(rules.model),
                   " has no chat template; POST /v1/completions goes on with a text"));
    const api::Json json = api::parse_json(body);
    api::Fields fields(json, "");
    ApiRequest request;
    request.chat = true;
    api::read_common(fields, rules, request);
    request.prompts = {api::read_messages(fields.any("messages"), rules)};
    const bool logprobs = fields.boolean("logprobs").value_or(false);
    const std::optional<Index> top = fields.integer("top_logprobs", 0, api::kMostLogprobs);
    if (top && !logprobs) api::refuse("top_logprobs", "only with logprobs");
    if (logprobs) request.logprobs = top.value_or(0);
    const std::optional<Index> wanted = api::read_most_tokens(fields, rules, true);
    fields.finish();
    api::set_most_tokens(request, wanted, rules);
    return request;
}

}  // namespace kvlab
