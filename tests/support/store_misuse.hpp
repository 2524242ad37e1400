// store_misuse.hpp - what every store of keys and values has to refuse, whoever keeps them.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <kvlab/attention/kv_store.hpp>

#include "random_data.hpp"

namespace kvlab::test {

// The rows of a step of T tokens, in the memory of the store that they are for.
class ProtocolRows {
public:
    virtual ~ProtocolRows() = default;
    virtual View<const float> k(Index T) const = 0;  // [T, Hkv, D], and v as well
    virtual View<const float> q(Index T) const = 0;  // [T, Hq, D]
    virtual View<float> out(Index T) const = 0;      // [T, Hq, D]
    virtual std::vector<float> numbers(const View<float>& out) const = 0;
};

class HostRows final : public ProtocolRows {
public:
    static constexpr Index kMost = 8;  // tokens

    explicit HostRows(const KvShape& s)
        : k_(random_tensor({kMost, s.kv_heads, s.head_dim}, 1)),
          q_(random_tensor({kMost, s.heads, s.head_dim}, 2)),
          out_({kMost, s.heads, s.head_dim}) {}

    View<const float> k(Index T) const override { return k_.view().slice(0, 0, T); }

    View<const float> q(Index T) const override { return q_.view().slice(0, 0, T); }

    View<float> out(Index T) const override { return out_.view().slice(0, 0, T); }

    std::vector<float> numbers(const View<float>& out) const override {
        return {out.flat().begin(), out.flat().end()};
    }

private:
    Tensor k_, q_;
    mutable Tensor out_;
};

// A whole step; the outputs of its layers.
inline std::vector<float> run_step(KvStore& store, const ProtocolRows& rows, Index T) {
    ThreadPool pool(1);
    std::vector<float> outputs;
    store.begin(T);
    for (Index layer = 0; layer < store.shape().layers; ++layer) {
        store.append(layer, rows.k(T), rows.k(T));
        store.attend(layer, rows.q(T), rows.out(T), pool);
        const auto out = rows.numbers(rows.out(T));
        outputs.insert(outputs.end(), out.begin(), out.end());
    }
    store.commit();
    return outputs;
}

// Every call of the step at a time when it must not come (stepped_store.hpp): refused by name,
// and afterwards the store gives the numbers of one that was never misused. `make` makes stores
// that hold nothing and have room for 20 tokens; shapes have two layers or more.
inline void check_step_protocol(const std::function<std::unique_ptr<KvStore>()>& make,
                                const ProtocolRows& rows) {
    ThreadPool pool(1);
    const auto store = make(), good = make();
    const Index layers = store->shape().layers, T = 3;
    const auto append = [&](Index layer) { store->append(layer, rows.k(T), rows.k(T)); };
    const auto attend = [&](Index layer) {
        store->attend(layer, rows.q(T), rows.out(T), pool);
    };
    const auto refused = [&](auto&& call, const std::string& text) {
        CAPTURE(text);
        const Index position = store->next_position(), room = store->room();
        const Index bytes = store->bytes().logical;
        CHECK_THROWS_WITH_AS(call(), doctest::Contains(text.c_str()), Error);
        CHECK(store->next_position() == position);
        CHECK(store->room() == room);
        CHECK(store->bytes().logical == bytes);
    };
    constexpr Index kMost = std::numeric_limits<Index>::max();
    const std::string first = concat("of ", layers, ", found ");
    for (int pass = 0; pass < 2; ++pass) {  // of an empty store, and of one with tokens
        // No step is open.
        store->abandon();
        refused([&] { append(0); }, "append() outside of a step, which begin() opens");
        refused([&] { attend(0); }, "attend() outside of a step, which begin() opens");
        refused([&] { store->commit(); }, concat("a step ends with 0 of ", layers, " layers"));
        for (const Index bad : {Index{0}, Index{-1}, store->room() + 1, kMost})
            refused([&] { store->begin(bad); },
                    concat("a step of ", bad, " tokens; there is room for ", store->room()));
        for (const Index bad : {store->next_position() + 1, Index{-1}})
            refused([&] { store->truncate(bad); },
                    concat("cannot truncate ", store->next_position(), " tokens to ", bad));
        // A step is open.
        store->begin(T);
        refused([&] { store->begin(T); },
                "begin() while a step of 3 tokens is open; commit() or abandon() ends it");
        refused([&] { store->truncate(0); }, "truncate() while a step of 3 tokens is open");
        refused([&] { store->fork(); }, "fork() while a step of 3 tokens is open");
        refused([&] { attend(0); }, "layer 0 has no keys yet");
        for (const Index bad : {Index{1}, Index{-1}, layers, kMost})
            refused([&] { append(bad); }, concat("expected layer 0 ", first, bad));
        refused([&] { store->append(0, rows.k(T - 1), rows.k(T)); }, "expected shape [3, ");
        refused([&] { store->append(0, rows.k(T), rows.k(T + 1)); }, "expected shape [3, ");
        refused([&] { store->append(0, rows.k(T)[0], rows.k(T)); }, "expected shape [3, ");
        append(0);
        refused([&] { append(0); }, concat("expected layer 1 ", first, 0));
        for (const Index bad : {Index{1}, Index{-1}, layers, kMost, -kMost - 1})
            refused([&] { attend(bad); }, concat("layer ", bad, " has no keys yet"));
        const auto ask = [&](Index queries, Index outputs) {
            store->attend(0, rows.q(queries), rows.out(outputs), pool);
        };
        refused([&] { ask(T + 1, T); }, "expected shape [3, ");
        refused([&] { ask(T, T + 1); }, "expected shape [3, ");
        refused([&] { store->commit(); }, concat("a step ends with 1 of ", layers, " layers"));
        attend(0);
        store->abandon();
        // The step never was; all of its layers may come again.
        refused([&] { attend(0); }, "attend() outside of a step");
        CHECK(run_step(*store, rows, T) == run_step(*good, rows, T));
        refused([&] { append(layers); }, "append() outside of a step");
        CHECK(store->next_position() == good->next_position());
        CHECK(store->bytes().logical == good->bytes().logical);
        const auto fork = store->fork();
        CHECK(fork->next_position() == good->next_position());
        CHECK(fork->room() == good->room());
        CHECK(fork->remembers() == good->remembers());
        CHECK(fork->bytes().logical == good->bytes().logical);
        CHECK(run_step(*fork, rows, 2) == run_step(*good->fork(), rows, 2));
    }
    store->reset();
    CHECK(store->next_position() == 0);
    CHECK(run_step(*store, rows, 1) == run_step(*make(), rows, 1));
}

// A step that fails while its rows are written: nothing but abandon() goes on, and then the
// store is as it was before it. `bad` are rows that the store refuses.
inline void check_failed_step(KvStore& store, const View<const float>& bad) {
    const HostRows rows(store.shape());
    ThreadPool pool(1);
    const Index T = bad.dim(0), position = store.next_position();
    store.begin(T);
    CHECK_THROWS_AS(store.append(0, bad, bad), Error);
    const char* const failed = "this step has failed; abandon() ends it";
    CHECK_THROWS_WITH_AS(store.append(0, rows.k(T), rows.k(T)), doctest::Contains(failed),
                         Error);
    CHECK_THROWS_WITH_AS(store.attend(0, rows.q(T), rows.out(T), pool),
                         doctest::Contains(failed), Error);
    CHECK_THROWS_AS(store.begin(T), Error);
    CHECK_THROWS_AS(store.commit(), Error);
    CHECK_THROWS_AS(store.truncate(0), Error);
    CHECK_THROWS_AS(store.fork(), Error);
    store.abandon();
    CHECK(store.next_position() == position);
}

using StoreOfShape = std::function<std::unique_ptr<KvStore>(const KvShape&, Index capacity)>;

// Shapes that no model has: Error at the door, and nothing was allocated for them.
inline void check_bad_shapes(const StoreOfShape& make) {
    const KvShape good{2, 4, 2, 32};
    CHECK_NOTHROW(make(good, 10));
    constexpr Index kMost = std::numeric_limits<Index>::max(), kLeast = -kMost - 1;
    for (const Index bad : {kLeast, Index{-1}, Index{0}, Index{4097}, Index{1} << 58, kMost})
        for (Index KvShape::*field :
             {&KvShape::layers, &KvShape::heads, &KvShape::kv_heads, &KvShape::head_dim}) {
            KvShape shape = good;
            shape.*field = bad;
            CAPTURE(bad);
            CHECK_THROWS_AS(make(shape, 10), Error);
        }
    CHECK_THROWS_AS(make({2, 3, 2, 32}, 10), Error);  // heads that do not share evenly
    for (const Index capacity : {kLeast, Index{-64}, Index{-1}, Index{0}}) {
        CAPTURE(capacity);
        CHECK_THROWS_AS(make(good, capacity), Error);
    }
}

// Capacities whose bytes wrap around: each must be refused, never a small block.
inline void check_huge_capacities(const StoreOfShape& make) {
    std::vector<Index> capacities = {std::numeric_limits<Index>::max()};
    for (int e = 50; e <= 62; ++e)
        for (const Index near : {-64, -1, 0, 1, 63})
            capacities.push_back((Index{1} << e) + near);
    for (const KvShape& shape :
         {KvShape{2, 4, 2, 32}, KvShape{1, 1, 1, 64}, KvShape{3, 9, 9, 96}})
        for (const Index capacity : capacities) {
            CAPTURE(capacity);
            CHECK_THROWS_AS(make(shape, capacity), Error);
        }
}

}  // namespace kvlab::test
