#include <span>
#include <utility>

#include <kvlab/serving/server_reply.hpp>

#include "reply_logs.hpp"

namespace kvlab {

namespace {

using api::OrderedJson;

std::string as_line(const OrderedJson& json) {
    return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

std::string as_event(const OrderedJson& json) {
    return concat("data: ", as_line(json), "\n\n");
}

const char* object_name(const ApiRequest& request) {
    if (!request.chat) return "text_completion";
    return request.stream ? "chat.completion.chunk" : "chat.completion";
}

OrderedJson begin_body(const ApiRequest& request, const ReplyHead& head) {
    OrderedJson json;
    json["id"] = concat(request.chat ? "chatcmpl-" : "cmpl-", head.id);
    json["object"] = object_name(request);
    json["created"] = head.created;
    json["model"] = head.model;
    return json;
}

OrderedJson logs_of(const ApiRequest& request,
                    const Tokenizer& tokenizer,
                    std::span<const TokenLog> logs) {
    if (!request.logprobs || (request.stream && logs.empty())) return nullptr;
    return request.chat ? api::chat_logs(tokenizer, logs)
                        : api::completion_logs(tokenizer, logs);
}

OrderedJson reason_of(const std::optional<TextEnd>& end) {
    if (!end) return nullptr;
    return end_reason_name(end->reason);
}

OrderedJson usage_of(Index prompt, Index cached, Index written) {
    OrderedJson usage;
    usage["prompt_tokens"] = prompt;
    usage["completion_tokens"] = written;
    usage["total_tokens"] = prompt + written;
    usage["prompt_tokens_details"]["cached_tokens"] = cached;
    return usage;
}

}  // namespace

std::string error_body(int status,
                       const std::string& code,
                       const std::string& param,
                       const std::string& message) {
    OrderedJson error;
    error["message"] = message;
    error["type"] = status == 429   ? "rate_limit_error"
                    : status >= 500 ? "server_error"
                                    : "invalid_request_error";
    error["param"] = param.empty() ? OrderedJson(nullptr) : OrderedJson(param);
    error["code"] = code.empty() ? OrderedJson(nullptr) : OrderedJson(code);
    OrderedJson json;
    json["error"] = std::move(error);
    return as_line(json);
}

std::string models_body(const std::string& model, std::int64_t created) {
    OrderedJson one;
    one["id"] = model;
    one["object"] = "model";
    one["created"] = created;
    one["owned_by"] = "kvlab";
    OrderedJson json;
    json["object"] = "list";
    json["data"] = OrderedJson::array({one});
    return as_line(json);
}

ReplyWriter::ReplyWriter(const ApiRequest& request, const Tokenizer& tokenizer, ReplyHead head)
    : request_(request),
      tokenizer_(tokenizer),
      head_(std::move(head)),
      written_(usize(request.choices())) {}

std::string ReplyWriter::add(const std::vector<ReplyPiece>& pieces) {
    std::string events;
    for (const ReplyPiece& piece : pieces) add_one(piece, events);
    return events;
}

void ReplyWriter::add_one(const ReplyPiece& piece, std::string& events) {
    Written& written = at(written_, piece.choice);
    const bool first = !std::exchange(written.begun, true);
    std::string text = piece.sent.text;
    if (first && request_.echo)
        text.insert(0, at(request_.prompts, piece.choice / request_.n).text);
    if (piece.end) {
        written.end = piece.end;
        ++ended_;
        if (piece.end->reason == EndReason::failed) failure_ = piece.end->message;
    }
    if (!request_.stream) {
        written.text += text;
        written.logs.insert(written.logs.end(), piece.sent.logs.begin(), piece.sent.logs.end());
        return;
    }
    OrderedJson choice;
    choice["index"] = piece.choice;
    if (request_.chat) {
        OrderedJson delta = OrderedJson::object();
        if (first) delta["role"] = "assistant";
        if (first || !text.empty()) delta["content"] = text;
        choice["delta"] = std::move(delta);
    } else {
        choice["text"] = text;
    }
    choice["logprobs"] = logs_of(request_, tokenizer_, piece.sent.logs);
    choice["finish_reason"] = reason_of(piece.end);
    OrderedJson json = begin_body(request_, head_);
    json["choices"] = OrderedJson::array({choice});
    if (request_.include_usage) json["usage"] = nullptr;
    events += as_event(json);
}

std::string ReplyWriter::finish() const {
    Index prompt = 0, cached = 0, all = 0;
    OrderedJson choices = OrderedJson::array();
    for (Index c = 0; c < std::ssize(written_); ++c) {
        const Written& written = at(written_, c);
        all += written.end->written;
        // The texts of one prompt read it once, and the first of them is the one that pays.
        if (c % request_.n == 0) {
            prompt += written.end->prompt;
            cached += written.end->cached;
        }
        OrderedJson choice;
        choice["index"] = c;
        if (request_.chat)
            choice["message"] = {
                {"role", "assistant"}, {"content", written.text}, {"refusal", nullptr}};
        else
            choice["text"] = written.text;
        choice["logprobs"] = logs_of(request_, tokenizer_, written.logs);
        choice["finish_reason"] = reason_of(written.end);
        choices.push_back(std::move(choice));
    }
    OrderedJson json = begin_body(request_, head_);
    if (request_.stream && !request_.include_usage) return "data: [DONE]\n\n";
    json["choices"] = request_.stream ? OrderedJson::array() : std::move(choices);
    json["usage"] = usage_of(prompt, cached, all);
    return request_.stream ? concat(as_event(json), "data: [DONE]\n\n") : as_line(json);
}

}  // namespace kvlab
