// Guesses, and how many of them are kept. Mistakes in mind: the first guess is taken unseen,
// the last token gets into the cache, a text goes on after its end, dice are thrown for
// wrong ones.
#include <doctest/doctest.h>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/serving/accepted.hpp>
#include <kvlab/serving/drafts.hpp>
#include <kvlab/tensor/numerics.hpp>

#include "models.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

using Tokens = std::vector<Token>;

Tokens guessed(Drafter& drafter, const Tokens& tokens, Index count, Index text = 0) {
    Tokens to = {-7};  // what stood there stays
    drafter.guess(text, tokens, count, to);
    REQUIRE(to.at(0) == -7);
    to.erase(to.begin());
    return to;
}

// Row i says that token `says[i]` comes next.
Tensor rows_saying(const Tokens& says, Index vocab = 8) {
    Tensor rows({std::ssize(says), vocab});
    for (Index i = 0; i < std::ssize(says); ++i) rows(i, at(says, i)) = 5;
    return rows;
}

struct Kept {
    Index right;
    Tokens tokens;
    Tokens told;  // to keep()
};

Kept accepted(const Tokens& says, const Tokens& guesses, Token end = -1) {
    const Tensor rows = rows_saying(says);
    TokenChooser chooser({});
    Kept kept{0, {9}, {}};
    kept.right = accept(rows.view(), guesses, chooser, kept.tokens,
                        [&](Token token, std::span<const float> row) {
                            CHECK(row.size() == 8);
                            CHECK(row[usize(token)] == 5);
                            kept.told.push_back(token);
                            return token != end;
                        });
    return kept;
}

struct DraftRig {
    explicit DraftRig(Config config = tiny_config())
        : engine(make_cpu_engine()),
          model(load_model(*make_synthetic(config, 8), *engine)),
          decoder(model, *engine) {}

    // What the model writes by itself, greedily.
    Tokens continuation(const Tokens& tokens, Index count) {
        KvCache cache(decoder.kv_shape(), decoder.config().context);
        Tokens text = tokens;
        for (Index i = 0; i < count; ++i) {
            const auto unseen =
                std::span<const Token>(text).subspan(usize(cache.next_position()));
            text.push_back(static_cast<Token>(argmax(decoder.forward(cache, unseen).flat())));
        }
        return {text.end() - count, text.end()};
    }

    std::unique_ptr<Engine> engine;
    std::shared_ptr<const Model> model;
    Decoder decoder;
};

}  // namespace

TEST_SUITE("step07") {
    TEST_CASE("accept: guesses are kept as long as the row before says the same") {
        const Kept two = accepted({1, 2, 4, 6}, {1, 2, 3});
        CHECK(two.right == 2);
        CHECK(two.tokens == Tokens{9, 1, 2, 4});
        CHECK(two.told == Tokens{1, 2, 4});
    }

    TEST_CASE("accept: the first guess is looked at, too") {
        const Kept none = accepted({5, 2, 3}, {1, 2});
        CHECK(none.right == 0);
        CHECK(none.tokens == Tokens{9, 5});
    }

    TEST_CASE("accept: if all are right there is one token more, from the last row") {
        const Kept all = accepted({1, 2, 3}, {1, 2});
        CHECK(all.right == 2);
        CHECK(all.tokens == Tokens{9, 1, 2, 3});
    }

    TEST_CASE("accept: a guess that is right after a wrong one does not count") {
        CHECK(accepted({1, 7, 3, 4}, {1, 2, 3}).tokens == Tokens{9, 1, 7});
    }

    TEST_CASE("accept: without guesses one token is kept") {
        CHECK(accepted({4}, {}).tokens == Tokens{9, 4});
        CHECK(accepted({4}, {}).right == 0);
    }

    TEST_CASE("accept: a text that ends among its guesses ends there") {
        const Kept ended = accepted({1, 2, 3, 4}, {1, 2, 3}, 2);
        CHECK(ended.tokens == Tokens{9, 1, 2});
        CHECK(ended.right == 2);
    }

    TEST_CASE("accept: without logits every token is 0") {
        TokenChooser chooser({});
        Tokens tokens = {3};
        const Index right = accept(View<const float>(), Tokens{0, 0, 5}, chooser, tokens,
                                   [](Token, std::span<const float> row) {
                                       CHECK(row.empty());
                                       return true;
                                   });
        CHECK(right == 2);
        CHECK(tokens == Tokens{3, 0, 0, 0});
    }

    TEST_CASE(
        "accept: dice are thrown for kept tokens alone, so the text of a seed is the same") {
        Rng random(4);
        Tensor rows({60, 8});
        for (float& x : rows.flat()) x = random.normal();
        ChoiceOptions options;
        options.sampling.temperature = 1;
        TokenChooser alone(options), with_guesses(options);
        Tokens expected, found;
        for (Index i = 0; i < 40; ++i)
            expected.push_back(alone.choose(rows.view()[i].flat(), {}));
        Index right = 0, wrong = 0;
        while (std::ssize(found) < 40) {
            const Index done = std::ssize(found);
            Tokens guesses;  // two that are right, if they are there, and one at random
            for (Index i = done; i < std::min<Index>(done + 2, 40); ++i)
                guesses.push_back(at(expected, i));
            guesses.push_back(static_cast<Token>(random.below(8)));
            const Index d = std::ssize(guesses);
            const Index kept =
                accept(rows.view().slice(0, done, done + d + 1), guesses, with_guesses, found,
                       [](Token, std::span<const float>) { return true; });
            right += kept;
            wrong += d - kept;
        }
        found.resize(40);
        CHECK(found == expected);
        CHECK(right > 0);
        CHECK(wrong > 0);
    }

    TEST_CASE("lookup: what followed the last time that the text said the same") {
        const std::unique_ptr<Drafter> lookup = make_lookup_drafter();
        CHECK(guessed(*lookup, {1, 2, 3, 4, 5, 1, 2, 3}, 2) == Tokens{4, 5});
        // Not more than was asked for, and not beyond the end.
        CHECK(guessed(*lookup, {1, 2, 3, 4, 5, 1, 2, 3}, 1) == Tokens{4});
        CHECK(guessed(*lookup, {1, 2, 1}, 5) == Tokens{2, 1});
        // The last place of several.
        CHECK(guessed(*lookup, {1, 2, 7, 1, 2, 8, 1, 2}, 1) == Tokens{8});
        // The longest run first, though a shorter one stood later.
        CHECK(guessed(*lookup, {5, 1, 2, 7, 1, 2, 8, 5, 1, 2}, 1) == Tokens{7});
        // Runs may overlap with the end.
        CHECK(guessed(*lookup, {6, 6, 6, 6}, 3) == Tokens{6});
        CHECK(guessed(*lookup, {1, 2, 3}, 3).empty());
        CHECK(guessed(*lookup, {1}, 3).empty());
    }

    TEST_CASE("lookup: runs of the lengths that were asked for") {
        const std::unique_ptr<Drafter> pairs = make_lookup_drafter(2, 2);
        CHECK(guessed(*pairs, {1, 2, 3, 9, 2}, 2).empty());
        CHECK(guessed(*pairs, {1, 2, 3, 1, 2}, 2) == Tokens{3, 1});
        CHECK_THROWS_AS(make_lookup_drafter(2, 3), Error);
        CHECK_THROWS_AS(make_lookup_drafter(2, 0), Error);
    }

    TEST_CASE("model drafter: guesses what its model would write, for many texts in turn") {
        DraftRig rig;
        const std::unique_ptr<Drafter> drafter = make_model_drafter(rig.model, *rig.engine);
        Tokens a = random_tokens(30, 256, 1), b = random_tokens(64, 256, 2);
        for (int round = 0; round < 4; ++round) {
            CHECK(guessed(*drafter, a, 3, 0) == rig.continuation(a, 3));
            CHECK(guessed(*drafter, b, 5, 1) == rig.continuation(b, 5));
            // The text goes on otherwise than guessed, then as guessed.
            const Tokens next = rig.continuation(a, 2);
            a.push_back((next[0] + 1) % 256);
            b.push_back(rig.continuation(b, 1)[0]);
        }
        // After it was forgotten, a number may belong to another text.
        drafter->forget(0);
        CHECK(guessed(*drafter, b, 2, 0) == rig.continuation(b, 2));
        // And even without: what is common with the other text is kept, the rest read again.
        CHECK(guessed(*drafter, a, 2, 0) == rig.continuation(a, 2));
    }

    TEST_CASE("model drafter: no guess is fed beyond the context") {
        Config config = tiny_config();
        config.context = 20;
        DraftRig rig(config);
        const std::unique_ptr<Drafter> drafter = make_model_drafter(rig.model, *rig.engine);
        CHECK(guessed(*drafter, random_tokens(18, 256, 3), 9).size() == 3);
        CHECK(guessed(*drafter, random_tokens(20, 256, 3), 9).size() == 1);
        CHECK(guessed(*drafter, random_tokens(21, 256, 3), 9).empty());
    }

    TEST_CASE("first layers: all of them are the model, and fewer another one") {
        for (const Config& config : {tiny_config(), small_gpt2()}) {
            const Tokens tokens = random_tokens(12, config.vocab, 4);
            const std::unique_ptr<Engine> engine = make_cpu_engine();
            const auto logits = [&](const std::shared_ptr<const Model>& model) {
                Decoder decoder(model, *engine);
                KvCache cache(decoder.kv_shape(), 20);
                const auto row = decoder.forward(cache, tokens).flat();
                return std::vector<float>(row.begin(), row.end());
            };
            std::shared_ptr<const Model> whole =
                load_model(*make_synthetic(config, 8), *engine);
            const std::weak_ptr<const Model> owner = whole;
            const std::vector<float> expected = logits(whole);
            CHECK(logits(first_layers(whole, 1)) != expected);
            CHECK(first_layers(whole, 1)->config.layers == 1);
            std::shared_ptr<const Model> borrower = first_layers(whole, 2);
            CHECK(logits(borrower) == expected);
            whole.reset();  // the owner may go first: the borrower holds it
            CHECK(!owner.expired());
            CHECK(logits(borrower) == expected);
            borrower.reset();
            CHECK(owner.expired());
        }
    }

    TEST_CASE("first layers: a number of layers that cannot be is refused") {
        DraftRig rig;
        CHECK_THROWS_WITH(first_layers(rig.model, 0), "first layers: expected 1 to 2, found 0");
        CHECK_THROWS_WITH(first_layers(rig.model, 3), "first layers: expected 1 to 2, found 3");
        CHECK_THROWS_WITH(first_layers(nullptr, 1), "first layers: no model");
    }
}
