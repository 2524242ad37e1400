#include <kvlab/serving/accounting.hpp>

#include <algorithm>
#include <list>
#include <map>
#include <tuple>
#include <unordered_map>

#include <kvlab/serving/replay.hpp>
#include <kvlab/serving/simulated_steps.hpp>
#include <kvlab/serving/watched_steps.hpp>

namespace kvlab {

namespace {

// A model whose steps only have to be counted: the smallest shape, and a second a step.
ServedModel smallest_model(Index context) {
    Config config;
    config.heads = config.kv_heads = config.layers = config.dim = 1;
    config.head_dim = 1;
    config.context = context;
    return {config, 1, 1, 1};
}

}  // namespace

// ANCHOR: count_waste
PageWaste count_waste(const RequestTrace& trace, Index slots, Index page_slots) {
    check(slots >= page_slots, "waste: a pool of ", slots, " slots and pages of ", page_slots);
    SimulatedSteps steps(smallest_model(trace.longest()), {.per_step = 1});
    WatchedSteps watched(steps);
    PagePool pool(steps.kv_shape(), {.pages = slots / page_slots, .page_slots = page_slots});
    PageWaste waste{.page_slots = page_slots};
    watched.set_after_step([&](std::span<const StepPart> parts) {
        waste.held += static_cast<double>((pool.pages() - pool.free()) * page_slots);
        for (const StepPart& part : parts)
            waste.needed += static_cast<double>(part.cache->next_position());
        waste.texts += static_cast<double>(parts.size());
    });
    // Every text inside takes part in every step, so `parts` are all that hold pages.
    Scheduler scheduler(
        watched, pool,
        {.max_running = slots, .token_budget = Index{1} << 40, .chunked = false});
    const Replayed replayed =
        replay(scheduler, watched, trace, 256, {.speed = 0, .forget = true});
    waste.steps = replayed.steps;
    waste.preempted = scheduler.counts().preempted;
    for (double* sum : {&waste.held, &waste.needed, &waste.texts})
        *sum /= static_cast<double>(waste.steps);
    return waste;
}

// ANCHOR_END: count_waste

std::vector<std::vector<Token>> number_blocks(const RequestTrace& trace, Index block) {
    check(block >= 1, "blocks: of ", block, " tokens");
    // A block is known by the block before it and the pieces in it.
    using Key = std::pair<Token, std::vector<std::tuple<std::int64_t, Index, Index>>>;
    std::map<Key, Token> known;
    std::vector<std::vector<Token>> prompts;
    for (const TracedRequest& request : trace.requests) {
        std::vector<Token> numbers;
        Key key{-1, {}};
        Index missing = block;
        for (const PromptPiece& piece : request.prompt)
            for (Index from = 0; from < piece.count;) {
                const Index count = std::min(missing, piece.count - from);
                key.second.emplace_back(piece.seed, from, count);
                from += count;
                missing -= count;
                if (missing > 0) continue;
                const auto next = static_cast<Token>(known.size());
                key.first = known.emplace(key, next).first->second;
                key.second.clear();
                numbers.push_back(key.first);
                missing = block;
            }
        prompts.push_back(std::move(numbers));
    }
    return prompts;
}

// ANCHOR: count_hits
PrefixHits count_hits(std::span<const std::vector<Token>> prompts,
                      Index pages,
                      const MakeIndex& make_index) {
    PagePool pool({1, 1, 1, 1}, {.pages = pages, .page_slots = 1});
    const std::unique_ptr<PrefixIndex> index = make_index(pool);
    PrefixHits hits;
    for (const std::vector<Token>& prompt : prompts) {
        check(std::ssize(prompt) <= pages, "hits: a prompt of ", prompt.size(),
              " blocks; there ", "are ", pages, " pages");
        std::vector<PageId> table = index->find("", prompt);
        hits.asked += std::ssize(prompt);
        hits.found += std::ssize(table);
        for (const PageId page : table) pool.share(page);  // the index must not let go of them
        const Index missing = std::ssize(prompt) - std::ssize(table) - pool.free();
        if (missing > 0) hits.evicted += index->evict(missing);
        while (table.size() < prompt.size()) table.push_back(pool.take());
        index->insert("", prompt, table);
        for (const PageId page : table) pool.release(page);
    }
    return hits;
}

// ANCHOR_END: count_hits

PrefixHits count_lru_hits(std::span<const std::vector<Token>> prompts, Index pages) {
    std::list<Token> order;  // the one used last is the first
    std::unordered_map<Token, std::list<Token>::iterator> places;
    PrefixHits hits;
    for (const std::vector<Token>& prompt : prompts) {
        const auto end = std::find_if(prompt.begin(), prompt.end(),
                                      [&](Token block) { return !places.contains(block); });
        hits.asked += std::ssize(prompt);
        hits.found += end - prompt.begin();
        // The first block is used last, since it is what others can begin with, too.
        for (auto block = prompt.rbegin(); block != prompt.rend(); ++block) {
            const auto place = places.find(*block);
            if (place != places.end()) order.erase(place->second);
            order.push_front(*block);
            places[*block] = order.begin();
        }
        while (pages > 0 && std::ssize(order) > pages) {
            places.erase(order.back());
            order.pop_back();
            ++hits.evicted;
        }
    }
    return hits;
}

}  // namespace kvlab
