// serving_rig.hpp - requests through a scheduler, with every token compared with what the same
// request writes alone.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/serving/alone.hpp>
#include <kvlab/serving/decoder_steps.hpp>
#include <kvlab/serving/scheduler.hpp>
#include <kvlab/tensor/checksum.hpp>

#include "models.hpp"

namespace kvlab::test {

// Steps that only count pages and tokens.
class CountingSteps final : public StepModel {
public:
    explicit CountingSteps(Index context = 4096) : context_(context) {}

    std::unique_ptr<PagedCache> make_cache(PagePool& pool) override {
        return std::make_unique<PagedCache>(pool, context_);
    }

    Index context() const override { return context_; }

    View<const float> run(std::span<const StepPart> parts) override {
        for (const StepPart& part : parts) part.cache->pretend(std::ssize(part.tokens));
        return {};
    }

    double now() const override { return 0; }

    void wait_until(double) override {}

private:
    Index context_;
};

// What happened, as "admitted 0", "evicted 2 pages".
inline std::string event_text(const StepEvent& event) {
    static constexpr const char* kNames[] = {"added",   "admitted", "resumed",   "preempted",
                                             "swapped", "ended",    "cancelled", "evicted"};
    const std::string name = kNames[static_cast<std::size_t>(event.kind)];
    if (event.kind == StepEvent::Kind::evicted) return concat(name, " ", event.count, " pages");
    return concat(name, " ", event.request);
}

inline Request request_of(std::vector<Token> prompt, Index max_tokens, Index priority = 0) {
    Request request;
    request.prompt = std::move(prompt);
    request.max_tokens = max_tokens;
    request.priority = priority;
    return request;
}

// A small model, a pool, an index and a scheduler. One thread: others would only wait for it.
struct ServingRig {
    explicit ServingRig(Index pages,
                        const SchedulerOptions& options = {},
                        const std::string& index_kind = "none",
                        Drafter* drafter = nullptr)
        : engine(make_cpu_engine({1, default_simd_level()})),
          decoder(load_model(*make_synthetic(tiny_config(), 5), *engine), *engine),
          steps(decoder),
          pool(decoder.kv_shape(), {.pages = pages, .poison = true}),
          index(index_kind == "chain"   ? make_chain_index(pool)
                : index_kind == "radix" ? make_radix_index(pool)
                                        : nullptr),
          scheduler(steps, pool, options, index.get(), drafter) {
        scheduler.set_on_token(
            [this](Index request, Token token, std::span<const float> logits) {
                compare(request, token, logits);
                if (on_token) on_token(request, token);
            });
        scheduler.set_on_event(
            [this](const StepEvent& event) { events.push_back(event_text(event)); });
    }

    Index add(Request request) {
        alone.push_back(serve_alone(decoder, request, float_rows()));
        return scheduler.add(std::move(request));
    }

    Index add(std::vector<Token> prompt, Index max_tokens, Index priority = 0) {
        return add(request_of(std::move(prompt), max_tokens, priority));
    }

    void compare(Index request, Token token, std::span<const float> logits) {
        const Index i = std::ssize(scheduler.generated(request)) - 1;
        REQUIRE(i < std::ssize(at(alone, request).tokens));
        compared += std::ssize(logits);
        CHECK(compare_bits(at(alone, request).row(i), logits).differ == 0);
        CHECK(token == at(at(alone, request).tokens, i));
    }

    // To the end of all, in at most so many steps; what was not cancelled has all its tokens.
    void run(Index most_steps = 2000) {
        while (scheduler.step()) REQUIRE(--most_steps > 0);
        CHECK(compared > 0);
        for (Index r = 0; r < scheduler.requests(); ++r) {
            if (scheduler.outcome(r) == Outcome::cancelled) continue;
            CHECK(scheduler.outcome(r) == at(alone, r).outcome);
            CHECK(scheduler.generated(r).size() == at(alone, r).tokens.size());
        }
        CHECK(pages_in_use() == (index ? index->held() : 0));
    }

    Index pages_in_use() const { return pool.pages() - pool.free(); }

    // How often an event of this text came.
    Index count(const std::string& text) const {
        return std::count(events.begin(), events.end(), text);
    }

    // The numbers of the requests of these events, in order.
    std::vector<Index> order_of(const std::string& kind) const {
        std::vector<Index> numbers;
        for (const std::string& event : events)
            if (event.starts_with(kind + " "))
                numbers.push_back(std::stol(event.substr(kind.size() + 1)));
        return numbers;
    }

    std::unique_ptr<Engine> engine;
    Decoder decoder;
    DecoderSteps steps;
    PagePool pool;
    std::unique_ptr<PrefixIndex> index;
    Scheduler scheduler;
    std::vector<Alone> alone;
    std::function<void(Index request, Token token)> on_token;
    std::vector<std::string> events;
    Index compared = 0;
};

inline std::vector<Token> prompt_of(Index count, std::uint64_t seed = 1) {
    return random_tokens(count, 256, seed);
}

}  // namespace kvlab::test
