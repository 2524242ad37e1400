// http_sending.hpp - chapter 7: a reply on its way through cpp-httplib, of http_server.cpp.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>

#include <httplib.h>

#include <kvlab/serving/server_reply.hpp>

namespace kvlab::app {

// One reply under way: the text of a ticket, sent piece by piece. Destroyed when the connection
// is done with it, whatever the reason.
class Sending {
public:
    Sending(std::shared_ptr<Ticket> ticket,
            const Tokenizer& tokenizer,
            ReplyHead head,
            std::atomic<Index>& count)
        : ticket_(std::move(ticket)),
          writer_(ticket_->request(), tokenizer, std::move(head)),
          count_(count) {
        ++count_;
    }

    ~Sending() {
        ticket_->hang_up();  // nothing happens if all has been written
        --count_;
    }

    Sending(const Sending&) = delete;
    Sending& operator=(const Sending&) = delete;

    // Called again and again by the library, which looks in between whether the client is still
    // there. False breaks the connection off.
    bool go_on(httplib::DataSink& sink) {
        const std::string events = writer_.add(ticket_->wait(std::chrono::milliseconds(50)));
        if (!writer_.failure().empty()) return fail(sink);
        if (!events.empty() && !sink.write(events.data(), events.size())) return false;
        if (!writer_.complete()) return true;
        const std::string rest = writer_.finish();
        if (!sink.write(rest.data(), rest.size())) return false;
        sink.done();
        return true;
    }

private:
    // The status 200 has been sent. A stream can still say what happened; a whole reply is cut
    // off, which no client takes for an answer.
    bool fail(httplib::DataSink& sink) {
        if (!ticket_->request().stream) return false;
        const std::string event =
            concat("data: ", error_body(500, "failed", "", writer_.failure()), "\n\n");
        sink.write(event.data(), event.size());
        sink.done();
        return true;
    }

    std::shared_ptr<Ticket> ticket_;
    ReplyWriter writer_;
    std::atomic<Index>& count_;
};

}  // namespace kvlab::app
