// Guesses from the text itself: what followed the last time that it said the same.
#include <algorithm>

#include <kvlab/serving/drafts.hpp>

namespace kvlab {

namespace {

class LookupDrafter final : public Drafter {
public:
    LookupDrafter(Index longest, Index shortest) : longest_(longest), shortest_(shortest) {
        check(shortest >= 1 && longest >= shortest, "lookup: runs of ", shortest, " to ",
              longest, " tokens; expected at least 1, and not more than the longest");
    }

    const char* name() const override { return "lookup"; }

    // ANCHOR: guess
    void guess(Index /*text*/,
               std::span<const Token> tokens,
               Index count,
               std::vector<Token>& to) override {
        // SOLUTION-BEGIN 7.5
        const Index n = std::ssize(tokens);
        for (Index run = std::min(longest_, n - 1); run >= shortest_; --run) {
            const Index place = last_place(tokens, run);
            if (place < 0) continue;
            const Index follows = std::min(count, n - (place + run));
            const auto first = tokens.begin() + place + run;
            to.insert(to.end(), first, first + follows);
            return;
        }
        // SOLUTION-END 7.5
    }

    // ANCHOR_END: guess

    void forget(Index /*text*/) override {}

private:
    // ANCHOR: last_place
    // Where the last `run` tokens stood for the last time before; -1 if they never did.
    static Index last_place(std::span<const Token> tokens, Index run) {
        // SOLUTION-BEGIN 7.5
        const std::span<const Token> wanted = tokens.last(usize(run));
        for (Index place = std::ssize(tokens) - run - 1; place >= 0; --place)
            if (std::equal(wanted.begin(), wanted.end(), tokens.begin() + place)) return place;
        return -1;
        // SOLUTION-END 7.5
    }

    // ANCHOR_END: last_place

    Index longest_, shortest_;
};

}  // namespace

std::unique_ptr<Drafter> make_lookup_drafter(Index longest, Index shortest) {
    return std::make_unique<LookupDrafter>(longest, shortest);
}

}  // namespace kvlab
