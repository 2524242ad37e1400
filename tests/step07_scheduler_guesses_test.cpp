// Guesses inside of the scheduler. Mistakes in mind: guesses beyond the end, a rejected guess
// that stays in the cache, a text that goes on after its end because more was guessed.
#include "serving_rig.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// Guesses what it is told: the text's own future, or that with one token wrong.
class ToldDrafter : public Drafter {
public:
    const char* name() const override { return "told"; }

    void guess(Index text,
               std::span<const Token> tokens,
               Index count,
               std::vector<Token>& to) override {
        most_asked = std::max(most_asked, count);
        const std::vector<Token>& future = at(futures, text);
        for (Index i = std::ssize(tokens); count > 0; ++i, --count) {
            const Token right = i < std::ssize(future) ? at(future, i) : 0;
            to.push_back(wrong_every > 0 && i % wrong_every == 0 ? (right + 1) % 256 : right);
        }
        if (too_many) to.insert(to.end(), 20, 1);
        if (foreign) to.push_back(1000);
    }

    void forget(Index text) override { forgotten.push_back(text); }

    std::vector<std::vector<Token>> futures;
    Index wrong_every = 0;  // 0: all are right
    bool too_many = false;
    bool foreign = false;  // one token more, of another vocabulary
    Index most_asked = 0;
    std::vector<Index> forgotten;
};

struct DraftedRig : ToldDrafter, ServingRig {
    DraftedRig(Index pages, const SchedulerOptions& options, const std::string& kind = "none")
        : ServingRig(pages, options, kind, this) {}

    void add_told(const Request& request) {
        ServingRig::add(request);
        futures.push_back(request.prompt);
        const std::vector<Token>& tokens = alone.back().tokens;
        futures.back().insert(futures.back().end(), tokens.begin(), tokens.end());
    }
};

const SchedulerOptions kGuesses{.max_running = 4, .token_budget = 300, .draft_tokens = 4};

}  // namespace

TEST_SUITE("step07") {
    TEST_CASE("scheduler: guesses that are all right save steps, counted by hand") {
        DraftedRig rig(4, kGuesses);
        rig.add_told(request_of(prompt_of(60), 12));  // across the border of a page
        rig.run();
        // The prompt gives one token; then five, five, and the one that is left.
        CHECK(rig.scheduler.counts().steps == 4);
        CHECK(rig.scheduler.counts().drafted == 8);
        CHECK(rig.scheduler.counts().accepted == 8);
        CHECK(rig.scheduler.counts(0).accepted == 8);
        CHECK(rig.forgotten == std::vector<Index>{0});
    }

    TEST_CASE("scheduler: rejected guesses leave the cache, and their pages") {
        DraftedRig rig(4, kGuesses, "radix");
        rig.wrong_every = 1;
        rig.add_told(request_of(prompt_of(60), 12));
        while (rig.scheduler.step()) {
            const auto share = rig.scheduler.last_step()[0];
            CHECK(share.accepted == 0);
            if (rig.scheduler.outcome(0) != Outcome::running) break;
            // The last token has not been fed yet.
            CHECK(std::ssize(rig.scheduler.table(0)) ==
                  blocks_for(std::ssize(rig.scheduler.tokens(0)) - 1, 64));
        }
        rig.run();
        CHECK(rig.scheduler.counts().steps == 12);
        CHECK(rig.scheduler.counts().accepted == 0);
        CHECK(rig.scheduler.counts().drafted > 20);
        CHECK(rig.index->held() == 1);
    }

    TEST_CASE("scheduler: some guesses right, some wrong, at all places of a page") {
        for (const Index every : {2, 3, 5, 7}) {
            DraftedRig rig(12, kGuesses, "chain");
            rig.wrong_every = every;
            for (const Index prompt : {61, 62, 63, 64, 65, 126}) {
                Request request = request_of(prompt_of(prompt, usize(prompt)), 20);
                request.choice.sampling.temperature = prompt % 2 == 0 ? 0.8f : 0.0f;
                rig.add_told(request);
            }
            rig.run();
            CHECK(rig.scheduler.counts().accepted > 0);
            CHECK(rig.scheduler.counts().accepted < rig.scheduler.counts().drafted);
        }
    }

    TEST_CASE("scheduler: no guess beyond what is to be written, and none for the last token") {
        DraftedRig rig(4, kGuesses);
        rig.add_told(request_of(prompt_of(10), 3));
        rig.run();
        CHECK(rig.most_asked == 1);  // one is kept in any case, one may be guessed
        DraftedRig two(4, kGuesses);
        two.add_told(request_of(prompt_of(10), 2));
        two.run();
        CHECK(two.most_asked == 0);
        CHECK(two.scheduler.counts().drafted == 0);
    }

    TEST_CASE("scheduler: guesses take what is left of the budget and of the pages") {
        SchedulerOptions options = kGuesses;
        options.token_budget = 4;
        DraftedRig rig(8, options);
        for (std::uint64_t seed = 0; seed < 3; ++seed)
            rig.add_told(request_of(prompt_of(5, seed), 20));
        Index guesses = 0;
        while (rig.scheduler.step()) {
            Index fed = 0;
            for (const StepShare& share : rig.scheduler.last_step()) {
                fed += share.fed;
                guesses += share.drafted;
            }
            CHECK(fed <= 4);
        }
        rig.run();
        CHECK(guesses > 0);

        DraftedRig full(2, kGuesses);  // two texts of a page each: no page for a guess
        for (std::uint64_t seed = 0; seed < 2; ++seed)
            full.add_told(request_of(prompt_of(60, seed), 4));
        full.run();
        CHECK(full.scheduler.counts().preempted == 0);
        CHECK(full.pool.counts().most_used == 2);
    }

    TEST_CASE("scheduler: more guesses than were asked for are not fed") {
        DraftedRig rig(4, kGuesses);
        rig.too_many = true;
        rig.add_told(request_of(prompt_of(10), 12));
        while (rig.scheduler.step()) CHECK(rig.scheduler.last_step()[0].fed <= 10);
        rig.run();
        CHECK(rig.scheduler.counts().drafted == 8);
    }

    TEST_CASE("scheduler: a guess that is no token of this model is not fed") {
        DraftedRig rig(4, kGuesses);
        rig.foreign = true;
        rig.add_told(request_of(prompt_of(10), 12));
        rig.run();
        CHECK(rig.scheduler.counts().accepted > 0);
        DraftedRig alone(4, kGuesses);
        alone.add_told(request_of(prompt_of(10), 12));
        alone.futures[0][12] = -5;
        alone.run();
    }

    TEST_CASE("scheduler: a text that ends among right guesses ends exactly there") {
        DraftedRig rig(4, kGuesses);
        Request request = request_of(prompt_of(10), 30);
        request.choice.sampling.temperature = 1;
        const Alone whole = serve_alone(rig.decoder, request, float_rows());
        request.ends = {at(whole.tokens, 7)};
        rig.add_told(request);
        // What would have come after its end is guessed, too.
        rig.futures[0].insert(rig.futures[0].end(), whole.tokens.begin() + 8,
                              whole.tokens.end());
        rig.run();
        CHECK(rig.scheduler.outcome(0) == Outcome::end_token);
        CHECK(rig.scheduler.generated(0).size() == rig.alone[0].tokens.size());
        CHECK(rig.scheduler.generated(0).back() == request.ends[0]);
    }

    TEST_CASE("scheduler: a text that is cancelled among right guesses stops exactly there") {
        DraftedRig rig(4, kGuesses);
        rig.add_told(request_of(prompt_of(10), 30));
        rig.on_token = [&](Index, Token) {
            if (rig.scheduler.generated(0).size() == 3) rig.scheduler.cancel(0);
        };
        rig.run();
        CHECK(rig.scheduler.generated(0).size() == 3);
        CHECK(rig.scheduler.outcome(0) == Outcome::cancelled);
    }
}
