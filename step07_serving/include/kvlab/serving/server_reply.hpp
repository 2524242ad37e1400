// server_reply.hpp - chapter 7: from what was written to the bodies that OpenAI's clients read.
//
// The same pieces make both kinds of reply: a stream sends each of them as an event,
//
//   data: {"id":"cmpl-1", ... "choices":[{"index":0,"text":" be","finish_reason":null}]}
//
//   data: [DONE]
//
// and a whole reply joins them. So the two have the same text.
#pragma once

#include <string>
#include <vector>

#include <kvlab/serving/server_ticket.hpp>

namespace kvlab {

// What all bodies of one reply begin with.
struct ReplyHead {
    std::string id;  // without its prefix, which says of which kind the request is
    std::string model;
    std::int64_t created = 0;  // seconds since 1970
};

// {"error": {...}}: of a refusal, or of what went wrong later.
std::string error_body(int status,
                       const std::string& code,
                       const std::string& param,
                       const std::string& message);

// GET /v1/models.
std::string models_body(const std::string& model, std::int64_t created);

// Of one request, whose ticket and tokenizer must outlive it.
class ReplyWriter {
public:
    ReplyWriter(const ApiRequest& request, const Tokenizer& tokenizer, ReplyHead head);

    // Takes what has come; returns the events that say so, "" for a reply that is no stream.
    std::string add(const std::vector<ReplyPiece>& pieces);

    // All texts have ended.
    bool complete() const { return ended_ == request_.choices(); }

    // Why a text could not be written; empty: all could.
    const std::string& failure() const { return failure_; }

    // A stream's last events, or the whole body.
    std::string finish() const;

private:
    struct Written {
        std::string text;
        std::vector<TokenLog> logs;
        std::optional<TextEnd> end;
        bool begun = false;  // its first event has gone out
    };

    void add_one(const ReplyPiece& piece, std::string& events);

    const ApiRequest& request_;
    const Tokenizer& tokenizer_;
    ReplyHead head_;
    std::vector<Written> written_;  // by choice
    Index ended_ = 0;
    std::string failure_;
};

}  // namespace kvlab
