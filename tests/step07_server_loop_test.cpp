// Step 7, the server: the loop that owns the scheduler. Mistakes in mind: a stop string that is
// cut from the text but goes on being written, a request that hangs when its reader is gone,
// places that are never given back, a stop that waits for ever, pages that stay behind, a
// failure that ends the loop.
#include <doctest/doctest.h>

#include <atomic>
#include <thread>

#include "server_rig.hpp"

using namespace kvlab;
using namespace kvlab::test;
using namespace std::chrono_literals;

namespace {

// What came of one request, by choice.
struct LoopReply {
    std::vector<std::string> texts;
    std::vector<TextEnd> ends;
    Index logs = 0;
};

LoopReply read_all(Ticket& ticket) {
    LoopReply reply;
    const auto choices = usize(ticket.request().choices());
    reply.texts.resize(choices);
    std::vector<std::optional<TextEnd>> ends(choices);
    for (std::size_t ended = 0; ended < choices;) {
        const auto pieces = ticket.wait(5s);
        REQUIRE_FALSE(pieces.empty());
        for (const ReplyPiece& piece : pieces) {
            REQUIRE_FALSE(at(ends, piece.choice).has_value());
            at(reply.texts, piece.choice) += piece.sent.text;
            reply.logs += std::ssize(piece.sent.logs);
            if (!piece.end) continue;
            at(ends, piece.choice) = piece.end;
            ++ended;
        }
    }
    for (const auto& end : ends) reply.ends.push_back(*end);
    return reply;
}

int refused_with(ServingLoop& loop, ApiRequest request) {
    try {
        loop.submit(std::move(request));
    } catch (const ApiError& error) {
        return error.status();
    }
    return 0;
}

}  // namespace

TEST_SUITE_BEGIN("step07");

TEST_CASE("server loop: a text is written to its length or to its end token") {
    LoopRig rig;
    const LoopReply length = read_all(*rig.loop->submit(rig.request("xy", 5)));
    CHECK(length.texts[0] == "zabcd");
    CHECK(length.ends[0].reason == EndReason::length);
    CHECK(length.ends[0].prompt == 2);
    CHECK(length.ends[0].written == 5);
    const LoopReply end = read_all(*rig.loop->submit(rig.request("7", 50)));
    CHECK(end.texts[0] == "89");
    CHECK(end.ends[0].reason == EndReason::stop);
    CHECK(end.ends[0].written == 3);  // the end token, too
    // Once a reply has ended, the metrics know it and its pages are free or kept.
    const ServingMetrics metrics = rig.loop->metrics();
    CHECK(metrics.accepted == 2);
    CHECK(metrics.ended == std::array<Index, 5>{1, 1, 0, 0, 0});
    CHECK(metrics.written_tokens == 8);
    CHECK(metrics.first_tokens == 2);
    CHECK(metrics.running + metrics.waiting == 0);
    CHECK(metrics.pages_free + metrics.pages_kept == 64);
}

TEST_CASE("server loop: a stop string ends the text in the scheduler as well") {
    LoopRig rig;
    ApiRequest request = rig.request("a", 400);
    request.stops = {"fgh"};
    request.logprobs = 0;
    const LoopReply reply = read_all(*rig.loop->submit(std::move(request)));
    CHECK(reply.texts[0] == "bcde");
    CHECK(reply.logs == 4);
    CHECK(reply.ends[0].reason == EndReason::stop);
    CHECK(reply.ends[0].written == 7);
    rig.loop->stop(5s);
    CHECK(rig.loop->metrics().steps <= 9);  // and not 400
    CHECK(rig.pool.free() == 64);
}

TEST_CASE("server loop: a stop string that only the sign for half a character completes") {
    for (const bool stops : {true, false}) {
        LoopRig rig;
        ApiRequest request = rig.request("", 1);
        request.prompts[0].tokens = {0, 0xc2};  // then comes 0xc3, which begins a character
        if (stops) request.stops = {"\xef\xbf\xbd"};
        const LoopReply reply = read_all(*rig.loop->submit(std::move(request)));
        CHECK(reply.texts[0] == (stops ? "" : "\xef\xbf\xbd"));
        CHECK(reply.ends[0].reason == (stops ? EndReason::stop : EndReason::length));
    }
}

TEST_CASE("server loop: choices and prompts of one request come back apart") {
    LoopRig rig;
    ApiRequest request = rig.request("a", 3);
    request.prompts.push_back({rig.bytes->encode("p"), "p"});
    request.n = 2;
    const LoopReply reply = read_all(*rig.loop->submit(std::move(request)));
    CHECK(reply.texts == std::vector<std::string>{"bcd", "bcd", "qrs", "qrs"});
    CHECK(rig.loop->metrics().accepted == 1);
}

TEST_CASE("server loop: a prompt's pages are found again in its scope alone") {
    LoopRig rig;
    const std::string prompt(200, 'k');
    const auto cached = [&](const std::string& scope) {
        ApiRequest request = rig.request(prompt, 2);
        request.common.scope = scope;
        const LoopReply reply = read_all(*rig.loop->submit(std::move(request)));
        CHECK(reply.texts[0] == "lm");
        return reply.ends[0].cached;
    };
    CHECK(cached("user:ann") == 0);
    CHECK(cached("user:ann") == 192);
    CHECK(cached("user:bob") == 0);
    CHECK(cached("everybody") == 0);
    CHECK(cached("user:bob") == 192);
    CHECK(rig.loop->metrics().cached_tokens == 384);
    rig.loop->stop(0s);
    CHECK(rig.pool.free() == 64);
}

TEST_CASE("server loop: a full queue refuses until places are free again") {
    LoopOptions options;
    options.scheduler.max_running = 2;
    options.queue = 1;
    LoopRig rig(options);
    rig.model.held = true;
    std::vector<std::shared_ptr<Ticket>> tickets;
    for (int i = 0; i < 3; ++i) tickets.push_back(rig.loop->submit(rig.request("a", 100)));
    CHECK(refused_with(*rig.loop, rig.request("a", 1)) == 429);
    rig.model.held = false;
    for (const auto& ticket : tickets) CHECK(read_all(*ticket).texts[0].size() == 100);
    // A request of several texts needs a place for each of them.
    ApiRequest four = rig.request("a", 1), three = four;
    four.n = 4;
    three.n = 3;
    CHECK(refused_with(*rig.loop, four) == 429);
    CHECK(read_all(*rig.loop->submit(three)).texts.size() == 3);
    CHECK(rig.loop->metrics().refused == 2);
    CHECK(rig.loop->metrics().accepted == 4);
}

TEST_CASE("server loop: nobody waits for a reader and one that hangs up is cancelled") {
    LoopRig rig;
    const auto slow = rig.loop->submit(rig.request("a", 300));
    // Others are served to their end while nobody reads this one.
    for (int i = 0; i < 3; ++i)
        CHECK(read_all(*rig.loop->submit(rig.request("a", 300))).texts[0].size() == 300);
    CHECK(read_all(*slow).texts[0].size() == 300);
    rig.model.pace = 2;
    const auto gone = rig.loop->submit(rig.request("a", 400));
    CHECK_FALSE(gone->wait(5s).empty());
    gone->hang_up();
    CHECK(read_all(*gone).ends[0].reason == EndReason::cancelled);
    CHECK(rig.loop->metrics().ended[3] == 1);
    CHECK(rig.loop->metrics().running == 0);
}

TEST_CASE("server loop: a request past its time ends with what it has") {
    LoopOptions options;
    options.limit = 200ms;
    LoopRig rig(options);
    rig.model.pace = 5;
    const LoopReply reply = read_all(*rig.loop->submit(rig.request("a", 500)));
    CHECK(reply.ends[0].reason == EndReason::timeout);
    CHECK(reply.texts[0].size() >= 1);
    CHECK(reply.texts[0].size() < 200);
    CHECK(std::ssize(reply.texts[0]) == reply.ends[0].written);
}

TEST_CASE("server loop: stopping refuses and finishes and then cancels") {
    for (const bool patient : {true, false}) {
        LoopRig rig;
        rig.model.pace = 2;
        const Index length = patient ? 30 : 400;
        const auto running = rig.loop->submit(rig.request("a", length));
        CHECK_FALSE(running->wait(5s).empty());
        rig.loop->stop(patient ? 20s : 0s);
        CHECK(refused_with(*rig.loop, rig.request("a", 1)) == 503);
        const LoopReply reply = read_all(*running);
        CHECK(reply.ends[0].reason == (patient ? EndReason::length : EndReason::cancelled));
        CHECK((reply.ends[0].written == length) == patient);
        CHECK(rig.pool.free() == 64);
        CHECK(rig.loop->metrics().pages_free == 64);
    }
}

TEST_CASE("server loop: what cannot be computed ends its step's texts and not the loop") {
    LoopRig rig;
    const LoopReply failed = read_all(*rig.loop->submit(rig.request("a!", 5)));
    CHECK(failed.ends[0].reason == EndReason::failed);
    CHECK(failed.ends[0].message == "the logits are not finite");
    const LoopReply starved = read_all(*rig.loop->submit(rig.request("a?", 5)));
    CHECK(starved.ends[0].reason == EndReason::failed);
    CHECK(starved.ends[0].message == std::bad_alloc().what());
    // What the scheduler refuses is told as well.
    const LoopReply refused = read_all(*rig.loop->submit(rig.request("a", 5000)));
    CHECK(refused.ends[0].reason == EndReason::failed);
    CHECK(refused.ends[0].message.find("context") != std::string::npos);
    CHECK(read_all(*rig.loop->submit(rig.request("a", 2))).texts[0] == "bc");
    rig.loop->stop(0s);
    CHECK(rig.pool.free() == 64);
}

TEST_CASE("server loop: many threads hand over and read and every place comes back") {
    LoopOptions options;
    options.scheduler.max_running = 4;
    options.queue = 60;
    LoopRig rig(options, 16);  // fewer pages than four texts of 300 tokens want
    std::atomic<Index> wrong{0};
    std::vector<std::thread> clients;
    for (int c = 0; c < 6; ++c)
        clients.emplace_back([&, c] {
            for (int i = 0; i < 8; ++i) {
                const Index length = 150 + 20 * c;
                ApiRequest request =
                    rig.request(std::string(140, static_cast<char>('a' + c)), length);
                request.n = 2;
                const auto ticket = rig.loop->submit(std::move(request));
                if (i % 3 == 2) {
                    ticket->hang_up();
                    continue;
                }
                std::string expected;
                for (Index k = 0; k < length; ++k)
                    expected += static_cast<char>('a' + (c + 1 + k) % 26);
                std::vector<std::string> texts(2);
                for (int ended = 0; ended < 2;)
                    for (const ReplyPiece& piece : ticket->wait(5s)) {
                        at(texts, piece.choice) += piece.sent.text;
                        ended += piece.end ? 1 : 0;
                    }
                for (const std::string& text : texts) wrong += text == expected ? 0 : 1;
            }
        });
    for (std::thread& client : clients) client.join();
    rig.loop->stop(20s);
    CHECK(wrong == 0);
    const ServingMetrics metrics = rig.loop->metrics();
    CHECK(metrics.accepted == 48);
    CHECK(metrics.ended[1] + metrics.ended[3] == 96);
    CHECK(metrics.preempted > 0);
    CHECK(metrics.cached_tokens > 0);
    CHECK(rig.pool.free() == 16);
}

TEST_SUITE_END();
