// Chapter 7's tasks: pages of a pool, the longest beginning that is held, the budget of a step,
// and guesses.
#include <algorithm>

#include <kvlab/serving/accepted.hpp>
#include <kvlab/serving/drafts.hpp>
#include <kvlab/serving/paged_cache.hpp>
#include <kvlab/serving/prefix_index.hpp>
#include <kvlab/serving/share_out.hpp>

#include "task_case.hpp"

using namespace kvlab;
using kvlab::course::Answer;
using kvlab::course::Given;

namespace {

PagePool pool_of(const Given& given, const KvShape& shape, MakeRows rows = float_rows()) {
    PoolOptions options;
    options.pages = given.number("pages");
    options.page_slots = given.number("page_slots");
    options.rows = std::move(rows);
    return PagePool(shape, options);
}

std::vector<Index> listed(std::span<const PageId> pages) {
    return {pages.begin(), pages.end()};
}

std::vector<Token> tokens_of(const Given& given, const char* name) {
    std::vector<Token> tokens;
    for (const Index token : given.integers(name)) tokens.push_back(static_cast<Token>(token));
    return tokens;
}

std::vector<Index> numbers(std::span<const Token> tokens) {
    return {tokens.begin(), tokens.end()};
}

// Floats in tiles, which note of each row that is written its place and its position.
class NotingRows final : public LayerRows {
public:
    NotingRows(const RowsShape& shape, std::vector<Index>& written)
        : NotingRows(float_rows()(shape), written) {}

    std::unique_ptr<LayerRows> make(Index slots) const override {
        return std::make_unique<NotingRows>(rows_->make(slots), written_);
    }

    NotingRows(std::unique_ptr<LayerRows> rows, std::vector<Index>& written)
        : LayerRows(rows->slots(), rows->kv_heads(), rows->head_dim()),
          rows_(std::move(rows)),
          written_(written) {}

    const float* read_keys(Index kv_head, Index tile, float* scratch) const override {
        return rows_->read_keys(kv_head, tile, scratch);
    }

    const float* read_values(Index kv_head, Index tile, float* scratch) const override {
        return rows_->read_values(kv_head, tile, scratch);
    }

    bool needs_scratch() const override { return rows_->needs_scratch(); }

    Index slot_bytes() const override { return rows_->slot_bytes(); }

    Index allocated_bytes() const override { return rows_->allocated_bytes(); }

    void visit_memory(const VisitMemory& visit) override { rows_->visit_memory(visit); }

    float key(Index kv_head, Index slot, Index i) const override {
        return rows_->key(kv_head, slot, i);
    }

    float value(Index kv_head, Index slot, Index i) const override {
        return rows_->value(kv_head, slot, i);
    }

private:
    void write_slots(Index first,
                     Index position,
                     const View<const float>& k,
                     const View<const float>& v) override {
        for (Index t = 0; t < k.dim(0); ++t)
            written_.insert(written_.end(), {first + t, position + t});
        rows_->write(first, position, k, v);
    }

    void copy_slots(const LayerRows& other, Index count) override {
        rows_->copy_from(*dynamic_cast<const NotingRows&>(other).rows_, count);
    }

    void move_slot(Index kv_head, Index from, Index to) override {
        rows_->copy_slot(kv_head, from, to);
    }

    std::unique_ptr<LayerRows> rows_;
    std::vector<Index>& written_;
};

}  // namespace

KVLAB_TASK_CASE("7.1 rows: a step is cut where pages end") {
    const Tensor k = given.tensor("k"), v = given.tensor("v");  // [L, N, Hkv, D]
    const KvShape shape{k.dim(0), k.dim(2), k.dim(2), k.dim(3)};
    std::vector<Index> written;
    PagePool pool = pool_of(given, shape, [&](const RowsShape& rows) {
        return std::make_unique<NotingRows>(rows, written);
    });
    PagedCache cache(pool, k.dim(1));
    Index row = 0;
    for (const Index T : given.integers("steps")) {
        cache.begin(T);
        for (Index layer = 0; layer < shape.layers; ++layer)
            cache.append(layer, k.view()[layer].slice(0, row, row + T),
                         v.view()[layer].slice(0, row, row + T));
        cache.commit();
        row += T;
    }
    Tensor keys(k.shape()), values(v.shape());
    for (Index l = 0; l < shape.layers; ++l)
        for (Index s = 0; s < row; ++s)
            for (Index h = 0; h < shape.kv_heads; ++h)
                for (Index i = 0; i < shape.head_dim; ++i) {
                    keys(l, s, h, i) = cache.key(l, h, s, i);
                    values(l, s, h, i) = cache.value(l, h, s, i);
                }
    answer.floats("keys", std::as_const(keys).view());
    answer.floats("values", std::as_const(values).view());
    answer.integers("places", written, {std::ssize(written) / 2, 2});
}

namespace {

// A row of a page: numbers that say whose they are.
void fill(PagePool& pool, PageId page, Index first_position) {
    const KvShape& shape = pool.shape();
    Tensor k({pool.page_slots(), shape.kv_heads, shape.head_dim});
    for (Index layer = 0; layer < shape.layers; ++layer) {
        for (Index s = 0; s < k.dim(0); ++s)
            for (Index h = 0; h < k.dim(1); ++h)
                for (Index i = 0; i < k.dim(2); ++i)
                    k(s, h, i) = static_cast<float>(
                        1 + i + 10 * (h + 10 * (layer + 10 * (first_position + s))));
        pool.rows(page, layer).write(0, std::as_const(k).view(), std::as_const(k).view());
    }
}

}  // namespace

// A text of `tokens`; forks of it, of which `writer` writes one token more.
KVLAB_TASK_CASE("7.2 copy on write: the writer gets a page of its own") {
    PagePool pool = pool_of(given, {2, 2, 2, 3});
    std::vector<std::unique_ptr<KvStore>> texts;
    texts.push_back(std::make_unique<PagedCache>(pool, 256));
    const auto paged = [&](Index text) -> PagedCache& {
        return dynamic_cast<PagedCache&>(*at(texts, text));
    };
    const Index tokens = given.number("tokens"), forks = given.number("forks");
    paged(0).pretend(tokens);
    for (Index p = 0; p < std::ssize(paged(0).table()); ++p)
        fill(pool, at(paged(0).table(), p), p * pool.page_slots());
    for (Index fork = 0; fork < forks; ++fork) texts.push_back(paged(0).fork());
    std::vector<Index> tables, users;
    for (const Index writer : given.integers("writers")) {
        paged(writer).pretend(1);
        for (Index text = 0; text <= forks; ++text)
            for (const PageId page : paged(text).table()) tables.push_back(page);
        for (PageId page = 0; page < pool.pages(); ++page) users.push_back(pool.users(page));
    }
    std::vector<float> kept;
    for (Index text = 0; text <= forks; ++text)
        for (Index s = 0; s < tokens; ++s)
            for (Index h = 0; h < 2; ++h) kept.push_back(paged(text).key(1, h, s, 2));
    answer.integers("tables", tables);
    answer.integers("users", users);
    answer.floats("keys", kept);
    answer.number("copied", pool.counts().copied);
    texts.clear();
    answer.number("free in the end", pool.free());
}

// `asked`: texts one after the other, as long as `lengths` say.
KVLAB_TASK_CASE("7.3 chain: the longest beginning that is held") {
    PagePool pool = pool_of(given, {1, 1, 1, 2});
    const std::unique_ptr<PrefixIndex> index = make_chain_index(pool);
    const std::string scope = given.text("scope");
    const auto each = [&](const char* name, const char* lengths, const auto& act) {
        const std::vector<Token> all = tokens_of(given, name);
        Index begin = 0;
        for (const Index length : given.integers(lengths)) {
            act(std::span(all).subspan(usize(begin), usize(length)));
            begin += length;
        }
    };
    std::vector<Index> held, found, looked;
    each("run", "run_lengths", [&](std::span<const Token> tokens) {
        PagedCache cache(pool, 256);
        cache.pretend(std::ssize(tokens));
        const Index whole = std::ssize(tokens) / pool.page_slots();
        index->insert("a", tokens, cache.table().first(usize(whole)));
        held.push_back(index->held());
    });
    each("asked", "asked_lengths", [&](std::span<const Token> tokens) {
        looked.push_back(index->look(scope, tokens));
        const std::vector<Index> pages = listed(index->find(scope, tokens));
        found.insert(found.end(), pages.begin(), pages.end());
        found.push_back(-1);
    });
    answer.integers("held", held);
    answer.integers("looked", looked);
    answer.integers("found", found);
}

KVLAB_TASK_CASE("7.4 budget: who writes comes first and prompts share the rest") {
    std::vector<Index> shares = {7, 7};  // what was there is no share
    share_out(given.integers("unseen"), given.number("budget"), given.number("chunked") == 1,
              shares);
    answer.integers("shares", shares);
}

KVLAB_TASK_CASE("7.5 look-up: what followed the longest run that stood before") {
    const std::unique_ptr<Drafter> drafter =
        make_lookup_drafter(given.number("longest"), given.number("shortest"));
    std::vector<Token> guesses = tokens_of(given, "before");  // of another text: they stay
    drafter->guess(0, tokens_of(given, "tokens"), given.number("count"), guesses);
    answer.integers("guesses", numbers(guesses));
}

namespace {

// Everything that accept() does: what it returns, and what `keep` heard.
void answer_accept(const Given& given, Answer& answer, TokenChooser& chooser) {
    const Tensor logits = given.tensor("logits");
    std::vector<Token> tokens = tokens_of(given, "tokens");
    const std::vector<Token> guesses = tokens_of(given, "guesses");
    const std::vector<Token> ends = tokens_of(given, "ends");
    std::vector<Index> heard, rows;
    const Index accepted = accept(
        logits.view(), guesses, chooser, tokens, [&](Token token, std::span<const float> row) {
            heard.push_back(token);
            rows.push_back((row.data() - logits.view().data()) / logits.dim(1));
            return std::find(ends.begin(), ends.end(), token) == ends.end();
        });
    answer.number("accepted", accepted);
    answer.integers("kept", heard);
    answer.integers("rows", rows);
    answer.integers("tokens", numbers(tokens));
}

}  // namespace

KVLAB_TASK_CASE("7.6 accept: rows are used as long as guesses are right") {
    ChoiceOptions options;
    options.repetition_penalty = static_cast<float>(given.real("penalty"));
    TokenChooser chooser(options);
    answer_accept(given, answer, chooser);
}

// The same dice with guesses and without: row by row, one token at a time.
KVLAB_TASK_CASE("7.6 accept: the dice are thrown once for each token that is kept") {
    ChoiceOptions options;
    options.sampling.temperature = 1;
    options.sampling.seed = static_cast<std::uint64_t>(given.number("dice"));
    const Tensor logits = given.tensor("logits");
    const auto after = [&](TokenChooser& chooser) {  // where the dice are now
        std::vector<Index> thrown;
        const std::vector<float> even(64);
        for (int i = 0; i < 4; ++i) thrown.push_back(chooser.choose(even, {}));
        return thrown;
    };
    TokenChooser alone(options);
    std::vector<Token> tokens = {1}, guesses;
    for (Index row = 0; row < logits.dim(0); ++row)
        tokens.push_back(alone.choose(logits.view()[row].flat(), tokens));
    guesses.assign(tokens.begin() + 1, tokens.end() - 1);
    const Index wrong = given.number("wrong");  // from this guess on
    if (wrong < std::ssize(guesses))
        at(guesses, wrong) = (at(guesses, wrong) + 1) % static_cast<Token>(logits.dim(1));
    TokenChooser with(options), again(options);
    std::vector<Token> text = {1};
    Index heard = 0;
    const Keep keep = [&](Token, std::span<const float>) { return ++heard > 0; };
    const Index accepted = accept(logits.view(), guesses, with, text, keep);
    std::vector<Token> expected = {1};
    for (Index row = 0; row <= std::min(wrong, std::ssize(guesses)); ++row)
        expected.push_back(again.choose(logits.view()[row].flat(), expected));
    const auto in_text = [](std::span<const Index> all) {
        std::string words;
        for (const Index one : all) words += concat(one, " ");
        return words;
    };
    answer.number("accepted", accepted);
    answer.number("kept", heard);
    answer.text("text", in_text(numbers(text)));
    answer.text("text without guesses", in_text(numbers(expected)));
    answer.text("next throws", in_text(after(with)));
    answer.text("next throws without guesses", in_text(after(again)));
}
