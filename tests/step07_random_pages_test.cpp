// Step 7: texts that grow, go back, fork, share beginnings and end, in any order and with too
// few pages. Every logit has to have the bits of the contiguous cache, and every user of a page
// has to be somebody.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include <kvlab/kvcache/narrow_tiles.hpp>
#include <kvlab/serving/prefix_index.hpp>
#include <kvlab/serving/saved_pages.hpp>

#include "quant_rig.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// What happened, so that a test can say that it did.
struct PagedRaceCounts {
    Index forked = 0, adopted = 0, refused = 0, swapped = 0, back = 0, evicted = 0;
};

class PagedRace {
public:
    PagedRace(const MakeRows& rows, bool radix, std::uint64_t seed)
        : rows_(rows),
          pool_(rig_.shape(), {.pages = 14, .rows = rows, .poison = true}),
          index_(radix ? make_radix_index(pool_) : make_chain_index(pool_)),
          rng_(seed) {}

    void step() {
        const Index what = rng_.below(12);
        if (texts_.empty() || (what == 0 && texts_.size() < 5))
            begin();
        else if (what == 1)
            fork(any());
        else if (what == 2)
            back(any());
        else if (what == 3)
            swap(any());
        else if (what == 4)
            end(any());
        else
            grow(any(), 1 + rng_.below(70));
        check_users();
    }

    void finish() {
        while (!texts_.empty()) end(0);
        const Index held = index_->held();
        CHECK(index_->evict(pool_.pages()) == held);
        CHECK(pool_.free() == pool_.pages());
    }

    const PagedRaceCounts& counts() const { return counts_; }

    const PoolCounts& pool_counts() const { return pool_.counts(); }

private:
    struct Text {
        std::vector<Token> tokens;
        std::unique_ptr<PagedCache> paged;
        std::unique_ptr<KvStore> plain;
    };

    Index any() { return rng_.below(std::ssize(texts_)); }

    // A text that begins as some earlier one did, with its pages if they are still there.
    void begin() {
        Text text{{},
                  std::make_unique<PagedCache>(pool_, 400),
                  std::make_unique<KvCache>(rig_.shape(), 400, rows_)};
        std::vector<Token> start;
        if (!past_.empty()) start = at(past_, rng_.below(std::ssize(past_)));
        start.resize(usize(rng_.below(std::ssize(start) + 1)));
        const std::vector<PageId> pages = index_->find("", start);
        text.paged->adopt(pages);
        counts_.adopted += std::ssize(pages);
        start.resize(usize(text.paged->next_position()));
        if (!start.empty()) rig_.cached(*text.plain, start, 0);
        text.tokens = start;
        texts_.push_back(std::move(text));
    }

    void grow(Index which, Index T) {
        Text& text = at(texts_, which);
        T = std::min(T, text.paged->room());
        if (T == 0) return end(which);
        std::vector<Token> more(usize(T));
        for (Token& token : more) token = static_cast<Token>(rng_.below(96));
        if (text.paged->pages_needed(T) > pool_.free()) {
            refuse(text, more);
            counts_.evicted += index_->evict(text.paged->pages_needed(T) - pool_.free());
            if (text.paged->pages_needed(T) > pool_.free()) return end(which);
        }
        const Index piece = 1 + rng_.below(T);
        CHECK(differing(rig_.cached(*text.paged, more, piece),
                        rig_.cached(*text.plain, more, piece)) == 0);
        text.tokens.insert(text.tokens.end(), more.begin(), more.end());
    }

    void refuse(Text& text, std::span<const Token> more) {
        const Index free = pool_.free(), length = text.paged->next_position();
        CHECK_THROWS_AS(rig_.decoder.forward(*text.paged, more), Error);
        CHECK(pool_.free() == free);
        CHECK(text.paged->next_position() == length);
        ++counts_.refused;
    }

    void fork(Index which) {
        const Text& text = at(texts_, which);
        texts_.push_back({text.tokens,
                          std::unique_ptr<PagedCache>(
                              static_cast<PagedCache*>(text.paged->fork().release())),
                          text.plain->fork()});
        ++counts_.forked;
    }

    void back(Index which) {
        Text& text = at(texts_, which);
        const Index to = rng_.below(std::ssize(text.tokens) + 1);
        text.paged->truncate(to);
        text.plain->truncate(to);
        text.tokens.resize(usize(to));
        ++counts_.back;
    }

    void swap(Index which) {
        Text& text = at(texts_, which);
        const SavedPages saved = SavedPages::of(*text.paged);
        text.paged->reset();
        if (pool_.pages_for(saved.tokens()) > pool_.free()) return end(which);
        saved.into(*text.paged);
        ++counts_.swapped;
    }

    // What it wrote may serve others, unless it was swapped out for good.
    void end(Index which) {
        Text& text = at(texts_, which);
        const Index full = text.paged->next_position() / 64;
        index_->insert("", text.tokens, text.paged->table().first(usize(full)));
        past_.push_back(text.tokens);
        texts_.erase(texts_.begin() + which);
    }

    void check_users() const {
        Index users = 0, entries = index_->held();
        for (PageId page = 0; page < pool_.pages(); ++page) users += pool_.users(page);
        for (const Text& text : texts_) {
            const std::span<const PageId> table = text.paged->table();
            CHECK(std::set<PageId>(table.begin(), table.end()).size() == table.size());
            CHECK(std::ssize(table) == pool_.pages_for(text.paged->next_position()));
            entries += std::ssize(table);
        }
        CHECK(users == entries);
    }

    QuantRig rig_;
    MakeRows rows_;
    PagePool pool_;
    std::unique_ptr<PrefixIndex> index_;
    Rng rng_;
    std::vector<Text> texts_;
    std::vector<std::vector<Token>> past_;
    PagedRaceCounts counts_;
};

}  // namespace

TEST_SUITE_BEGIN("step07");

TEST_CASE("random pages: every logit as of a cache of its own and every user is somebody") {
    QuantOptions sinks{&formats::q4_0, &formats::q8_0};
    sinks.sinks = 5;
    const MakeRows kinds[] = {float_rows(), rows_in(&formats::f16), rows_in(&formats::int8),
                              coded_rows(sinks)};
    PagedRaceCounts all;
    Index copied = 0;
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
        CAPTURE(seed);
        PagedRace race(kinds[seed % 4], seed % 2 == 0, seed);
        for (Index step = 0; step < 120; ++step) race.step();
        race.finish();
        all.forked += race.counts().forked;
        all.adopted += race.counts().adopted;
        all.refused += race.counts().refused;
        all.swapped += race.counts().swapped;
        all.back += race.counts().back;
        all.evicted += race.counts().evicted;
        copied += race.pool_counts().copied;
    }
    CHECK(all.forked > 20);
    CHECK(all.adopted > 20);
    CHECK(all.refused > 20);
    CHECK(all.swapped > 20);
    CHECK(all.back > 20);
    CHECK(all.evicted > 20);
    CHECK(copied > 20);
}

TEST_SUITE_END();
